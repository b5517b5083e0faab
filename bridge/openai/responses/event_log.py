"""Keeps the events of a background response, so that clients can follow it at any time and from any event on.

The sequence number of an event is its place in the stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from bridge.conversation.events import Finished, TurnEvent
from bridge.errors import ApiError
from bridge.openai import sse
from bridge.openai.responses.object import ACTIVE, ResponseFrame
from bridge.openai.responses.output import Event, ResponseOutput

LARGEST = 8 * 1024 * 1024
"""Bytes of events that are kept of one response; of a longer one, the oldest are dropped."""


class EventLog:
    """The events of one response as server-sent events; only the newest are kept if there are too many."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._events: deque[bytes] = deque()
        self.size = 0
        """Bytes of the kept events."""
        self.first = 0
        """The number of the oldest kept event."""

    @property
    def next(self) -> int:
        """The number of the next event."""
        return self.first + len(self._events)

    def add(self, events: Iterable[Event]) -> bytes:
        """Add events and return them as they are sent."""
        new: list[bytes] = []
        for event in events:
            new.append(sse.named(event["type"], {"type": event["type"], "sequence_number": self.next, **event}))
            self._events.append(new[-1])
            self.size += len(new[-1])
        while self.size > self._largest:
            self.size -= len(self._events.popleft())
            self.first += 1
        return b"".join(new)

    def since(self, number: int) -> bytes:
        """Return the events from this number on, which must not be lower than `first`."""
        return b"".join(islice(self._events, number - self.first, None))


class KeptStream:
    """A writer that keeps the events of a background response in a log.

    A response whose turn is repeated on another codex continues in the same log.
    """

    media: Mapping[str, str] = sse.HEADERS

    def __init__(self, frame: ResponseFrame, log: EventLog, stopping: Callable[[], bool]) -> None:
        """`stopping` tells whether the server is stopping, which ends the response as `incomplete`."""
        self.output = ResponseOutput(frame)
        self._log = log
        self._stopping = stopping
        if not log.next:
            log.add(self.output.queue())

    @property
    def ended(self) -> bool:
        """Whether the response has its final state."""
        return self.output.response["status"] not in ACTIVE

    def start(self) -> None:
        """Note that the model begins to answer."""
        self._log.add([self.output.still_in_progress()])

    def feed(self, events: Iterable[TurnEvent], choice: int = 0) -> bytes:
        """Keep the events that the events of the turn become, and return them as they are sent."""
        del choice
        return self._log.add(self.output.feed(events))

    def keep_alive(self) -> bytes:
        """Return nothing: the client is this server itself."""
        return b""

    def fail(self, error: ApiError) -> bytes:
        """Keep the end of a response that failed, and return it as it is sent."""
        if error.status == 503 and self._stopping():
            return self.stop(error)
        return self._log.add(self.output.fail(error))

    def stop(self, error: ApiError) -> bytes:
        """Keep the end of a response that the server stopped, and return it as it is sent."""
        return self._log.add(self.output.stop(error))

    def cancel(self) -> bytes:
        """Keep the end of a response whose answer was cancelled, and return it as it is sent."""
        return self._log.add(self.output.feed([Finished("cancelled")]))
