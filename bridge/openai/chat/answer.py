"""What the streamed and the whole chat completion have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from bridge.config import ReasoningDisplay
from bridge.conversation.events import ToolCall


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

    def calls(self, events: Sequence[ToolCall], *, first: int | None = None) -> dict[str, Any]:
        """Return the field of a message that tells of calls, or the field of its delta, which counts them."""
        if self.old_calls:
            return {"function_call": {"name": events[0].name, "arguments": events[0].arguments}}
        calls = [tool_call(event) for event in events]
        return {"tool_calls": calls if first is None else [{"index": n, **one} for n, one in enumerate(calls, first)]}

    def reason(self, reason: str) -> str:
        """Return the `finish_reason`."""
        return "function_call" if self.old_calls and reason == "tool_calls" else reason


def tool_call(event: ToolCall) -> dict[str, Any]:
    """Return a call as the Chat API has it; a custom tool's call is a function with raw text, as Cursor wants it."""
    function = {"name": event.name, "arguments": event.arguments}
    return {"id": event.call_id, "type": "function", "function": function}
