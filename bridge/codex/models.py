"""Model names as clients write them: plain or reversed, with an effort and a speed behind.

Reversed, because a name that contains `gpt` makes Cursor use its own backend instead of this server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from codex_rpc.wire.calls import Model

NAMED = ("gpt-5.2-codex", "gpt-5.1-codex-max", "gpt-5.1-codex-mini", "gpt-5.2")
"""The models that this server has always had, the default first, in the order in which they are listed."""

FAST = "fast"
"""The suffix that asks for the model's fast service tier."""


class ModelChoice(Struct, frozen=True):
    """A model of codex with what its name asked for besides."""

    slug: str
    effort: str | None = None
    tier: str | None = None
    tiers: Mapping[str, str] = field(default_factory=dict[str, str])
    """All service tiers of the model: display name in lower case → id."""
    efforts: tuple[str, ...] = ()
    """The reasoning efforts of the model; empty if they are not known."""


def reverse(name: str) -> str:
    """Turn a name of codex into the one to type into Cursor, and back."""
    return name[::-1]


def listed(models: Sequence[Model]) -> list[str]:
    """The names to show to clients: the four named ones, then what codex lists, all reversed."""
    more = (model.slug for model in models if not model.hidden)
    return [reverse(slug) for slug in dict.fromkeys((*NAMED, *more))]


def choose(name: str, models: Sequence[Model]) -> ModelChoice | None:
    """Find the model that a name means; None if there is none.

    A whole name comes before one with a suffix, plain before reversed: `gpt-5.1-codex-max` is a model, no effort.
    """
    return _choose(name, {model.slug: model for model in models}, most_suffixes=2)


def _choose(name: str, models: Mapping[str, Model], most_suffixes: int) -> ModelChoice | None:
    for slug in (name, reverse(name)):
        if slug in models:
            return ModelChoice(slug, tiers=models[slug].tiers, efforts=models[slug].efforts)
    if not most_suffixes:
        return None
    for rest, suffix in _splits(name):
        choice = _choose(rest, models, most_suffixes - 1)
        if choice is None:
            continue
        model = models[choice.slug]
        if suffix in model.efforts and choice.effort is None:
            return replace(choice, effort=suffix)
        if suffix == FAST and FAST in model.tiers and choice.tier is None:
            return replace(choice, tier=model.tiers[FAST])
    return None


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Take a suffix off the end, or off the front of a name that is reversed as a whole."""
    rest, dash, suffix = name.rpartition("-")
    if dash:
        yield rest, suffix
    prefix, dash, rest = name.partition("-")
    if dash:
        yield rest, reverse(prefix)
