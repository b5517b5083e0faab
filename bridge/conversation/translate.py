"""Translates the events of one Codex turn into turn events.

Codex retries a stream that was cut upstream; the deltas then start again from the first word under a new item id. The
translator drops text that was already passed on, of complete messages too; if the new text differs from an incomplete
message, the answer fails. A reasoning summary may differ: it is then passed on again as a new part, unless the client
has received part of a message, which must not be interrupted.

Codex itself answers a call whose arguments it cannot parse or whose tool is not declared. In the first case, the client
must answer the call: the thread then no longer holds the client's conversation. The second case is left to codex.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

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
from bridge.conversation.repeated_text import Messages, Repeated, Summary
from bridge.conversation.tools import Tool, Toolbox
from bridge.errors import upstream_failed
from bridge.json_values import json_object
from bridge.refusals import from_codex_failure, is_permanent
from codex_rpc.wire.arguments import codex_can_parse
from codex_rpc.wire.events import (
    CodexFailure,
    CompactionStarted,
    ErrorReported,
    Event,
    FinishedTurn,
    MessageDelta,
    RawItemCompleted,
    ResponseCompleted,
    ToolCallAsked,
    TurnCompleted,
)
from codex_rpc.wire.events import ReasoningDelta as CodexReasoningDelta

_INCOMPLETE = re.compile(r"Incomplete response returned, reason: (\w+)")
"""Codex's message for an upstream `response.incomplete`, for which it has no error kind."""

_OWN_KINDS = frozenset({"message", "reasoning", "web_search_call", "function_call", "function_call_output"})
_SEARCH = "web", "run"
"""Namespace and name of the search that codex runs for models whose upstream has none."""

_CODEX_FIELD = "internal_chat_message_metadata_passthrough"
"""A field that codex adds to raw items for its own use."""


UNDECLARED_CALLS = 4
"""Number of calls of undeclared tools after which an answer fails. Codex refuses each and asks the model again."""


