"""What has arrived for one subscriber and is not yet taken: in order, bounded.

Filled by the reader, which never waits; emptied by one consumer, which does.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

from codex_rpc.errors import CodexError, InboxOverflowError
from codex_rpc.wire.protocol import Event, MessageDelta

MAX_WAITING = 32 * 1024 * 1024
"""Bytes of wire lines. A consumer that is so far behind has stopped reading; only its own turn suffers."""


class _Run:
    """Deltas of one message that arrived one behind the other."""

    __slots__ = ("like", "texts")

    def __init__(self, like: MessageDelta, text: str) -> None:
        self.like = like
        self.texts = [text]

    def goes_on_with(self, delta: MessageDelta) -> bool:
        like = self.like
        return like.item_id == delta.item_id and like.turn_id == delta.turn_id

    def joined(self) -> MessageDelta:
        like = self.like
        return MessageDelta(like.thread_id, like.turn_id, like.item_id, "".join(self.texts), len(self.texts))

    def apart(self) -> Iterator[MessageDelta]:
        like = self.like
        return (MessageDelta(like.thread_id, like.turn_id, like.item_id, text) for text in self.texts)


class Inbox:
    """A buffer between the one reader and the consumer of one thread's events.

    Taking waits for a bare future, and time is kept by one timer that is set anew when it rings: this happens for each
    delta of each answer, and a scope with a deadline around each wait cost more than reading the delta.
    """

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._waiting: list[Event | _Run] = []
        self._run: _Run | None = None
        """The last of what is waiting, if it is deltas."""
        self._size = 0
        self._failure: CodexError | None = None
        self._awaited: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def put(self, event: Event, size: int) -> None:
        """Add an event that took `size` bytes on the wire; when that is too much, all is dropped for a failure."""
        if isinstance(event, MessageDelta):
            self.put_text(event, event.text, size)
        elif self._has_room(size):
            self._run = None
            self._waiting.append(event)
            self._wake()

    def put_text(self, earlier: MessageDelta, text: str, size: int) -> None:
        """Add a delta that says `text` and is like an earlier one in everything else."""
        if not self._has_room(size):
            return
        run = self._run
        if run is not None and (run.like is earlier or run.goes_on_with(earlier)):
            run.texts.append(text)
        else:
            self._run = _Run(earlier, text)
            self._waiting.append(self._run)
            self._wake()

    def fail(self, failure: CodexError) -> None:
        """Nothing more will come: the consumer gets what is waiting, then the failure, every time it asks."""
        self._failure = self._failure or failure
        self._wake()

    async def take(self, until: float = math.inf, *, joined: bool = False) -> list[Event]:
        """Return everything that is waiting, at least one event.

        With `joined`, deltas of one message that stand one behind the other are one event. When nothing has come
        `until` that time of the event loop, nothing is returned.

        Raises:
            CodexError: the failure, once all events before it were taken.
        """
        while not self._waiting:
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            loop = asyncio.get_running_loop()
            if loop.time() >= until:
                return []
            if self._timer is None or self._timer.when() > until:
                self._ring_at(until, loop)
            self._awaited = loop.create_future()
            await self._awaited
        waiting, self._waiting, self._run, self._size = self._waiting, [], None, 0
        if joined:
            return [one.joined() if isinstance(one, _Run) else one for one in waiting]
        return [event for one in waiting for event in (one.apart() if isinstance(one, _Run) else (one,))]

    def close(self) -> None:
        """Nobody takes from it any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring_at(self, until: float, loop: asyncio.AbstractEventLoop) -> None:
        self.close()
        if until < math.inf:
            self._timer = loop.call_at(until, self._rang)

    def _rang(self) -> None:
        self._timer = None
        self._wake()

    def _wake(self) -> None:
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(None)

    def _has_room(self, size: int) -> bool:
        if self._failure is not None:
            return False
        self._size += size
        if self._size > self._max_waiting:
            self._waiting.clear()
            self._run = None
            self.fail(InboxOverflowError(f"more than {self._max_waiting} bytes of events were waiting to be taken"))
            return False
        return True
