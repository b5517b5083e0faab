"""The requests of one WebSocket that wait until the ones before them are answered."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from bridge.errors import ApiError, too_many_frames
from bridge.openai.responses.client_events import Create

MOST_WAITING = 32
"""Most requests that may wait."""

MOST_HELD = 32 * 1024 * 1024
"""Most bytes of waiting requests; a single request may be larger."""

MOST_REFUSED = 10_000
"""Most refused requests whose errors may wait to be sent; a client with more is broken."""

RETRY_AFTER = 5.0
"""Seconds after which a refused client should retry."""


class Refused(Struct, frozen=True):
    """A request that gets an error when its turn comes."""

    error: ApiError
    stream_id: str | None = None


class WaitingRequests:
    """A bounded queue: requests beyond the bounds keep their place, but get an error instead of an answer."""

    def __init__(self) -> None:
        self._queue: deque[tuple[Create | Refused, int]] = deque()
        self._requests = 0
        self._held = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def flooded(self) -> bool:
        """Whether more requests were refused than may wait for their error."""
        return len(self._queue) - self._requests > MOST_REFUSED

    def put(self, request: Create | Refused, size: int = 0) -> None:
        """Add a request of `size` bytes at the end."""
        if isinstance(request, Create):
            if self._requests >= MOST_WAITING or (self._requests and self._held + size > MOST_HELD):
                refusal = Refused(too_many_frames(MOST_WAITING, RETRY_AFTER), request.stream_id)
                self._queue.append((refusal, 0))
                return
            self._requests += 1
            self._held += size
        self._queue.append((request, size))

    def take(self) -> Create | Refused:
        """Remove and return the first request."""
        request, size = self._queue.popleft()
        if isinstance(request, Create):
            self._requests -= 1
            self._held -= size
        return request
