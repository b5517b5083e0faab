"""Limits how many answers run at once; others wait in a fair queue. A stopping server admits no more answers.

1. An answer is admitted before codex receives anything of it.
2. It waits for a bounded time in a queue of bounded length; then it is refused with a `Retry-After`.
3. A client that disconnects while it waits leaves the queue.
4. Stopping refuses all waiting answers at once, gives the open ones some time, then cancels them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import anyio

from bridge.errors import ApiError, too_many_requests, unavailable
from bridge.http.fair_queue import FairQueue

MOST_WAITING = 1000
"""Most answers that may wait at once; each holds its whole request in memory."""

RETRY_AFTER = 5.0
"""Seconds after which a refused client should retry."""


class _Ticket:
    """A waiting answer; `called` is set when it may run, and when the server stops."""

    __slots__ = ("called",)

    def __init__(self) -> None:
        self.called = anyio.Event()


class Admission:
    """Keeps the open and waiting answers: at most `most` run at once, others wait up to `patience` seconds."""

    def __init__(self, most: int = 200, patience: float = 30) -> None:
        self._most = most
        self._patience = patience
        self._queue: FairQueue[_Ticket] = FairQueue()
        self._running = 0
        self._open: set[anyio.CancelScope] = set()
        self._changed = anyio.Event()
        self._stop = anyio.Event()
        self.stopping = False

    def states(self) -> Mapping[str, int]:
        """Return how many answers run, how many wait, and how many may run."""
        return {"running": self._running, "waiting": len(self._queue), "limit": self._most}

    @asynccontextmanager
    async def answer(self, client: str = "") -> AsyncGenerator[anyio.CancelScope]:
        """Wait for the client's turn, then count the block as an open answer; a stopping server may cancel it.

        Raises:
            ApiError: 503, the server is stopping; 429, the queue is full or the wait took too long.
        """
        await self._wait_for_turn(client)
        try:
            with anyio.CancelScope() as scope:
                self._open.add(scope)
                try:
                    yield scope
                finally:
                    self._open.discard(scope)
                    self._changed.set()
        finally:
            self._give_back()

    async def wait_for_stop(self) -> None:
        """Wait until the server stops."""
        await self._stop.wait()

    async def stop(self, grace: float) -> None:
        """Admit no more answers, wait up to `grace` seconds for the open ones, then cancel the rest."""
        self.stopping = True
        self._stop.set()
        while self._queue:
            self._queue.take().called.set()
        with anyio.move_on_after(grace):
            while self._open:
                self._changed = anyio.Event()
                await self._changed.wait()
        for scope in tuple(self._open):
            scope.cancel()

    async def _wait_for_turn(self, client: str) -> None:
        """Return once this answer may run and is counted in `_running`."""
        self._refuse_if_stopping()
        if self._running < self._most:
            self._running += 1
            return
        if len(self._queue) >= MOST_WAITING:
            raise self._too_many()
        ticket = _Ticket()
        self._queue.put(client, ticket)
        try:
            with anyio.move_on_after(self._patience):
                await ticket.called.wait()
        except BaseException:
            self._leave(client, ticket)
            raise
        if not ticket.called.is_set():
            self._queue.leave(client, ticket)
            raise self._too_many()
        self._refuse_if_stopping()

    def _leave(self, client: str, ticket: _Ticket) -> None:
        """Leave the queue; a client that was already called passes its place to the next one."""
        self._queue.leave(client, ticket)
        if ticket.called.is_set() and not self.stopping:
            self._give_back()

    def _give_back(self) -> None:
        if self._queue:
            self._queue.take().called.set()
        else:
            self._running -= 1

    def _refuse_if_stopping(self) -> None:
        if self.stopping:
            raise unavailable("The server is stopping. Try again in a moment.", 5)

    def _too_many(self) -> ApiError:
        return too_many_requests(self._most, RETRY_AFTER)
