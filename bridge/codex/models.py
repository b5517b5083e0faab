"""Model names as clients write them: plain or reversed, followed by an effort and a speed.

Names may be reversed because Cursor uses its own backend for a name that contains `gpt`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from codex_rpc.wire.calls import Model

NAMED = ("gpt-5.2-codex", "gpt-5.1-codex-max", "gpt-5.1-codex-mini", "gpt-5.2")
"""The models that are always listed, in this order; the first is the default."""

FAST = "fast"
"""The suffix for the model's fast service tier."""


class ModelChoice(Struct, frozen=True):
    """A model of codex with the effort and the service tier that its name asked for."""

    slug: str
    effort: str | None = None
    tier: str | None = None
    tiers: Mapping[str, str] = field(default_factory=dict[str, str])
    """All service tiers of the model: display name in lower case → id."""
    efforts: tuple[str, ...] = ()
    """The reasoning efforts of the model; empty if they are not known."""


def reverse(name: str) -> str:
    """Return the name to type into Cursor for a name of codex, or the other way round."""
    return name[::-1]


def listed(models: Sequence[Model]) -> list[str]:
    """Return the names to show to clients, all reversed: the named models, then those that codex lists."""
    more = (model.slug for model in models if not model.hidden)
    return [reverse(slug) for slug in dict.fromkeys((*NAMED, *more))]


def choose(name: str, models: Sequence[Model]) -> ModelChoice | None:
    """Return the model that a name means; None if there is none.

    A whole name takes precedence over one with a suffix, a plain one over a reversed one: `gpt-5.1-codex-max` is a
    model, not `gpt-5.1-codex` with an effort.
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
    """Yield the name without its last part and, for a reversed name, without its first part, each with that part."""
    rest, dash, suffix = name.rpartition("-")
    if dash:
        yield rest, suffix
    prefix, dash, rest = name.partition("-")
    if dash:
        yield rest, reverse(prefix)
