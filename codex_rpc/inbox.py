"""What has arrived for one subscriber and is not yet taken: in order, bounded.

Filled by the reader, which never waits; emptied by one consumer, which does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import anyio

from codex_rpc.errors import CodexError, InboxOverflowError
from codex_rpc.protocol import Event, MessageDelta

MAX_WAITING = 32 * 1024 * 1024
"""Bytes of wire lines. A consumer that is so far behind has stopped reading; only its own turn suffers."""


class _Run:
    """Deltas of one message that arrived one behind the other."""

    __slots__ = ("first", "texts")

    def __init__(self, first: MessageDelta) -> None:
        self.first = first
        self.texts: list[str] = []


class Inbox:
    """A buffer between the one reader and the consumer of one thread's events."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._waiting: list[Event | _Run] = []
        self._size = 0
        self._failure: CodexError | None = None
        self._filled = anyio.Event()

    def put(self, event: Event, size: int) -> None:
        """Add an event that took `size` bytes on the wire; when that is too much, all is dropped for a failure."""
        if self._has_room(size):
            self._waiting.append(event)
            self._filled.set()

    def put_text(self, earlier: MessageDelta, text: str, size: int) -> None:
        """Add a delta that says `text` and is like an earlier one in everything else."""
        if not self._has_room(size):
            return
        run = self._waiting[-1] if self._waiting else None
        if not isinstance(run, _Run) or run.first is not earlier:
            run = _Run(earlier)
            self._waiting.append(run)
            self._filled.set()
        run.texts.append(text)

    def fail(self, failure: CodexError) -> None:
        """Nothing more will come: the consumer gets what is waiting, then the failure, every time it asks."""
        self._failure = self._failure or failure
        self._filled.set()

    async def take(self, *, joined: bool = False) -> list[Event]:
        """Return everything that is waiting, at least one event; with `joined` as `merge_deltas` leaves it.

        Raises:
            CodexError: the failure, once all events before it were taken.
        """
        while not self._waiting:
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            self._filled = anyio.Event()
            await self._filled.wait()
        waiting, self._waiting, self._size = self._waiting, [], 0
        if joined:
            return merge_deltas([_join(one) if isinstance(one, _Run) else one for one in waiting])
        return [event for one in waiting for event in (_apart(one) if isinstance(one, _Run) else (one,))]

    def _has_room(self, size: int) -> bool:
        if self._failure is not None:
            return False
        self._size += size
        if self._size > self._max_waiting:
            self._waiting.clear()
            self.fail(InboxOverflowError(f"more than {self._max_waiting} bytes of events were waiting to be taken"))
            return False
        return True


def _join(run: _Run) -> MessageDelta:
    return replace(run.first, text="".join(run.texts), pieces=len(run.texts))


def _apart(run: _Run) -> Iterator[MessageDelta]:
    first = run.first
    return (MessageDelta(first.thread_id, first.turn_id, first.item_id, text) for text in run.texts)


def merge_deltas(events: list[Event]) -> list[Event]:
    """Join runs of deltas of one message into one; nothing else changes, nor the order."""
    merged: list[Event] = []
    run: list[MessageDelta] = []

    def close_run() -> None:
        if run:
            text = "".join(delta.text for delta in run)
            merged.append(replace(run[0], text=text, pieces=sum(delta.pieces for delta in run)))
            run.clear()

    for event in events:
        if isinstance(event, MessageDelta):
            if run and (run[0].item_id, run[0].turn_id) != (event.item_id, event.turn_id):
                close_run()
            run.append(event)
        else:
            close_run()
            merged.append(event)
    close_run()
    return merged
