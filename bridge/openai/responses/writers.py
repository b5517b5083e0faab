"""The two answers of the Responses API: a stream of semantic events, or the response object whole.

Both are written from the same `ResponseOutput`, so the end of the stream is the whole answer.
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
        out: list[bytes] = []
        for event in events:
            name = event["type"]
            out.append(sse.named(name, {"type": name, "sequence_number": self._next_number, **event}))
            self._next_number += 1
        return b"".join(out) + (sse.DONE if self.output.response["status"] != "in_progress" else b"")


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
