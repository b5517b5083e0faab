"""The body of a request to /responses.

Source: the OpenAI API reference, "Create a model response".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

from bridge.codex.models import means_an_agent
from bridge.json_values import check_size
from bridge.openai.model_settings import SharedFields, Tokens
from bridge.openai.responses.object import ENCRYPTED
from bridge.openai.shapes import Refused, Shape, body_object, decode, lost, wrong_type
from bridge.openai.tool_specs import ENTRIES, ENTRIES_FOR_AGENTS, DeclaredTool, read_tools

IGNORED = ("max_tool_calls", "safety_identifier", "temperature", "top_p", "user")
"""Parameters that tune or label an answer and that it repeats; codex has no place for them."""

NOT_FOR_A_SUMMARY = (
    *IGNORED,
    "background",
    "context_management",
    "include",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "store",
    "stream",
    "text",
    "tool_choice",
    "truncation",
)
"""Parameters of an answer that mean nothing for a summary."""

UNSUPPORTED = {
    "prompt": "send its text in 'instructions' or 'input'",
}
"""Parameters that stand for something that only the upstream stores."""

LOGPROBS = "message.output_text.logprobs"

_Included: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z_.]{1,64}\Z")]
"""What is unknown is no error, but has to look like a name."""


class ContextManagement(Shape, frozen=True):
    """An element of `context_management`."""

    type: str
    compact_threshold: Tokens | None = None

    def without_effect(self) -> Iterable[str]:
        return () if self.type == "compaction" and self.compact_threshold else ("type",)


class ConversationId(Shape, frozen=True):
    """The longer form of `conversation`."""

    id: str


class ResponseFields(SharedFields, frozen=True):
    """The body of a request."""

    silent = frozenset({"client_metadata"})

    input: str | list[Any] | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    include: list[_Included] | None = None
    generate: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: dict[str, Any] | None = None
    max_tool_calls: int | None = None
    safety_identifier: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = None
    context_management: list[ContextManagement] | None = None
    conversation: str | ConversationId | None = None
    prompt: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.background and self.store is False:
            raise Refused("store", "A background response must be stored: '{where}' must not be false.")
        if self.conversation is not None and self.previous_response_id is not None:
            message = "'{where}' and 'previous_response_id' exclude each other: each names what comes before the input."
            raise Refused("conversation", message)
        for name, instead in UNSUPPORTED.items():
            if getattr(self, name) is not None:
                raise Refused(name, f"'{{where}}' is not supported; {instead}.", "unsupported_parameter")
        if LOGPROBS in (self.include or ()):
            message = f"Codex reports no log probabilities: '{{where}}' must not hold {LOGPROBS!r}."
            raise Refused("include", message, "unsupported_value")
        for name, value in (self.metadata or {}).items():
            if not isinstance(value, str):
                raise wrong_type(f"metadata.{name}", value, "a string")

    @property
    def needs_input(self) -> bool:
        """Whether there must be something to answer."""
        return self.generate is not False

    @property
    def conversation_id(self) -> str | None:
        """The id of the conversation that the response belongs to."""
        return self.conversation.id if isinstance(self.conversation, ConversationId) else self.conversation

    @property
    def compact_threshold(self) -> int | None:
        """The number of input tokens from which on the conversation is compacted first; None if it never is."""
        wanted = (one.compact_threshold for one in self.context_management or () if one.type == "compaction")
        return min(filter(None, wanted), default=None)

    @property
    def summary(self) -> str:
        """Whether the model tells about its reasoning: only when it is asked to, as in the API."""
        return (self.reasoning and (self.reasoning.summary or self.reasoning.generate_summary)) or "none"

    def without_effect(self) -> Iterable[str]:
        yield from (name for name in IGNORED if getattr(self, name) is not None)
        if self.truncation == "auto":
            yield "truncation"
        yield from (f"include[{name}]" for name in self.include or () if name != ENCRYPTED)


class CompactFields(ResponseFields, frozen=True):
    """The body of a request to /responses/compact: of its tools, only the names in old calls matter."""

    def without_effect(self) -> Iterable[str]:
        yield from (name for name in NOT_FOR_A_SUMMARY if getattr(self, name) is not None)


class CountFields(ResponseFields, frozen=True):
    """The body of a request to /responses/input_tokens: the model and the input may be missing."""

    model: str = ""

    @property
    def needs_input(self) -> bool:
        """Tools and instructions count as well."""
        return False


class ResponseBody(Struct, frozen=True):
    """The body of a request, decoded but for the items in it, and the paths of what has no effect in it."""

    fields: ResponseFields
    tools: Sequence[DeclaredTool]
    lost: tuple[str, ...]


def read_body(body: object, shape: type[ResponseFields] = ResponseFields) -> ResponseBody:
    """Read a decoded JSON body.

    Raises:
        ApiError: 400, `param` names the field.
    """
    raw = body_object(body)
    check_size({name: value for name, value in raw.items() if name != "input"})
    fields = decode(raw, shape)
    tools = read_tools(fields.tools, shapes=ENTRIES_FOR_AGENTS if means_an_agent(fields.model) else ENTRIES)
    return ResponseBody(fields, tools.entries, (*lost(raw, fields), *tools.lost))
