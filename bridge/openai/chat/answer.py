"""What the streamed and the whole chat completion have in common."""

from __future__ import annotations

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

    def head(self, kind: str) -> dict[str, Any]:
        """Return the fields that begin each object of the answer."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def tool_call(event: ToolCall) -> dict[str, Any]:
    """Return a call as the Chat API has it; a custom tool's call is a function with raw text, as Cursor wants it."""
    function = {"name": event.name, "arguments": event.arguments}
    return {"id": event.call_id, "type": "function", "function": function}
