"""Turn events become the items of a response, and the semantic events that tell how they grow.

Source: the OpenAI API reference, "Streaming events" of Responses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from bridge.conversation.events import (
    Failed,
    Finished,
    FinishReason,
    ItemDone,
    MessageBegun,
    ReasoningDelta,
    ReasoningPart,
    StepBegun,
    StepDone,
    TextDelta,
    ToolCall,
    TurnEvent,
    Used,
)
from bridge.errors import ApiError
from bridge.openai.responses.object import Object, ResponseFrame, Status
from bridge.openai.sse import pieces
from codex_rpc.wire.protocol import TokenUsage

Event = dict[str, Any]

_PHASES = frozenset({"commentary", "final_answer"})
"""The phases of a message that clients know; the upstream has more, such as `partial_answer`."""

_STATUS: Mapping[FinishReason, tuple[Status, str | None]] = {
    "stop": ("completed", None),
    "tool_calls": ("completed", None),
    "length": ("incomplete", "max_output_tokens"),
    "content_filter": ("incomplete", "content_filter"),
    "cancelled": ("cancelled", None),
}


class ResponseOutput:
    """One response as it grows: at most one item is open, the others are complete."""

    def __init__(self, frame: ResponseFrame) -> None:
        self.frame = frame
        self.items: list[Object] = []
        """The complete items, with all that the client may not see."""
        self._open: _Message | _Reasoning | None = None
        self._usage: TokenUsage | None = None
        self.response = frame.response("in_progress")
        """The response object as far as it is known; final once its status is not `in_progress`."""

    def run_in(self, tier: str | None) -> None:
        """Note the service tier in which the model runs; to be told before the response begins."""
        self.frame = self.frame.in_tier(tier)
        self.response = self.frame.response("in_progress")

    def begin(self) -> Iterator[Event]:
        """Yield what every stream begins with."""
        yield {"type": "response.created", "response": self.response}
        yield self.still_in_progress()

    def queue(self) -> Iterator[Event]:
        """Yield what the stream of a response begins with that waits; `still_in_progress` follows when it runs."""
        self.response = self.frame.response("queued")
        yield {"type": "response.created", "response": self.response}
        yield {"type": "response.queued", "response": self.response}

    def feed(self, events: Iterable[TurnEvent]) -> Iterator[Event]:
        """Yield what the events of the turn are in this dialect. To be exhausted."""
        for event in events:
            match event:
                case TextDelta(text):
                    yield from self._open_message()
                    yield from self._message().more(text)
                case ReasoningPart(source):
                    yield from self._open_reasoning(source)
                    yield from self._reasoning().begin_part()
                case ReasoningDelta(text, source):
                    yield from self._open_reasoning(source)
                    yield from self._reasoning().more(text)
                case ToolCall():
                    yield from self._close()
                    yield from self._call(event)
                case ItemDone(item):
                    yield from self._item_done(item)
                case MessageBegun() | StepBegun() | StepDone():
                    pass
                case Used(usage):
                    self._usage = usage if self._usage is None else self._usage + usage
                case Finished(reason):
                    status, incomplete = _STATUS[reason]
                    yield from self._close("completed" if status == "completed" else "incomplete")
                    yield self._end(status, incomplete=incomplete)
                case Failed(error):
                    yield from self.fail(error)

    def fail(self, error: ApiError) -> Iterator[Event]:
        """Yield the end of a response which cannot be completed."""
        yield from self._close("incomplete")
        yield self._end("failed", error=error)

    def still_in_progress(self) -> Event:
        """Return the event for a client that takes long silence for a lost connection."""
        return {"type": "response.in_progress", "response": self.response}

    def cancel(self) -> bool:
        """End a response that still runs as cancelled, without events; return whether it ran."""
        running = self.response["status"] == "in_progress"
        if running:
            for _ in self.feed([Finished("cancelled")]):
                pass
        return running

    def stop(self, error: ApiError) -> Iterator[Event]:
        """Yield the end of a response that the server stopped; `error` says why."""
        yield from self._close("incomplete")
        yield self._end("incomplete", error=error)

    # ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _open_message(self) -> Iterator[Event]:
        if not isinstance(self._open, _Message):
            yield from self._close()
            self._open = _Message(self.frame.item_id("msg", len(self.items)), len(self.items))
            yield self._added(self._open.item("in_progress"))

    def _open_reasoning(self, source: str) -> Iterator[Event]:
        if not isinstance(self._open, _Reasoning):
            yield from self._close()
            index = len(self.items)
            self._open = _Reasoning(self.frame.item_id("rs", source or index), index, source)
            yield self._added(self._open.item())

    def _message(self) -> _Message:
        assert isinstance(self._open, _Message)
        return self._open

    def _reasoning(self) -> _Reasoning:
        assert isinstance(self._open, _Reasoning)
        return self._open

    def _item_done(self, item: Mapping[str, Any]) -> Iterator[Event]:
        match item["type"]:
            case "message":
                if isinstance(self._open, _Message):
                    yield from self._open.is_really(item)
                    yield from self._close()
            case "reasoning":
                source = item.get("id") or ""
                if isinstance(self._open, _Reasoning) and self._open.source != source:
                    # A retry told it under another id, and the upstream opens what it encrypted under that one alone.
                    yield from self._close()
                yield from self._open_reasoning(source)
                yield from self._reasoning().is_really(item)
                yield from self._close()
            case "compaction":
                yield from self._close()
                yield self._added({**item, "encrypted_content": ""})
                yield self._done(item)
            case _:
                yield from self._close()
                yield from self._searched(item)

    def _close(self, status: str = "completed") -> Iterator[Event]:
        opened, self._open = self._open, None
        if opened is not None:
            yield from opened.end(status)
            yield self._done(opened.item(status))

    def _call(self, call: ToolCall) -> Iterator[Event]:
        named = {"name": call.name} if call.namespace is None else {"name": call.name, "namespace": call.namespace}
        where = {"output_index": len(self.items)}
        match call.kind:
            case "function":
                item_id, kind, field = self.frame.item_id("fc", len(self.items)), "function_call", "arguments"
                told = "response.function_call_arguments"
            case "custom":
                item_id, kind, field = self.frame.item_id("ctc", len(self.items)), "custom_tool_call", "input"
                told = "response.custom_tool_call_input"
            case "search":
                yield from self._tool_search(call)
                return
        item: dict[str, Any] = {"id": item_id, "type": kind, "status": "in_progress", "call_id": call.call_id, **named}
        yield self._added({**item, field: ""})
        for piece in pieces(call.arguments):
            yield {"type": f"{told}.delta", "item_id": item_id, **where, "delta": piece}
        yield {"type": f"{told}.done", "item_id": item_id, **where, field: call.arguments}
        yield self._done({**item, "status": "completed", field: call.arguments})

    def _tool_search(self, call: ToolCall) -> Iterator[Event]:
        item = {
            "id": self.frame.item_id("tsc", len(self.items)),
            "type": "tool_search_call",
            "status": "completed",
            "call_id": call.call_id,
            "execution": "client",
            "arguments": _json(call.arguments),
        }
        yield self._added({**item, "status": "in_progress"})
        yield self._done(item)

    def _searched(self, item: Mapping[str, Any]) -> Iterator[Event]:
        item_id = self.frame.item_id("ws", len(self.items))
        action: Mapping[str, Any] = item.get("action") or {"type": "search"}
        searched = {"id": item_id, "type": "web_search_call", "status": "completed", "action": action}
        where = {"item_id": item_id, "output_index": len(self.items)}
        yield self._added({**searched, "status": "in_progress"})
        for step in ("in_progress", "searching", "completed"):
            yield {"type": f"response.web_search_call.{step}", **where}
        yield self._done(searched)

    def _added(self, item: Object) -> Event:
        return {"type": "response.output_item.added", "output_index": len(self.items), "item": item}

    def _done(self, item: Object) -> Event:
        index = len(self.items)
        self.items.append(item)
        return {"type": "response.output_item.done", "output_index": index, "item": self.frame.shown(item)}

    def _end(self, status: Status, *, error: ApiError | None = None, incomplete: str | None = None) -> Event:
        self.response = self.frame.response(status, self.items, self._usage, error=error, incomplete=incomplete)
        name = "incomplete" if status == "cancelled" else status
        return {"type": f"response.{name}", "response": self.response}


class _Message:
    """The message that is being written."""

    def __init__(self, item_id: str, index: int) -> None:
        self._where: Event = {"item_id": item_id, "output_index": index, "content_index": 0}
        self._text: list[str] = []
        self._annotations: list[Object] = []
        self._phase: str | None = None

    def item(self, status: str) -> Object:
        item = {"id": self._where["item_id"], "type": "message", "status": status, "role": "assistant"}
        phase = {"phase": self._phase} if self._phase else {}
        return {**item, **phase, "content": [self._part()] if self._text else []}

    def more(self, text: str) -> Iterator[Event]:
        if not self._text:
            yield {"type": "response.content_part.added", **self._where, "part": _text_part("", [])}
        self._text.append(text)
        for piece in pieces(text):
            yield {"type": "response.output_text.delta", **self._where, "delta": piece, "logprobs": []}

    def is_really(self, item: Mapping[str, Any]) -> Iterator[Event]:
        """Take from the upstream's item what its deltas did not tell."""
        phase = item.get("phase")
        self._phase = phase if phase is None or phase in _PHASES else "commentary"
        found = (one for part in item["content"] for one in part.get("annotations") or ())
        for annotation in found if self._text else ():
            which = {"annotation_index": len(self._annotations), "annotation": annotation}
            self._annotations.append(annotation)
            yield {"type": "response.output_text.annotation.added", **self._where, **which}

    def end(self, status: str) -> Iterator[Event]:
        del status
        if self._text:
            text = "".join(self._text)
            yield {"type": "response.output_text.done", **self._where, "text": text, "logprobs": []}
            yield {"type": "response.content_part.done", **self._where, "part": self._part()}

    def _part(self) -> Object:
        return _text_part("".join(self._text), self._annotations)


