"""Model names as clients write them: plain or reversed, followed by an effort and a speed.

Names may be reversed because Cursor uses its own backend for a name that contains `gpt`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from bridge.config import NameStyle
from codex_rpc.wire.calls import Model

NAMED = ("gpt-5.2-codex", "gpt-5.1-codex-max", "gpt-5.1-codex-mini", "gpt-5.2")
"""The models that are always listed, first and in this order; current versions of codex do not know them."""

DEFAULT = "codex"
"""The name that always means the default model of the login, because named models retire."""

AGENT = "codex-agent"
"""The name of the first agent, and with `-NAME` that of each."""

FAST = "fast"
"""The suffix for the model's fast service tier."""

_SUFFIXES = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "ultra", FAST})
"""What is a suffix in every name. (`max` may be a part of a model's name.)"""

_EFFORTS = tuple(sorted(_SUFFIXES - {FAST}))
"""The efforts that may follow an agent's name; whether its model has them is left to codex."""

PROVIDER = "openai/"
"""A prefix that some clients put before a model's name."""


class ModelChoice(Struct, frozen=True):
    """A model of codex with the effort and the service tier that its name asked for."""

    slug: str
    effort: str | None = None
    tier: str | None = None
    tiers: Mapping[str, str] = field(default_factory=dict[str, str])
    """All service tiers of the model: display name in lower case → id."""
    efforts: tuple[str, ...] = ()
    """The reasoning efforts of the model; empty if they are not known."""
    agent: str | None = None
    """The agent that the name means; its `slug` is then empty, because its own settings choose the model."""


def reverse(name: str) -> str:
    """Return the name to type into Cursor for a name of codex, or the other way round."""
    return name[::-1]


def default_model(models: Sequence[Model]) -> Model | None:
    """Return the model that codex marks as default, else the first named one that it lists; None without models."""
    marked = [model for model in models if model.is_default]
    named = [model for slug in NAMED for model in models if model.slug == slug]
    return next(iter((*marked, *named, *models)), None)


def means_an_agent(name: str) -> bool:
    """Return whether a name can only mean an agent, whether or not there is one of that name."""
    return any(one.startswith(AGENT) for one in (_normal(name), reverse(_normal(name))))


class ModelNames(Struct, frozen=True):
    """The names under which this server offers models; `aliases` are the user's own: name → what it stands for."""

    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    style: NameStyle = "both"
    agents: tuple[str, ...] = ()
    """The names of the agents."""
    only: tuple[str, ...] = ()
    """The models that the client may use, by any of their names; empty for all. They do not concern agents."""
    barred: tuple[str, ...] = ()
    """The agents that the client may not use."""

    def agent(self, name: str) -> str | None:
        """Return the agent that a model name means; None if it means something else."""
        choice = self.choose(name, ()) if self.agents else None
        return choice.agent if choice else None

    def listed(self, models: Sequence[Model]) -> list[str]:
        """Return the names to show to clients: named models, `codex`, aliases, agents, then what codex lists.

        With the style `both`, the reversed names come first, then the same names plain.
        """
        plain = self._allowed(dict.fromkeys((*NAMED, *self._offered(models))), models)
        turned = [reverse(name) for name in plain]
        return {"reversed": turned, "plain": plain, "both": [*turned, *plain]}[self.style]

    def offered(self, models: Sequence[Model]) -> list[str]:
        """Return the plain names of what this login has: `codex`, aliases, agents, and the models of codex."""
        return self._allowed(self._offered(models), models)

    def choose(self, name: str, models: Sequence[Model]) -> ModelChoice | None:
        """Return the model that a name means, in any case and with or without `openai/`; None if there is none.

        A whole name takes precedence over one with a suffix, a plain one over a reversed one: `gpt-5.1-codex-max` is a
        model, not `gpt-5.1-codex` with an effort. A name of what the client may not use means nothing.
        """
        choice = self._choose(name, models)
        return choice if choice is not None and self._allows(choice, models) else None

    def forbids(self, name: str, models: Sequence[Model]) -> bool:
        """Return whether a name means something that the client may not use."""
        choice = self._choose(name, models)
        return choice is not None and not self._allows(choice, models)

    def limited(self, models: tuple[str, ...], agents: tuple[str, ...] | None) -> ModelNames:
        """Return the names for a client that may use only these models (all if there are none) and these agents.

        None stands for all agents.
        """
        barred = () if agents is None else tuple(agent for agent in self.agents if agent not in agents)
        return replace(self, only=models, barred=barred)

    def _offered(self, models: Sequence[Model]) -> Iterable[str]:
        more = (model.slug for model in models if not model.hidden and model.slug not in NAMED)
        return dict.fromkeys((DEFAULT, *self.aliases, *self._agents(), *more))

    def _allows(self, choice: ModelChoice, models: Sequence[Model]) -> bool:
        if choice.agent is not None:
            return choice.agent not in self.barred
        return not self.only or choice.slug in {one.slug for name in self.only if (one := self._choose(name, models))}

    def _allowed(self, names: Iterable[str], models: Sequence[Model]) -> list[str]:
        """Return the names that mean what the client may use; all of them if it may use everything."""
        if not self.only and not self.barred:
            return list(names)
        return [name for name in names if self._lists(name, models)]

    def _lists(self, name: str, models: Sequence[Model]) -> bool:
        choice = self._choose(name, models)
        return not self.only if choice is None else self._allows(choice, models)

    def _choose(self, name: str, models: Sequence[Model]) -> ModelChoice | None:
        known = {model.slug.lower(): _choice(model) for model in models}
        if (default := default_model(models)) is not None:
            known.setdefault(DEFAULT, _choice(default))
        known |= self._agents()
        targets = {name.lower(): target for name, target in self.aliases.items()}
        return _choose(_normal(name), known, targets, most_suffixes=2)

    def listed_agents(self) -> list[str]:
        """Return the plain names of the agents that the client may use."""
        return [name for name, choice in self._agents().items() if choice.agent not in self.barred]

    def _agents(self) -> Mapping[str, ModelChoice]:
        """Return the agents by model name: the first one, then each with its own name."""
        named = [(f"{AGENT}-{agent}", agent) for agent in self.agents]
        first = [(AGENT, agent) for agent in self.agents[:1]]
        return {name: ModelChoice("", efforts=_EFFORTS, agent=agent) for name, agent in (*first, *named)}


