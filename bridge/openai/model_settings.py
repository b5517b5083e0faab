"""How a request wants the model to be run: the fields that mean the same in both dialects, whatever each calls them.

Source: the OpenAI API reference, "Create chat completion" and "Create a model response".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from msgspec import Struct, field

from bridge.errors import invalid_request
from bridge.limits import Limits
from bridge.model_names import ModelChoice
from bridge.openai.answer_format import parse_format
from bridge.openai.fields import Object, optional, optional_object, required, wrong_type
from bridge.openai.tool_specs import ToolChoice, parse_tool_choice
from bridge.prompt import Item, Prompt
from bridge.tools import Toolbox

MOST_STOPS = 4

MUST_CALL = "Call at least one tool before you answer."
MUST_CALL_ONE = "Call the tool `{name}` before you answer."

_DEFAULT_TIERS = frozenset({"auto", "default"})


class ModelSettings(Struct, frozen=True, kw_only=True):
    """The settings as they were read; the model is still the name that the client wrote."""

    model: str
    toolbox: Toolbox = field(default_factory=Toolbox)
    effort: str | None = None
    tier: str | None = None
    """The service tier, by codex's id or its display name in lower case."""
    verbosity: str | None = None
    schema: Object | None = None
    format_note: str | None = None
    choice_note: str | None = None
    one_call_at_a_time: bool = False
    limits: Limits = field(default_factory=Limits)
    hint: str | None = None

    def prompt(self, items: tuple[Item, ...], choice: ModelChoice, summary: str | None) -> Prompt:
        """What the model is to see; an effort or a tier in the request comes before one in the model's name."""
        return Prompt(
            choice.slug,
            items,
            self.toolbox,
            effort=self.effort or choice.effort,
            tier=self.tier_of(choice),
            summary=summary,
            verbosity=self.verbosity,
            schema=self.schema,
            format_note=self.format_note,
            choice_note=self.choice_note,
            one_call_at_a_time=self.one_call_at_a_time,
            hint=self.hint,
        )

    def tier_of(self, choice: ModelChoice) -> str | None:
        """The tier that the model is run in: the one that the request names, or else the model's name."""
        return self._tier_id(choice) if self.has_tier(choice) else choice.tier

    def has_tier(self, choice: ModelChoice) -> bool:
        """Whether the model has the tier that the request names."""
        return self._tier_id(choice) in choice.tiers.values()

    def _tier_id(self, choice: ModelChoice) -> str | None:
        return None if self.tier is None else choice.tiers.get(self.tier, self.tier)


def parse_settings(fields: Object, toolbox: Toolbox) -> ModelSettings:
    """Read the settings of a decoded body whose tools are known.

    Raises:
        ApiError: 400, `param` names the field.
    """
    _refuse_what_would_be_a_lie(fields)
    choice = parse_tool_choice(fields.get("tool_choice"), toolbox)
    schema, format_note = _format(fields)
    tier = optional(fields, "service_tier", str)
    return ModelSettings(
        model=required(fields, "model", str),
        toolbox=Toolbox() if choice.mode == "none" else toolbox,
        effort=_effort(fields),
        tier=None if tier in _DEFAULT_TIERS else tier,
        verbosity=_verbosity(fields),
        schema=schema,
        format_note=format_note,
        choice_note=_choice_note(choice),
        one_call_at_a_time=optional(fields, "parallel_tool_calls", bool) is False,
        limits=_limits(fields),
        hint=optional(fields, "prompt_cache_key", str),
    )


def _refuse_what_would_be_a_lie(fields: Object) -> None:
    """A parameter that changes what the answer means is honoured or refused, never ignored."""
    if optional(fields, "logprobs", bool):
        message = "Codex reports no log probabilities: 'logprobs' must be false."
        raise invalid_request(message, "logprobs", "unsupported_value")
    if optional(fields, "background", bool):
        message = "This server has no background mode: 'background' must be false."
        raise invalid_request(message, "background", "unsupported_value")


def _effort(fields: Object) -> str | None:
    reasoning = optional_object(fields, "reasoning")
    return optional(fields, "reasoning_effort", str) or optional(reasoning, "effort", str, "reasoning.effort")


def _verbosity(fields: Object) -> str | None:
    levels = ("low", "medium", "high")
    text = optional_object(fields, "text")
    verbosity = optional(fields, "verbosity", str) or optional(text, "verbosity", str, "text.verbosity")
    if verbosity is not None and verbosity not in levels:
        where = "verbosity" if fields.get("verbosity") else "text.verbosity"
        message = f"Invalid value for '{where}': {verbosity!r}; use {', '.join(levels)}."
        raise invalid_request(message, where, "invalid_value")
    return verbosity


def _format(fields: Object) -> tuple[Mapping[str, object] | None, str | None]:
    if fields.get("response_format") is not None:
        return parse_format(fields["response_format"], "response_format")
    return parse_format(optional_object(fields, "text").get("format"), "text.format")


def _choice_note(choice: ToolChoice) -> str | None:
    match choice.mode:
        case "required":
            return MUST_CALL
        case "named":
            return MUST_CALL_ONE.format(name=choice.name)
        case "auto" | "none":
            return None


def _limits(fields: Object) -> Limits:
    most: int | None = None
    for name in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        tokens = optional(fields, name, int)
        if tokens is not None and tokens < 1:
            raise invalid_request(f"'{name}' must be at least 1.", name, "invalid_value")
        most = most or tokens
    return Limits(_stops(fields.get("stop")), most)


def _stops(value: object) -> tuple[str, ...]:
    match value:
        case None:
            return ()
        case str():
            stops = [value]
        case list():
            stops = cast("list[object]", value)
        case _:
            raise wrong_type(value, "a string or an array of strings", "stop")
    if len(stops) > MOST_STOPS:
        raise invalid_request(f"'stop' takes at most {MOST_STOPS} sequences.", "stop", "invalid_value")
    for number, stop in enumerate(stops):
        if not isinstance(stop, str):
            raise wrong_type(stop, "a string", f"stop[{number}]")
    return tuple(stop for stop in cast("list[str]", stops) if stop)
