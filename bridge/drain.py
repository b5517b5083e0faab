"""Stopping a server that is at work: no new answers, a time for the open ones, then their end."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import anyio

from bridge.errors import unavailable


class Drain:
    """Knows the open answers."""

    def __init__(self) -> None:
        self._open: set[anyio.CancelScope] = set()
        self._changed = anyio.Event()
        self.stopping = False

    @contextmanager
    def answer(self) -> Generator[anyio.CancelScope]:
        """Count the block as an open answer; it is cancelled when its time is over.

        Raises:
            ApiError: 503, the server is stopping.
        """
        if self.stopping:
            raise unavailable("The server is stopping. Try again in a moment.", 5)
        with anyio.CancelScope() as scope:
            self._open.add(scope)
            try:
                yield scope
            finally:
                self._open.discard(scope)
                self._changed.set()

    async def stop(self, grace: float) -> None:
        """Admit nothing more, wait up to `grace` seconds for the open answers, cancel what is left."""
        self.stopping = True
        with anyio.move_on_after(grace):
            while self._open:
                self._changed = anyio.Event()
                await self._changed.wait()
        for scope in tuple(self._open):
            scope.cancel()