class Translator:
    """Translates one answer: from the start or resumption of a turn to its end or suspension."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._messages = Messages()
        self._reasoning = Summary()
        self._calls: set[str] = set()
        self._response_is_complete = False
        self.items: list[Item] = []
        """The model's items including encrypted reasoning, in a form that can be injected."""
        self.undeclared: list[str] = []
        """The names of undeclared tools that the model called."""
        self.codex_answers = False
        """Whether codex answers, or has answered, a call that the client must answer."""
        self.codex_waits = False
        """Whether codex waits for the output of a call before it asks the model again."""

    @property
    def calls(self) -> int:
        """The number of calls of the client's tools that the model has made."""
        return len(self._calls)

    def feed(self, events: Iterable[Event]) -> list[TurnEvent]:
        """Return the translated events, up to the first `Finished` or `Failed`, after which nothing more may be fed."""
        out: list[TurnEvent] = []
        for event in events:
            match event:
                case MessageDelta(item_id=item_id, text=text, pieces=pieces):
                    out += self._delta(item_id, text, pieces)
                case CodexReasoningDelta(item_id=item_id, text=text):
                    out += [] if self._messages.is_partial else reasoned(self._reasoning, item_id, text)
                case RawItemCompleted(item=item):
                    out += self._item_completed(item)
                case ResponseCompleted(usage=usage):
                    self._response_is_complete = True
                    self._messages.end_response()
                    out += [Used(usage)] if usage is not None else []
                    out += self.suspend()
                case ToolCallAsked():
                    out += self._call_requested(event)
                case ErrorReported(failure=failure) if is_permanent(failure):
                    out.append(Failed(from_codex_failure(failure)))  # codex may want to repeat the request
                case ErrorReported(will_retry=True):
                    self._messages.retry()
                case CompactionStarted():
                    out.append(Failed(upstream_failed("Codex started to compact the conversation.")))
                case TurnCompleted(turn=FinishedTurn(status=status, failure=failure)):
                    out += self._codex_stopped() or [ending(status, failure)]
                case _:
                    pass
            if out and isinstance(out[-1], Finished | Failed):
                break
        return out

    def suspend(self) -> list[TurnEvent]:
        """Return the end of an answer with calls, if the model made any; it waits for their outputs."""
        return [Finished("tool_calls")] if self._calls else []

    def _codex_stopped(self) -> list[TurnEvent]:
        """If the turn was interrupted because codex would have answered a call, end the answer with the calls."""
        return self.suspend() if self.codex_answers else []

    def _delta(self, item_id: str, text: str, pieces: int) -> list[TurnEvent]:
        new = self._messages.more(item_id, text)
        if new is None:
            return [_text_changed()]
        return [TextDelta(new, pieces)] if new else []

    def _item_completed(self, item: Mapping[str, Any]) -> list[TurnEvent]:
        kind = item.get("type")
        if kind not in _OWN_KINDS or item.get("role", "assistant") != "assistant":
            return []
        if kind == "function_call_output":
            return self._codex_answered(item)
        self._response_is_complete = False
        said = {name: value for name, value in item.items() if name != _CODEX_FIELD}
        match kind:
            case "function_call":
                return self._called(said)
            case "message":
                return self._message_completed(said)
            case "reasoning":
                self._reasoning.complete()
            case _:
                pass
        self.items.append(said)
        return [] if self._messages.is_partial else [ItemDone(said)]

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
        codex_asks = codex_can_parse(item["arguments"]) and (tool.namespace is not None or namespace != name)
        self.codex_waits |= codex_asks
        self.codex_answers |= not codex_asks
        return self._call(call_id, tool, arguments)

    def _call(self, call_id: str, tool: Tool, arguments: str) -> list[TurnEvent]:
        self._calls.add(call_id)
        namespace, name = tool.path
        return [ToolCall(call_id, name, arguments, tool.kind, namespace)]

    def _call_requested(self, event: ToolCallAsked) -> list[TurnEvent]:
        """Pass on a call that codex requests, even if its item was not recognised."""
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
        self.items.append({name: value for name, value in item.items() if name != _CODEX_FIELD})
        if len(self.undeclared) < UNDECLARED_CALLS:
            return []
        return [Failed(upstream_failed(f"The model keeps calling tools that do not exist: {self.undeclared[-1]}."))]

    def _message_completed(self, item: Item) -> list[TurnEvent]:
        """Pass on the part of a complete message that came without deltas."""
        whole = "".join(part.get("text", "") for part in item["content"])
        rest = self._messages.complete(whole)
        if rest is None:
            return [_text_changed()]
        if isinstance(rest, Repeated):
            return []
        self.items.append(item)
        return [*([TextDelta(rest)] if rest else []), ItemDone(item)]


def _web_search(arguments: str) -> Item:
    """Return a call of codex's search tool as a web search item, as other models have it."""
    queries = [*_queries(json_object(arguments).get("search_query"))]
    return {"type": "web_search_call", "status": "completed", "action": {"type": "search", "queries": queries}}


def _queries(searches: object) -> Iterator[str]:
    """Yield the texts of the searches; the model may write anything in their place."""
    for search in cast("list[object]", searches) if isinstance(searches, list) else ():
        match search:
            case {"q": str(query)}:
                yield query
            case _:
                pass


def reasoned(summary: Summary, item_id: str, text: str) -> list[TurnEvent]:
    """Return what is new of a piece of reasoning; an empty one begins a part of the summary."""
    if not text:
        return [] if summary.repeats(item_id) else [ReasoningPart(item_id)]
    new = summary.more(item_id, text)
    if new is None:
        return [ReasoningPart(item_id), ReasoningDelta(summary.restart(text), item_id)]
    return [ReasoningDelta(new, item_id)] if new else []


def _text_changed() -> Failed:
    return Failed(upstream_failed("The model's stream was interrupted, and the repeated text differed."))


def ending(status: str, failure: CodexFailure | None) -> TurnEvent:
    """Return the end of an answer whose turn ended with this status."""
    if status == "completed":
        return Finished("stop")
    if failure is None:
        return Failed(upstream_failed("The turn was interrupted."))
    if incomplete := _INCOMPLETE.search(failure.message):
        reasons: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}
        if reason := reasons.get(incomplete[1]):
            return Finished(reason)
    return Failed(from_codex_failure(failure))
