"""An answer as its client will send it back: what the next request's history is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from bridge.conversation.events import ItemDone, TextDelta, ToolCall, TurnEvent
from bridge.conversation.prompt import Item, function_call, message
from bridge.conversation.tools import Toolbox

Dialect: TypeAlias = Literal["chat", "responses"]
"""What an answer is written in: one message with its calls behind, or items as the model made them."""


class ExpectedHistory:
    """Collects the events of one answer as they go out to the client."""

    def __init__(self, toolbox: Toolbox, dialect: Dialect) -> None:
        self._toolbox = toolbox
        self._dialect = dialect
        self._text: list[str] = []
        self._items: list[Item] = []

    def feed(self, events: Iterable[TurnEvent]) -> None:
        """Take what goes out."""
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
        """Return the answer, in the form in which a request is parsed."""
        if self._dialect == "responses":
            self._end_message()
            return self._items
        text = "".join(self._text)
        return [message("assistant", text), *self._items] if text or not self._items else self._items

    def _end_message(self) -> None:
        if self._dialect == "responses" and self._text:
            self._items.append(message("assistant", "".join(self._text)))
            self._text.clear()
