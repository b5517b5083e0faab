"""The events that one subscriber has not taken yet: in order, bounded.

Filled by the reader, which never waits; emptied by one consumer, which does.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

from codex_rpc.errors import CodexError, InboxOverflowError
from codex_rpc.wire.events import Event, MessageDelta

MAX_WAITING = 32 * 1024 * 1024
"""Bytes of wire lines. A consumer that lets so much wait has stopped reading; only its own turn fails."""


class _Run:
    """Consecutive deltas of one message."""

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
    """A buffer between the reader and the consumer of one thread's events.

    `take` waits on a bare future and on one timer, which it restarts only if it rings too late: a cancel scope with a
    deadline around each wait costs more than reading a delta.
    """

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._waiting: list[Event | _Run] = []
        self._run: _Run | None = None
        """The last of `_waiting`, if it consists of deltas."""
        self._size = 0
        self._failure: CodexError | None = None
        self._awaited: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def put(self, event: Event, size: int) -> None:
        """Add an event that took `size` bytes on the wire; an overflow replaces all waiting events by a failure."""
        if isinstance(event, MessageDelta):
            self.put_text(event, event.text, size)
        elif self._has_room(size):
            self._run = None
            self._waiting.append(event)
            self._wake()

    def put_text(self, earlier: MessageDelta, text: str, size: int) -> None:
        """Add a delta that differs from an earlier one only in its text."""
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
        """Accept no more events: the consumer gets those that wait, and from then on the failure."""
        self._failure = self._failure or failure
        self._wake()

    async def take(self, until: float = math.inf, *, joined: bool = False) -> list[Event]:
        """Wait for at least one event; return all that are waiting.

        With `joined`, consecutive deltas of one message are one event. Returns nothing if no event arrives before the
        event loop's time is `until`.

        Raises:
            CodexError: the failure, once all events before it have been taken.
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
        """Stop the timer; nothing is taken after this."""
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
