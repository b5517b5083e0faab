"""Turn events become the items of a response, and the semantic events that tell how they grow.

Source: the OpenAI API reference, "Streaming events" of Responses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bridge.conversation.events import (
    Asked,
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
from bridge.openai.responses.approvals import approval_request
from bridge.openai.responses.growing_items import Event, GrowingMessage, GrowingReasoning, RunningStep
from bridge.openai.responses.object import Object, ResponseFrame, Status
from bridge.openai.responses.whole_items import WholeItem, compaction, tool_call, web_search
from codex_rpc.wire.events import TokenUsage

_STATUS: Mapping[FinishReason, tuple[Status, str | None]] = {
    "stop": ("completed", None),
    "tool_calls": ("completed", None),
    "length": ("incomplete", "max_output_tokens"),
    "content_filter": ("incomplete", "content_filter"),
    "cancelled": ("cancelled", None),
}


class ResponseOutput:
    """One response as it grows: the message or reasoning that is being written is open, and the steps that run are."""

    def __init__(self, frame: ResponseFrame) -> None:
        self.frame = frame
        self._next_index = 0
        self._complete: dict[int, Object] = {}
        self._open: GrowingMessage | GrowingReasoning | None = None
        self._steps: dict[str, RunningStep] = {}
        self._usage: TokenUsage | None = None
        self.response = frame.response("in_progress")
        """The response object as far as it is known; final once its status is not `in_progress`."""

    @property
    def items(self) -> list[Object]:
        """The complete items in the order in which they began, with all that the client may not see."""
        return [self._complete[index] for index in sorted(self._complete)]

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
                case MessageBegun(phase):
                    yield from self._close("incomplete")
                    yield from self._open_message(phase)
                case StepBegun():
                    yield from self._begin(event)
                case StepDone():
                    yield from self._finish(event)
                case TextDelta(text):
                    yield from self._open_message()
                    yield from self._message().more(text)
                case ReasoningPart(source):
                    yield from self._open_reasoning(source)
                    yield from self._reasoning().begin_part()
                case ReasoningDelta(text, source):
                    yield from self._open_reasoning(source)
                    yield from self._reasoning().more(text)
                case Asked():
                    yield from self._close()
                    yield from self._whole(approval_request(event, self.frame))
                case ToolCall():
                    yield from self._close()
                    yield from self._whole(tool_call(event, self.frame, self._next_index))
                case ItemDone(item):
                    yield from self._item_done(item)
                case Used(usage):
                    self._usage = usage if self._usage is None else self._usage + usage
                case Finished(reason):
                    status, incomplete = _STATUS[reason]
                    yield from self._close_all("completed" if status == "completed" else "incomplete")
                    yield self._end(status, incomplete=incomplete)
                case Failed(error):
                    yield from self.fail(error)

    def fail(self, error: ApiError) -> Iterator[Event]:
        """Yield the end of a response which cannot be completed."""
        yield from self._close_all("incomplete")
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
        yield from self._close_all("incomplete")
        yield self._end("incomplete", error=error)

    # ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _open_message(self, phase: str | None = None) -> Iterator[Event]:
        if not isinstance(self._open, GrowingMessage):
            yield from self._close()
            index = self._take_index()
            self._open = GrowingMessage(self.frame.item_id("msg", index), index, phase)
            yield _added(index, self._open.item("in_progress"))

    def _open_reasoning(self, source: str) -> Iterator[Event]:
        if not isinstance(self._open, GrowingReasoning):
            yield from self._close()
            index = self._take_index()
            self._open = GrowingReasoning(self.frame.item_id("rs", source or index), index, source)
            yield _added(index, self._open.item())

    def _message(self) -> GrowingMessage:
        assert isinstance(self._open, GrowingMessage)
        return self._open

    def _reasoning(self) -> GrowingReasoning:
        assert isinstance(self._open, GrowingReasoning)
        return self._open

    def _item_done(self, item: Mapping[str, Any]) -> Iterator[Event]:
        match item["type"]:
            case "message":
                if isinstance(self._open, GrowingMessage):
                    yield from self._open.is_really(item)
                    yield from self._close()
            case "reasoning":
                source = item.get("id") or ""
                if isinstance(self._open, GrowingReasoning) and self._open.source != source:
                    # A retry told it under another id, and the upstream opens what it encrypted under that one alone.
                    yield from self._close()
                yield from self._open_reasoning(source)
                yield from self._reasoning().is_really(item)
                yield from self._close()
            case "compaction":
                yield from self._close()
                yield from self._whole(compaction(item))
            case _:
                yield from self._close()
                yield from self._whole(web_search(item, self.frame, self._next_index))

    def _close(self, status: str = "completed") -> Iterator[Event]:
        opened, self._open = self._open, None
        if opened is not None:
            yield from opened.end(status)
            yield self._done(opened.index, opened.item(status))

    def _close_all(self, status: str) -> Iterator[Event]:
        yield from self._close(status)
        steps, self._steps = self._steps, {}
        for step in steps.values():
            yield self._done(step.index, step.interrupted())

    def _begin(self, begun: StepBegun) -> Iterator[Event]:
        index = self._take_index()
        step = self._steps[begun.step_id] = RunningStep(self.frame.item_id("mcp", index), index, begun)
        yield _added(index, step.begun())
        yield from step.begin()

    def _finish(self, done: StepDone) -> Iterator[Event]:
        step = self._steps.pop(done.step_id)
        yield from step.end(done)
        yield self._done(step.index, step.done(done))

    def _whole(self, item: WholeItem) -> Iterator[Event]:
        index = self._take_index()
        yield _added(index, item.begun)
        yield from item.events
        yield self._done(index, item.done)

    def _take_index(self) -> int:
        self._next_index += 1
        return self._next_index - 1

    def _done(self, index: int, item: Object) -> Event:
        self._complete[index] = item
        return {"type": "response.output_item.done", "output_index": index, "item": self.frame.shown(item)}

    def _end(self, status: Status, *, error: ApiError | None = None, incomplete: str | None = None) -> Event:
        self.response = self.frame.response(status, self.items, self._usage, error=error, incomplete=incomplete)
        name = "incomplete" if status == "cancelled" else status
        return {"type": f"response.{name}", "response": self.response}


def _added(index: int, item: Object) -> Event:
    return {"type": "response.output_item.added", "output_index": index, "item": item}
