"""Which answers may run: so many at once, the others in a fair queue; when the server stops, none that is new.

1. An answer is admitted before codex hears of it.
2. It waits a bounded time, in a queue of bounded length; then it is refused and told when to come again.
3. A client that leaves while it waits leaves the queue.
4. Stopping refuses all that wait at once, gives the open answers a time, then ends them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import anyio

from bridge.errors import ApiError, too_many_requests, unavailable
from bridge.http.fair_queue import FairQueue

MOST_WAITING = 1000
"""Answers that wait at the same time; each holds its whole request in memory."""

COME_AGAIN = 5.0
"""Seconds after which a refused client is told to try again."""


class _Ticket:
    """One answer that waits for its turn; it is called when it may run, or when nobody may any more."""

    __slots__ = ("called",)

    def __init__(self) -> None:
        self.called = anyio.Event()


class Admission:
    """Knows the open answers and those that wait. `patience` is in seconds."""

    def __init__(self, most: int = 200, patience: float = 30) -> None:
        self._most = most
        self._patience = patience
        self._queue: FairQueue[_Ticket] = FairQueue()
        self._taken = 0
        self._open: set[anyio.CancelScope] = set()
        self._changed = anyio.Event()
        self.stopping = False

    def states(self) -> Mapping[str, int]:
        """How many answers run and wait, and how many may run."""
        return {"running": self._taken, "waiting": len(self._queue), "limit": self._most}

    @asynccontextmanager
    async def answer(self, client: str = "") -> AsyncGenerator[anyio.CancelScope]:
        """Wait for the client's turn, then count the block as an open answer; it is cancelled when its time is over.

        Raises:
            ApiError: 503, the server is stopping; 429, too many wait already or the wait took too long.
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

    async def stop(self, grace: float) -> None:
        """Admit nothing more, wait up to `grace` seconds for the open answers, cancel what is left."""
        self.stopping = True
        while self._queue:
            self._queue.take().called.set()
        with anyio.move_on_after(grace):
            while self._open:
                self._changed = anyio.Event()
                await self._changed.wait()
        for scope in tuple(self._open):
            scope.cancel()

    async def _wait_for_turn(self, client: str) -> None:
        """Return with a place taken."""
        self._refuse_if_stopping()
        if self._taken < self._most:
            self._taken += 1
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
        """A client that left just when it was called passes its place on."""
        self._queue.leave(client, ticket)
        if ticket.called.is_set() and not self.stopping:
            self._give_back()

    def _give_back(self) -> None:
        if self._queue:
            self._queue.take().called.set()
        else:
            self._taken -= 1

    def _refuse_if_stopping(self) -> None:
        if self.stopping:
            raise unavailable("The server is stopping. Try again in a moment.", 5)

    def _too_many(self) -> ApiError:
        return too_many_requests(self._most, COME_AGAIN)
