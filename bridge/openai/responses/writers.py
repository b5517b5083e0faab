"""The answers of the Responses API: a stream of semantic events, over HTTP or a WebSocket, or the response object.

All are written from the same `ResponseOutput`, so the end of a stream is the whole answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import orjson

from bridge.conversation.events import TurnEvent
from bridge.errors import ApiError
from bridge.openai import sse
from bridge.openai.responses.object import ResponseFrame
from bridge.openai.responses.output import Event, ResponseOutput


class ResponseStream:
    """Writes one stream: feed it the events of the turn to their end, or fail it."""

    media: Mapping[str, str] = sse.HEADERS
    keep_alive = sse.KEEP_ALIVE

    def __init__(self, frame: ResponseFrame) -> None:
        self.output = ResponseOutput(frame)
        self._next_number = 0

    def feed(self, events: Iterable[TurnEvent], choice: int = 0) -> bytes:
        """Return the bytes that the events become."""
        del choice
        return self._written([*self._head(), *self.output.feed(events)])

    def fail(self, error: ApiError) -> bytes:
        """Return the bytes that end a stream which has begun and cannot be completed."""
        return self._written([*self._head(), *self.output.fail(error)])

    def _head(self) -> Iterator[Event]:
        if not self._next_number:
            yield from self.output.begin()

    def _written(self, events: list[Event]) -> bytes:
        out = [sse.named(event["type"], event) for event in self._numbered(events)]
        return b"".join(out) + (sse.DONE if self.output.response["status"] != "in_progress" else b"")

    def _numbered(self, events: list[Event]) -> Iterator[Event]:
        for event in events:
            yield {"type": event["type"], "sequence_number": self._next_number, **event}
            self._next_number += 1


class ResponseFrames(ResponseStream):
    """Writes one stream for a WebSocket: each line is the JSON of one event, and becomes a frame."""

    media: Mapping[str, str] = {"content-type": "application/x-ndjson"}
    keep_alive = b""

    def __init__(self, frame: ResponseFrame, stream_id: str | None) -> None:
        """Every event repeats `stream_id` if there is one."""
        super().__init__(frame)
        self._lane: Event = {} if stream_id is None else {"stream_id": stream_id}

    def _written(self, events: list[Event]) -> bytes:
        return b"".join([orjson.dumps({**event, **self._lane}) + b"\n" for event in self._numbered(events)])


class ResponseWhole:
    """Writes one response: nothing until it has ended, then everything."""

    media: Mapping[str, str] = {"content-type": "application/json"}
    keep_alive = b" "

    def __init__(self, frame: ResponseFrame) -> None:
        self.output = ResponseOutput(frame)

    def feed(self, events: Iterable[TurnEvent], choice: int = 0) -> bytes:
        """Return the body once the turn has ended, before that nothing."""
        del choice
        for _ in self.output.feed(events):
            pass
        return self._body()

    def fail(self, error: ApiError) -> bytes:
        """Return the body of an answer whose status is out already and which cannot be completed."""
        for _ in self.output.fail(error):
            pass
        return self._body()

    def _body(self) -> bytes:
        response = self.output.response
        return b"" if response["status"] == "in_progress" else orjson.dumps(response)
