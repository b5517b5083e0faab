"""What the streamed and the whole chat completion have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from bridge.config import ReasoningDisplay
from bridge.conversation.events import ToolCall
from bridge.openai.sse import pieces


class ChatAnswer(Struct, frozen=True):
    """The frame of one answer; `created` is in epoch seconds, `model` the name as requested."""

    id: str
    created: int
    model: str
    choices: int = 1
    display: ReasoningDisplay = "off"
    cursor: bool = False
    old_calls: bool = False
    """Whether a call is told as `function_call`, as it was before there were tools."""

    def head(self, kind: str) -> dict[str, Any]:
        """Return the fields that begin each object of the answer."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def calls(self, events: Sequence[ToolCall]) -> dict[str, Any]:
        """Return the field of a message that contains its calls."""
        if self.old_calls:
            return {"function_call": {"name": events[0].name, "arguments": events[0].arguments}}
        return {"tool_calls": [self._call(event, event.arguments) for event in events]}

    def call_deltas(self, event: ToolCall, index: int) -> Iterator[dict[str, Any]]:
        """Yield the deltas of a call, of which the first has everything but the rest of the arguments."""
        first, *rest = pieces(event.arguments)
        if self.old_calls:
            yield {"function_call": {"name": event.name, "arguments": first}}
            yield from ({"function_call": {"arguments": piece}} for piece in rest)
            return
        kind, field = self._kind(event)
        yield {"tool_calls": [{"index": index, **self._call(event, first)}]}
        yield from ({"tool_calls": [{"index": index, kind: {field: piece}}]} for piece in rest)

    def _call(self, event: ToolCall, arguments: str) -> dict[str, Any]:
        kind, field = self._kind(event)
        return {"id": event.call_id, "type": kind, kind: {"name": event.name, field: arguments}}

    def _kind(self, event: ToolCall) -> tuple[str, str]:
        """Return the type of a call and the name of its text; Cursor wants custom tools as functions with raw text."""
        custom = event.kind == "custom" and not self.cursor
        return ("custom", "input") if custom else ("function", "arguments")

    def reason(self, reason: str) -> str:
        """Return the `finish_reason`."""
        return "function_call" if self.old_calls and reason == "tool_calls" else reason
