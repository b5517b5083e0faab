"""How a request wants the model to be run: the fields that mean the same in both dialects, whatever each calls them.

Source: the OpenAI API reference, "Create chat completion" and "Create a model response".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

from bridge.codex.models import ModelChoice
from bridge.conversation.limits import Limits
from bridge.conversation.prompt import Item, Prompt
from bridge.conversation.tools import Toolbox
from bridge.errors import invalid_request
from bridge.openai.answer_format import Format, for_codex
from bridge.openai.shapes import Object, Refused, Shape
from bridge.openai.tool_choice import ToolChoice, read_tool_choice

MOST_STOPS = 4

MUST_CALL = "Call at least one tool before you answer."
MUST_CALL_ONE = "Call the tool `{name}` before you answer."

_DEFAULT_TIERS = frozenset({"auto", "default"})

Tokens: TypeAlias = Annotated[int, Meta(ge=1)]
Verbosity: TypeAlias = Literal["low", "medium", "high"]
Summary: TypeAlias = Literal["auto", "concise", "detailed", "none"]


class Reasoning(Shape, frozen=True):
    """The field `reasoning`."""

    effort: str | None = None
    summary: Summary | None = None
    generate_summary: Summary | None = None


class Text(Shape, frozen=True):
    """The field `text`."""

    format: Format | None = None
    verbosity: Verbosity | None = None


class StreamOptions(Shape, frozen=True):
    """The field `stream_options`."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None

    def without_effect(self) -> Iterable[str]:
        return ("include_obfuscation",) if self.include_obfuscation else ()


class ModelSettings(Struct, frozen=True, kw_only=True):
    """The settings as they were read; the model is still the name that the client wrote."""

    model: str
    toolbox: Toolbox = field(default_factory=Toolbox)
    effort: str | None = None
    effort_field: str = "reasoning.effort"
    """Where the request names the effort."""
    tier: str | None = None
    """The service tier, by codex's id or its display name in lower case."""
    verbosity: str | None = None
    schema: Object | None = None
    format_note: str | None = None
    choice_note: str | None = None
    one_call_at_a_time: bool = False
    limits: Limits = field(default_factory=Limits)
    cache_key: str | None = None

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
            cache_key=self.cache_key,
        )

    def check_effort(self, choice: ModelChoice) -> None:
        """Accept an effort that the model has; what is not known of a model is left to the upstream.

        Raises:
            ApiError: 400, naming the efforts of the model.
        """
        if self.effort is not None and choice.efforts and self.effort not in choice.efforts:
            known = ", ".join(choice.efforts)
            message = f"The model {self.model!r} has no reasoning effort {self.effort!r}; use one of: {known}."
            raise invalid_request(message, self.effort_field, "unsupported_value")

    def tier_of(self, choice: ModelChoice) -> str | None:
        """The tier that the model is run in: the one that the request names, or else the model's name."""
        return self._tier_id(choice) if self.has_tier(choice) else choice.tier

    def has_tier(self, choice: ModelChoice) -> bool:
        """Whether the model has the tier that the request names."""
        return self._tier_id(choice) in choice.tiers.values()

    def _tier_id(self, choice: ModelChoice) -> str | None:
        return None if self.tier is None else choice.tiers.get(self.tier, self.tier)


class SharedFields(Shape, frozen=True):
    """The body of a request, as far as both dialects have the same fields, or could."""

    model: str
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    instructions: str | None = None
    response_format: Format | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    reasoning_effort: str | None = None
    verbosity: Verbosity | None = None
    service_tier: str | None = None
    max_completion_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None
    max_tokens: Tokens | None = None
    stop: str | Annotated[list[str], Meta(max_length=MOST_STOPS)] | None = None
    prompt_cache_key: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    background: bool | None = None

    def __post_init__(self) -> None:
        """A parameter that changes what the answer means is honoured or refused, never ignored."""
        if self.logprobs:
            message = "Codex reports no log probabilities: '{where}' must be false."
            raise Refused("logprobs", message, "unsupported_value")

    def choice(self, toolbox: Toolbox) -> ToolChoice:
        """Return the choice of a tool; raises ApiError as `settings` does."""
        return read_tool_choice(self.tool_choice, toolbox)

    def settings(self, toolbox: Toolbox) -> ModelSettings:
        """Return the settings; `toolbox` has the tools of the request.

        Raises:
            ApiError: 400, the choice of a tool does not fit the tools.
        """
        text, reasoning = self.text or Text(), self.reasoning or Reasoning()
        choice = self.choice(toolbox)
        schema, format_note = for_codex(self.response_format or text.format)
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return ModelSettings(
            model=self.model,
            toolbox=choice.toolbox,
            effort=self.reasoning_effort or reasoning.effort or None,
            effort_field="reasoning_effort" if self.reasoning_effort else "reasoning.effort",
            tier=None if self.service_tier in _DEFAULT_TIERS else self.service_tier,
            verbosity=self.verbosity or text.verbosity,
            schema=schema,
            format_note=format_note,
            choice_note=_choice_note(choice),
            one_call_at_a_time=self.parallel_tool_calls is False,
            limits=Limits(
                tuple(filter(None, stops)), self.max_completion_tokens or self.max_output_tokens or self.max_tokens
            ),
            cache_key=self.prompt_cache_key,
        )


def _choice_note(choice: ToolChoice) -> str | None:
    match choice.mode:
        case "required":
            return MUST_CALL
        case "named":
            return MUST_CALL_ONE.format(name=choice.name)
        case "auto":
            return None
