"""What happens in a turn, in the words that every writer of an answer understands."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from bridge.conversation.prompt import Item
from bridge.conversation.tools import Kind
from bridge.errors import ApiError
from codex_rpc.wire.protocol import TokenUsage

FinishReason: TypeAlias = Literal["stop", "length", "content_filter", "tool_calls", "cancelled"]


class TextDelta(Struct, frozen=True):
    """More of the answer's text; `tokens` counts the pieces in which it came from the model."""

    text: str
    tokens: int = 1


class ReasoningPart(Struct, frozen=True):
    """A new paragraph of what the model tells about its reasoning begins; `source` is the upstream's id of the item."""

    source: str = ""


class ReasoningDelta(Struct, frozen=True):
    """More of it."""

    text: str
    source: str = ""


class ToolCall(Struct, frozen=True):
    """The model calls a tool of the client, whole; names and arguments as the client knows them."""

    call_id: str
    name: str
    arguments: str
    kind: Kind = "function"
    namespace: str | None = None


class ItemDone(Struct, frozen=True):
    """A message, a reasoning item or a web search of the model is complete: the item as it came from upstream.

    Text and reasoning have been told before by their deltas.
    """

    item: Item


class Used(Struct, frozen=True):
    """What one upstream response cost."""

    usage: TokenUsage


class Finished(Struct, frozen=True):
    """The answer is complete. Nothing follows."""

    reason: FinishReason


class Failed(Struct, frozen=True):
    """The answer cannot be completed. Nothing follows."""

    error: ApiError


TurnEvent: TypeAlias = TextDelta | ReasoningPart | ReasoningDelta | ToolCall | ItemDone | Used | Finished | Failed
"""One thing that happened in a turn."""
