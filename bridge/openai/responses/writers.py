"""The answers of the Responses API: a stream of semantic events, over HTTP or a WebSocket, or the response object.

All are written from the same `ResponseOutput`, so the end of a stream is the whole answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import orjson

from bridge.conversation.events import TurnEvent
from bridge.errors import ApiError
from bridge.openai import sse
from bridge.openai.responses.object import ResponseFrame
from bridge.openai.responses.output import Event, ResponseOutput

PAUSES_PER_EVENT = 8
"""Every such pause of silence is bridged by an event, the others by comments. The Codex CLI counts events alone."""


class EventStream:
    """The numbered events of one response, over any transport, also if its turn has to be repeated.

    Nothing begins before there is something to say, so that a refusal can still be given as an HTTP status.
    """

    def __init__(self) -> None:
        self._next_number = 0
        self._pauses = 0

    def more(self, output: ResponseOutput, events: Iterable[TurnEvent]) -> list[Event]:
        """Return the events to send for the events of the turn: none if they carry nothing."""
        head = self._head(output)
        said = [*output.feed(events)]
        return self._numbered([*head, *said]) if said else []

    def end(self, output: ResponseOutput, error: ApiError) -> list[Event]:
        """Return the events that end a response which cannot be completed."""
        return self._numbered([*self._head(output), *output.fail(error)])

    def after_pause(self, output: ResponseOutput) -> list[Event]:
        """Return the events to send after a pause of silence; none if a sign below the level of events suffices."""
        if output.response["status"] != "in_progress":
            return []
        if head := self._head(output):
            return self._numbered(head)
        pauses = self._pauses + 1
        if pauses < PAUSES_PER_EVENT:
            self._pauses = pauses
            return []
        return self._numbered([output.still_in_progress()])

    def _head(self, output: ResponseOutput) -> list[Event]:
        return [] if self._next_number else [*output.begin()]

    def _numbered(self, events: list[Event]) -> list[Event]:
        first, self._pauses = self._next_number, 0
        self._next_number += len(events)
        return [{"type": one["type"], "sequence_number": number, **one} for number, one in enumerate(events, first)]


class ResponseStream:
    """Writes one stream: feed it the events of the turn to their end, or fail it."""

    media: Mapping[str, str] = sse.HEADERS
    comment = sse.KEEP_ALIVE
    """What shows that the stream is alive without an event."""

    def __init__(self, frame: ResponseFrame, events: EventStream | None = None) -> None:
        self.output = ResponseOutput(frame)
        self._events = events or EventStream()

    def feed(self, events: Iterable[TurnEvent], choice: int = 0) -> bytes:
        """Return the bytes that the events become."""
        del choice
        return self._written(self._events.more(self.output, events))

    def keep_alive(self) -> bytes:
        """Return what is sent after a pause of silence: a comment, or an event if there was none for long."""
        return self._written(self._events.after_pause(self.output)) or self.comment

    def fail(self, error: ApiError) -> bytes:
        """Return the bytes that end a stream which has begun and cannot be completed."""
        return self._written(self._events.end(self.output, error))

    def _written(self, events: list[Event]) -> bytes:
        if not events:
            return b""
        written = b"".join(sse.named(event["type"], event) for event in events)
        return written + (sse.DONE if self.output.response["status"] != "in_progress" else b"")


class ResponseFrames(ResponseStream):
    """Writes one stream for a WebSocket: each line is the JSON of one event, and becomes a frame."""

    media: Mapping[str, str] = {"content-type": "application/x-ndjson"}
    comment = b""

    def __init__(self, frame: ResponseFrame, stream_id: str | None, events: EventStream | None = None) -> None:
        """Every event repeats `stream_id` if there is one."""
        super().__init__(frame, events)
        self._lane: Event = {} if stream_id is None else {"stream_id": stream_id}

    def _written(self, events: list[Event]) -> bytes:
        return b"".join([orjson.dumps({**event, **self._lane}) + b"\n" for event in events])


class ResponseWhole:
    """Writes one response: nothing until it has ended, then everything."""

    media: Mapping[str, str] = {"content-type": "application/json"}

    def __init__(self, frame: ResponseFrame) -> None:
        self.output = ResponseOutput(frame)

    def feed(self, events: Iterable[TurnEvent], choice: int = 0) -> bytes:
        """Return the body once the turn has ended, before that nothing."""
        del choice
        for _ in self.output.feed(events):
            pass
        return self._body()

    def keep_alive(self) -> bytes:
        """Return what is sent after a pause of silence: white space, which JSON allows before a value."""
        return b" "

    def fail(self, error: ApiError) -> bytes:
        """Return the body of an answer whose status is out already and which cannot be completed."""
        for _ in self.output.fail(error):
            pass
        return self._body()

    def _body(self) -> bytes:
        response = self.output.response
        return b"" if response["status"] == "in_progress" else orjson.dumps(response)