class _Reasoning:
    """The account of the reasoning that is being written, in parts; `source` is its id upstream."""

    def __init__(self, item_id: str, index: int, source: str) -> None:
        self.source = source
        self._where: Event = {"item_id": item_id, "output_index": index}
        self._complete: list[Object] = []
        self._text: list[str] | None = None
        """The open part; None when none is open."""
        self._encrypted: str | None = None

    def item(self, status: str = "completed") -> Object:
        del status
        item = {"id": self._where["item_id"], "type": "reasoning", "summary": [*self._complete]}
        return item if self._encrypted is None else {**item, "encrypted_content": self._encrypted}

    def begin_part(self) -> Iterator[Event]:
        yield from self.end()
        self._text = []
        yield {"type": "response.reasoning_summary_part.added", **self._at(), "part": _summary_part("")}

    def more(self, text: str) -> Iterator[Event]:
        if self._text is None:
            yield from self.begin_part()
        assert self._text is not None
        self._text.append(text)
        for piece in pieces(text):
            yield {"type": "response.reasoning_summary_text.delta", **self._at(), "delta": piece}

    def is_really(self, item: Mapping[str, Any]) -> Iterator[Event]:
        """Take from the upstream's item what its deltas did not tell."""
        self._encrypted = item.get("encrypted_content")
        if self._text is None and not self._complete:
            for part in item.get("summary") or ():
                yield from self.begin_part()
                yield from self.more(part["text"])

    def end(self, status: str = "completed") -> Iterator[Event]:
        del status
        if self._text is not None:
            part = _summary_part("".join(self._text))
            yield {"type": "response.reasoning_summary_text.done", **self._at(), "text": part["text"]}
            yield {"type": "response.reasoning_summary_part.done", **self._at(), "part": part}
            self._complete.append(part)
            self._text = None

    def _at(self) -> Event:
        return {**self._where, "summary_index": len(self._complete)}


def _text_part(text: str, annotations: list[Object]) -> Object:
    return {"type": "output_text", "text": text, "annotations": [*annotations], "logprobs": []}


def _summary_part(text: str) -> Object:
    return {"type": "summary_text", "text": text}


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
