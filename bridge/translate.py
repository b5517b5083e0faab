"""Events of one Codex turn become turn events.

Codex retries a stream that was cut upstream, and its deltas then start again from the first word under a new item id.
The translator holds back what was already passed on; if the new text differs from it, the answer cannot be saved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bridge.errors import from_codex_failure, upstream_failed
from bridge.events import Failed, Finished, FinishReason, ReasoningDelta, TextDelta, ToolCall, TurnEvent, Used
from bridge.prompt import Item
from bridge.tools import Toolbox
from codex_rpc import protocol
from codex_rpc.protocol import CodexFailure, Event, MessageDelta, RawItemCompleted, ResponseCompleted, TurnCompleted

_INCOMPLETE = re.compile(r"Incomplete response returned, reason: (\w+)")
"""How codex words an upstream `response.incomplete`, which it has no error kind for."""

_OWN_KINDS = frozenset({"message", "reasoning", "function_call", "function_call_output"})
_OF_CODEX = "internal_chat_message_metadata_passthrough"
"""What codex writes onto raw items for itself."""


class Translator:
    """Holds the state of one answer: from the start of a turn, or from its resumption, to its end or suspension."""

    def __init__(self, toolbox: Toolbox, answered: Iterable[str] = ()) -> None:
        self._toolbox = toolbox
        self._answered = frozenset(answered)
        self._item_id: str | None = None
        self._said: list[str] = []
        self._to_repeat = ""
        self._reasoned = False
        self.calls = 0
        """How many calls of the client's tools the model has made."""
        self.items: list[Item] = []
        """What the model really said, encrypted reasoning included, in a form that can be injected."""

    def feed(self, events: Iterable[Event]) -> list[TurnEvent]:
        """Return what the events mean; after a `Finished` or `Failed` there is nothing more to feed."""
        out: list[TurnEvent] = []
        for event in events:
            match event:
                case MessageDelta(item_id=item_id, text=text, pieces=pieces):
                    out += self._delta(item_id, text, pieces)
                case protocol.ReasoningDelta(text=text):
                    out += [ReasoningDelta(text)] if self._reasoned or text != protocol.PARAGRAPH else []
                    self._reasoned = True
                case RawItemCompleted(item=item):
                    out += self._item_completed(item)
                case ResponseCompleted(usage=usage):
                    out += [Used(usage)] if usage is not None else []
                    out += self.suspend()
                case TurnCompleted(status=status, failure=failure):
                    out.append(_ending(status, failure))
                case _:
                    pass
            if out and isinstance(out[-1], Finished | Failed):
                break
        return out

    def suspend(self) -> list[TurnEvent]:
        """The model has said all that it says before it has the outputs of its calls, if it made any."""
        return [Finished("tool_calls")] if self.calls else []

    def _delta(self, item_id: str, text: str, pieces: int) -> list[TurnEvent]:
        if self._item_id is not None and item_id != self._item_id:
            self._to_repeat = "".join(self._said)
        self._item_id = item_id
        if self._to_repeat:
            known = min(len(self._to_repeat), len(text))
            if text[:known] != self._to_repeat[:known]:
                return [_text_changed()]
            self._to_repeat, text = self._to_repeat[known:], text[known:]
        if not text:
            return []
        self._said.append(text)
        return [TextDelta(text, pieces)]

    def _item_completed(self, item: Mapping[str, Any]) -> list[TurnEvent]:
        kind = item.get("type")
        if (
            kind not in _OWN_KINDS
            or item.get("role", "assistant") != "assistant"
            or item.get("call_id") in self._answered
        ):
            return []
        self.items.append({name: value for name, value in item.items() if name != _OF_CODEX})
        if kind == "message":
            return self._message_completed(item)
        if kind == "function_call" and (call := self._toolbox.call_to_client(item["name"], item["arguments"])):
            self.calls += 1
            tool, arguments = call
            return [ToolCall(item["call_id"], tool.name, arguments)]
        return []

    def _message_completed(self, item: Mapping[str, Any]) -> list[TurnEvent]:
        """The whole message is known: pass on what came without deltas, and expect nothing of it again."""
        whole = "".join(part.get("text", "") for part in item["content"])
        said = "".join(self._said)
        self._said.clear()
        self._item_id, self._to_repeat = None, ""
        if not whole.startswith(said):
            return [_text_changed()]
        return [TextDelta(whole[len(said) :])] if len(whole) > len(said) else []


def _text_changed() -> Failed:
    return Failed(upstream_failed("The model's stream broke off, and the text differed when it was repeated."))


def _ending(status: str, failure: CodexFailure | None) -> TurnEvent:
    if status == "completed":
        return Finished("stop")
    if failure is None:
        return Failed(upstream_failed("The turn was interrupted."))
    if incomplete := _INCOMPLETE.search(failure.message):
        reasons: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}
        if reason := reasons.get(incomplete[1]):
            return Finished(reason)
    return Failed(from_codex_failure(failure))
