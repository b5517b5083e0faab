"""What happens in a turn, in the words that every writer of an answer understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from bridge.errors import ApiError
from bridge.prompt import Item
from bridge.tools import Kind
from codex_rpc.protocol import TokenUsage

FinishReason: TypeAlias = Literal["stop", "length", "content_filter", "tool_calls", "cancelled"]


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text; `tokens` counts the pieces in which it came from the model."""

    text: str
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """A new paragraph of what the model tells about its reasoning begins."""


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of it."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls a tool of the client, whole; names and arguments as the client knows them."""

    call_id: str
    name: str
    arguments: str
    kind: Kind = "function"
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class ItemDone:
    """A message, a reasoning item or a web search of the model is complete: the item as it came from upstream.

    Text and reasoning have been told before by their deltas.
    """

    item: Item


@dataclass(frozen=True, slots=True)
class Used:
    """What one upstream response cost."""

    usage: TokenUsage


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete. Nothing follows."""

    reason: FinishReason


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer cannot be completed. Nothing follows."""

    error: ApiError


TurnEvent: TypeAlias = TextDelta | ReasoningPart | ReasoningDelta | ToolCall | ItemDone | Used | Finished | Failed
"""One thing that happened in a turn."""
