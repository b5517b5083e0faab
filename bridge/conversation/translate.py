"""Events of one Codex turn become turn events.

Codex retries a stream that was cut upstream, and its deltas then start again from the first word under a new item id.
The translator holds back what was already passed on; if the new text differs from it, the answer cannot be saved. What
the model tells about its reasoning may differ: it is then told anew, unless the client has half of a message already,
which nothing may divide.

Codex answers a call by itself when it cannot parse the arguments, or when the tool is not declared. The first is a call
that the client has to answer: the thread then no longer holds the client's conversation. The second is left to codex.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bridge.conversation.events import (
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
from bridge.conversation.prompt import Item, function_call
from bridge.conversation.tools import Tool, Toolbox
from bridge.errors import from_codex_failure, upstream_failed
from bridge.json_values import json_object
from codex_rpc.wire import protocol
from codex_rpc.wire.arguments import codex_can_parse
from codex_rpc.wire.protocol import (
    CodexFailure,
    CompactionStarted,
    Event,
    FinishedTurn,
    MessageDelta,
    RawItemCompleted,
    ResponseCompleted,
    ToolCallAsked,
    TurnCompleted,
)

_INCOMPLETE = re.compile(r"Incomplete response returned, reason: (\w+)")
"""How codex words an upstream `response.incomplete`, which it has no error kind for."""

_OWN_KINDS = frozenset({"message", "reasoning", "web_search_call", "function_call", "function_call_output"})
_SEARCH = "web", "run"
"""The namespace and the name of the search that codex runs itself, for models whose upstream does not."""

_OF_CODEX = "internal_chat_message_metadata_passthrough"
"""What codex writes onto raw items for itself."""


UNDECLARED_CALLS = 4
"""How many calls of tools that are not declared one answer may have. Codex refuses each and asks the model again."""


class Translator:
    """Holds the state of one answer: from the start of a turn, or from its resumption, to its end or suspension."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._text = _Item()
        self._reasoning = _Item()
        self._calls: set[str] = set()
        self._response_is_complete = False
        self.items: list[Item] = []
        """What the model really said, encrypted reasoning included, in a form that can be injected."""
        self.undeclared: list[str] = []
        """The names of the tools that the model called although they are not declared."""
        self.codex_answers = False
        """Whether codex answers, or has answered, a call that is the client's to answer."""
        self.codex_waits = False
        """Whether codex waits for the output of a call before it asks the model again."""

    @property
    def calls(self) -> int:
        """How many calls of the client's tools the model has made."""
        return len(self._calls)

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
                    self._response_is_complete = True
                    out += [Used(usage)] if usage is not None else []
                    out += self.suspend()
                case ToolCallAsked():
                    out += self._asked(event)
                case CompactionStarted():
                    out.append(Failed(upstream_failed("Codex began to compact the conversation by itself.")))
                case TurnCompleted(turn=FinishedTurn(status=status, failure=failure)):
                    out += self._codex_stopped() or [_ending(status, failure)]
                case _:
                    pass
            if out and isinstance(out[-1], Finished | Failed):
                break
        return out

    def suspend(self) -> list[TurnEvent]:
        """The model has said all that it says before it has the outputs of its calls, if it made any."""
        return [Finished("tool_calls")] if self._calls else []

    def _codex_stopped(self) -> list[TurnEvent]:
        """The turn was interrupted because codex would have answered a call: the calls that came are the answer."""
        return self.suspend() if self.codex_answers else []

    def _delta(self, item_id: str, text: str, pieces: int) -> list[TurnEvent]:
        new = self._text.more(item_id, text)
        if new is None:
            return [_text_changed()]
        return [TextDelta(new, pieces)] if new else []

    def _reasoned(self, item_id: str, text: str) -> list[TurnEvent]:
        if self._text.half_told:
            return []
        if not text:
            return [] if self._reasoning.repeats(item_id) else [ReasoningPart(item_id)]
        new = self._reasoning.more(item_id, text)
        if new is None:
            return [ReasoningPart(item_id), ReasoningDelta(self._reasoning.begin_anew(text), item_id)]
        return [ReasoningDelta(new, item_id)] if new else []

    def _item_completed(self, item: Mapping[str, Any]) -> list[TurnEvent]:
        kind = item.get("type")
        if kind not in _OWN_KINDS or item.get("role", "assistant") != "assistant":
            return []
        if kind == "function_call_output":
            return self._codex_answered(item)
        self._response_is_complete = False
        said = {name: value for name, value in item.items() if name != _OF_CODEX}
        match kind:
            case "function_call":
                return self._called(said)
            case "message":
                self.items.append(said)
                return self._message_completed(said)
            case "reasoning":
                self._reasoning.complete()
            case _:
                pass
        self.items.append(said)
        return [] if self._text.half_told else [ItemDone(said)]

    def _called(self, item: Item) -> list[TurnEvent]:
        call_id, name, namespace = item["call_id"], item["name"], item.get("namespace")
        call = self._toolbox.call_to_client(name, item["arguments"], namespace)
        if call is None:
            self.items.append(item)
            if (namespace, name) == _SEARCH:
                return [ItemDone(_web_search(item["arguments"]))]
            self.undeclared.append(name if namespace is None else f"{namespace}.{name}")
            return []
        tool, arguments = call
        self.items.append(item if item["arguments"].strip() else {**item, "arguments": "{}"})
        asked = codex_can_parse(item["arguments"]) and (tool.namespace is not None or namespace != name)
        self.codex_waits |= asked
        self.codex_answers |= not asked
        return self._call(call_id, tool, arguments)

    def _call(self, call_id: str, tool: Tool, arguments: str) -> list[TurnEvent]:
        self._calls.add(call_id)
        namespace, name = tool.path
        return [ToolCall(call_id, name, arguments, tool.kind, namespace)]

    def _asked(self, event: ToolCallAsked) -> list[TurnEvent]:
        """Codex knows a call, so it is the client's even if its item was not recognised."""
        if event.call_id in self._calls:
            return []
        call = self._toolbox.call_to_client(event.tool, event.arguments, event.namespace)
        if call is None:
            return []
        if not any(item.get("call_id") == event.call_id for item in self.items):
            self.items.append(function_call(event.call_id, event.tool, event.arguments, event.namespace))
        self.codex_waits = True
        return [*self._call(event.call_id, *call), *(self.suspend() if self._response_is_complete else [])]

    def _codex_answered(self, item: Mapping[str, Any]) -> list[TurnEvent]:
        if item["call_id"] in self._calls:
            self.codex_answers = True
            return []
        self.items.append({name: value for name, value in item.items() if name != _OF_CODEX})
        if len(self.undeclared) < UNDECLARED_CALLS:
            return []
        return [Failed(upstream_failed(f"The model keeps calling tools that do not exist: {self.undeclared[-1]}."))]

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

    @property
    def half_told(self) -> bool:
        """Whether something of the item was passed on, and it is not complete."""
        return bool(self._said)

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
