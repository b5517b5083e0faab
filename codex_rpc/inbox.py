"""What has arrived for one subscriber and is not yet taken: in order, bounded.

Filled by the reader, which never waits; emptied by one consumer, which does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import anyio

from codex_rpc.errors import CodexError, InboxOverflowError
from codex_rpc.protocol import Event, MessageDelta

MAX_WAITING = 32 * 1024 * 1024
"""Bytes of wire lines. A consumer that is so far behind has stopped reading; only its own turn suffers."""


class Inbox:
    """A buffer between the one reader and the consumer of one thread's events."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._events: deque[Event] = deque()
        self._waiting = 0
        self._failure: CodexError | None = None
        self._filled = anyio.Event()

    def put(self, event: Event, size: int) -> None:
        """Add an event that took `size` bytes on the wire; when that is too much, all is dropped for a failure."""
        if self._failure is not None:
            return
        self._waiting += size
        if self._waiting > self._max_waiting:
            self._events.clear()
            self.fail(InboxOverflowError(f"more than {self._max_waiting} bytes of events were waiting to be taken"))
            return
        self._events.append(event)
        self._filled.set()

    def fail(self, failure: CodexError) -> None:
        """Nothing more will come: the consumer gets what is waiting, then the failure, every time it asks."""
        self._failure = self._failure or failure
        self._filled.set()

    async def take(self) -> list[Event]:
        """Return everything that is waiting, at least one event.

        Raises:
            CodexError: the failure, once all events before it were taken.
        """
        while not self._events:
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            self._filled = anyio.Event()
            await self._filled.wait()
        events = list(self._events)
        self._events.clear()
        self._waiting = 0
        return events


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
            if run and run[0].item_id != event.item_id:
                close_run()
            run.append(event)
        else:
            close_run()
            merged.append(event)
    close_run()
    return merged
