"""An answer as the client is expected to send it back; the next request's history is compared with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from bridge.conversation.events import ItemDone, TextDelta, ToolCall, TurnEvent
from bridge.conversation.prompt import Item, function_call, message
from bridge.conversation.tools import Toolbox

Dialect: TypeAlias = Literal["chat", "responses"]
"""How an answer is written: `chat` as one message followed by its calls, `responses` as the model's own items."""


class ExpectedHistory:
    """Collects the events of one answer that are sent to the client."""

    def __init__(self, toolbox: Toolbox, dialect: Dialect) -> None:
        self._toolbox = toolbox
        self._dialect = dialect
        self._text: list[str] = []
        self._items: list[Item] = []

    def feed(self, events: Iterable[TurnEvent]) -> None:
        """Add events that are sent to the client."""
        for event in events:
            match event:
                case TextDelta(text):
                    self._text.append(text)
                case ToolCall(call_id, name, arguments, namespace=namespace):
                    self._end_message()
                    self._items.append(function_call(call_id, *self._toolbox.call_to_codex(name, arguments, namespace)))
                case ItemDone({"type": "message"}):
                    self._end_message()
                case _:
                    pass

    def items(self) -> list[Item]:
        """Return the answer as the items that a parsed request would have."""
        if self._dialect == "responses":
            self._end_message()
            return self._items
        text = "".join(self._text)
        return [message("assistant", text), *self._items] if text or not self._items else self._items

    def _end_message(self) -> None:
        if self._dialect == "responses" and self._text:
            self._items.append(message("assistant", "".join(self._text)))
            self._text.clear()
