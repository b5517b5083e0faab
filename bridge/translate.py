"""Events of one Codex turn become turn events.

Codex retries a stream that was cut upstream, and its deltas then start again from the first word under a new item id.
The translator holds back what was already passed on; if the new text differs from it, the answer cannot be saved. What
the model tells about its reasoning may differ: it is then told anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bridge.errors import from_codex_failure, upstream_failed
from bridge.events import (
    Failed,
    Finished,
    FinishReason,
    ItemDone,
    ReasoningDelta,
    ReasoningPart,
    TextDelta,
    ToolCall,
    TurnEvent,
    Used,
)
from bridge.json_body import json_object
from bridge.prompt import Item
from bridge.tools import Toolbox
from codex_rpc import protocol
from codex_rpc.protocol import CodexFailure, Event, MessageDelta, RawItemCompleted, ResponseCompleted, TurnCompleted

_INCOMPLETE = re.compile(r"Incomplete response returned, reason: (\w+)")
"""How codex words an upstream `response.incomplete`, which it has no error kind for."""

_OWN_KINDS = frozenset({"message", "reasoning", "web_search_call", "function_call", "function_call_output"})
_SEARCH = "web", "run"
"""The namespace and the name of the search that codex runs itself, for models whose upstream does not."""

_OF_CODEX = "internal_chat_message_metadata_passthrough"
"""What codex writes onto raw items for itself."""


class Translator:
    """Holds the state of one answer: from the start of a turn, or from its resumption, to its end or suspension."""

    def __init__(self, toolbox: Toolbox, answered: Iterable[str] = ()) -> None:
        self._toolbox = toolbox
        self._answered = frozenset(answered)
        self._text = _Item()
        self._reasoning = _Item()
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
                case protocol.ReasoningDelta(item_id=item_id, text=text):
                    out += self._reasoned(item_id, text)
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
        new = self._text.more(item_id, text)
        if new is None:
            return [_text_changed()]
        return [TextDelta(new, pieces)] if new else []

    def _reasoned(self, item_id: str, text: str) -> list[TurnEvent]:
        if not text:
            return [] if self._reasoning.repeats(item_id) else [ReasoningPart()]
        new = self._reasoning.more(item_id, text)
        if new is None:
            return [ReasoningPart(), ReasoningDelta(self._reasoning.begin_anew(text))]
        return [ReasoningDelta(new)] if new else []

    def _item_completed(self, item: Mapping[str, Any]) -> list[TurnEvent]:
        kind = item.get("type")
        if (
            kind not in _OWN_KINDS
            or item.get("role", "assistant") != "assistant"
            or item.get("call_id") in self._answered
        ):
            return []
        said = {name: value for name, value in item.items() if name != _OF_CODEX}
        self.items.append(said)
        match kind:
            case "message":
                return self._message_completed(said)
            case "function_call":
                return self._called(said)
            case "function_call_output":
                return []
            case "reasoning":
                self._reasoning.complete()
                return [ItemDone(said)]
            case _:
                return [ItemDone(said)]

    def _called(self, item: Item) -> list[TurnEvent]:
        call = self._toolbox.call_to_client(item["name"], item["arguments"], item.get("namespace"))
        if call is None:
            searched = (item.get("namespace"), item["name"]) == _SEARCH
            return [ItemDone(_web_search(item["arguments"]))] if searched else []
        self.calls += 1
        tool, arguments = call
        namespace, name = tool.path
        return [ToolCall(item["call_id"], name, arguments, tool.kind, namespace)]

    def _message_completed(self, item: Item) -> list[TurnEvent]:
        """The whole message is known: pass on what came without deltas, and expect nothing of it again."""
        whole = "".join(part.get("text", "") for part in item["content"])
        said = self._text.complete()
        if not whole.startswith(said):
            return [_text_changed()]
        rest: list[TurnEvent] = [TextDelta(whole[len(said) :])] if len(whole) > len(said) else []
        return [*rest, ItemDone(item)]


class _Item:
    """The text of one item as it grows, without what a retry repeats under a new item id."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._said: list[str] = []
        self._to_repeat = ""

    def repeats(self, item_id: str) -> bool:
        """Whether what comes has been said before."""
        return bool(self._to_repeat) or self._id not in {None, item_id}

    def more(self, item_id: str, text: str) -> str | None:
        """Return what of a delta is new; None if it differs from what is to be repeated."""
        if self._id is not None and item_id != self._id:
            self._to_repeat = "".join(self._said)
        self._id = item_id
        if self._to_repeat:
            known = min(len(self._to_repeat), len(text))
            if text[:known] != self._to_repeat[:known]:
                return None
            self._to_repeat, text = self._to_repeat[known:], text[known:]
        if text:
            self._said.append(text)
        return text

    def begin_anew(self, text: str) -> str:
        """Take a delta that differs as the text's new course; return all of it so far, with what was held back."""
        said = "".join(self._said)
        whole = said[: len(said) - len(self._to_repeat)] + text
        self._said, self._to_repeat = [whole], ""
        return whole

    def complete(self) -> str:
        """Return what was said of the item; nothing of it is expected again."""
        said = "".join(self._said)
        self._id, self._said, self._to_repeat = None, [], ""
        return said


def _web_search(arguments: str) -> Item:
    """A call of codex's own search tool, which codex runs itself, as the item that other models' searches are."""
    asked = json_object(arguments)
    queries = [query["q"] for query in asked.get("search_query") or () if isinstance(query.get("q"), str)]
    return {"type": "web_search_call", "status": "completed", "action": {"type": "search", "queries": queries}}


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