def looping_alias(aliases: Mapping[str, str]) -> str | None:
    """Return an alias whose target leads back to it, with or without suffixes; None if there is none."""
    targets = {name.lower(): _normal(target) for name, target in aliases.items()}
    for alias, target in targets.items():
        passed, following = {alias}, _alias_in(target, targets)
        while following is not None:
            if following in passed:
                return alias
            passed.add(following)
            following = _alias_in(targets[following], targets)
    return None


def _alias_in(name: str, aliases: Mapping[str, str]) -> str | None:
    """Return the alias that a name means, if it means one."""
    return next((one for one in _readings(name, most_suffixes=2) if one in aliases), None)


def _readings(name: str, most_suffixes: int) -> Iterator[str]:
    """Yield the names that may be meant: the whole name, plain and reversed, then those without suffixes."""
    yield from (name, reverse(name))
    if most_suffixes:
        for rest, suffix in _splits(name):
            if suffix in _SUFFIXES:
                yield from _readings(rest, most_suffixes - 1)


def _normal(name: str) -> str:
    return name.strip().lower().removeprefix(PROVIDER)


def _choice(model: Model) -> ModelChoice:
    return ModelChoice(model.slug, tiers=model.tiers, efforts=model.efforts)


def _choose(
    name: str, known: Mapping[str, ModelChoice], aliases: Mapping[str, str], most_suffixes: int
) -> ModelChoice | None:
    for one in (name, reverse(name)):
        if one in aliases:
            others = {alias: target for alias, target in aliases.items() if alias != one}
            return _choose(_normal(aliases[one]), known, others, most_suffixes=2)
        if one in known:
            return known[one]
    if not most_suffixes:
        return None
    for rest, suffix in _splits(name):
        choice = _choose(rest, known, aliases, most_suffixes - 1)
        if choice is None:
            continue
        if suffix in choice.efforts and choice.effort is None:
            return replace(choice, effort=suffix)
        if suffix == FAST and FAST in choice.tiers and choice.tier is None:
            return replace(choice, tier=choice.tiers[FAST])
    return None


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Yield the name without its last part and, for a reversed name, without its first part, each with that part."""
    rest, dash, suffix = name.rpartition("-")
    if dash:
        yield rest, suffix
    prefix, dash, rest = name.partition("-")
    if dash:
        yield rest, reverse(prefix)
