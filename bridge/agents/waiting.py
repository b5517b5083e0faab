"""The turns that wait for the client's answers and outputs: each until the next request answers, or its time is over.

A waiting turn keeps everything that it holds open: its thread, its conversation and the codex process. What it holds is
entered by the request that began the turn and left by another one or by the task that ends old turns, so none of it
may be bound to a task.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack

import anyio
from msgspec import Struct, field

from bridge.agents.work import Work


class Waiting(Struct, frozen=True):
    """A turn that waits; closing `held` ends it."""

    work: Work
    held: AsyncExitStack
    until: float
    """When its time is over, on the clock of the event loop."""
    since: float = field(default_factory=time.time)
    """When it began to wait, in epoch seconds."""


class WaitingWork:
    """At most `most` turns, each for at most `longest` seconds; they end side by side, because codex may be slow."""

    def __init__(self, most: int, longest: float) -> None:
        self._most = most
        self._longest = longest
        self._waiting: list[Waiting] = []
        """In the order in which they began to wait."""
        self._changed = anyio.Event()

    def put(self, work: Work, held: AsyncExitStack) -> None:
        """Let a turn wait."""
        self._waiting.append(Waiting(work, held, anyio.current_time() + self._longest))
        self._changed.set()

    def take(self, agent: str, questions: Iterable[str], key: str | None = None) -> Waiting | None:
        """Remove and return the turn of an agent that asked one of these questions or made such a call, if it waits.

        `key` is the id of the client's named key: another key cannot answer.
        """
        asked = {*questions}
        for one in self._waiting:
            is_its_own = one.work.agent.name == agent and one.work.place.key == key
            if is_its_own and one.work.client.alive and one.work.waits_for_any(asked):
                self._waiting.remove(one)
                return one
        return None

    def open_to(self, key: str | None) -> list[Waiting]:
        """Return the turns that the client with this named key may see, those that have waited longest first."""
        return [one for one in self._waiting if one.work.place.is_open_to(key)]

    async def end(self, waiting: Waiting) -> None:
        """End one turn."""
        self._waiting.remove(waiting)
        await waiting.held.aclose()

    async def end_others(self, thread_id: str, turn_id: str) -> None:
        """End the turns that continue this one on its thread: the client has gone back to a point before them."""
        before = thread_id, turn_id
        while one := self._take([one for one in self._waiting if one.work.continues == before]):
            await one.held.aclose()

    async def end_all(self) -> None:
        """End every turn; shielded from cancellation."""
        waiting, self._waiting = self._waiting, []
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as ending:
                for one in waiting:
                    ending.start_soon(one.held.aclose)

    async def end_old(self) -> None:
        """End the turns whose time is over, that are too many, or whose codex has ended; until cancelled."""
        async with anyio.create_task_group() as ending:
            while True:
                self._changed = anyio.Event()
                while one := self._take_surplus():
                    ending.start_soon(one.held.aclose)
                pause = self._waiting[0].until - anyio.current_time() if self._waiting else float("inf")
                with anyio.move_on_after(pause):
                    await self._changed.wait()

    def _take_surplus(self) -> Waiting | None:
        lost = [one for one in self._waiting if not one.work.client.alive]
        old = [one for one in self._waiting if one.until <= anyio.current_time()]
        too_many = self._waiting[: max(len(self._waiting) - self._most, 0)]
        return self._take([*lost, *old, *too_many])

    def _take(self, ending: Sequence[Waiting]) -> Waiting | None:
        """Remove and return the first of the turns to end. While it is closed the others can be answered or end."""
        if not ending:
            return None
        self._waiting.remove(ending[0])
        return ending[0]
