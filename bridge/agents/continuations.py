"""Lets one answer at a time continue a turn: two requests with the same history would work on the same thread."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio

from bridge.agents.errors import conversation_busy
from bridge.store.agent_turns import StoredTurn

PATIENCE = 2.0
"""Seconds that a request waits for another one, which may be about to end because its client has left."""


class Continuations:
    """The turns that running answers continue."""

    def __init__(self) -> None:
        self._continued: dict[tuple[str, str], anyio.Event] = {}
        """By thread and turn, an event that is set once another answer may continue it."""

    @asynccontextmanager
    async def alone(self, known: StoredTurn | None) -> AsyncGenerator[Callable[[], None]]:
        """Be the only answer that continues this turn; the yielded function lets others continue it before the end.

        Raises:
            ApiError: 409, another answer continues it.
        """
        if known is None:
            yield lambda: None
            return
        place = known.thread, known.turn
        with anyio.move_on_after(PATIENCE):
            while (other := self._continued.get(place)) is not None:
                await other.wait()
        if place in self._continued:
            raise conversation_busy()
        mine = self._continued[place] = anyio.Event()

        def release() -> None:
            if self._continued.get(place) is mine:
                del self._continued[place]
                mine.set()

        try:
            yield release
        finally:
            release()
