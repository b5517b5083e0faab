"""Lets one answer at a time work in a folder that agents may write to; others wait for a bounded time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from bridge.agents.errors import workspace_busy
from bridge.config import AgentSettings


class Workspaces:
    """The folders of agents; folders that lie in one another are one workspace."""

    def __init__(self, agents: Iterable[AgentSettings], patience: float) -> None:
        """`patience` is how long an answer waits, in seconds."""
        self._patience = patience
        self._locks: Mapping[str, anyio.Semaphore] = _locks([agent for agent in agents if agent.write])

    @asynccontextmanager
    async def hold(self, agent: AgentSettings) -> AsyncGenerator[None]:
        """Hold the agent's workspace during the block, if the agent may write.

        Raises:
            ApiError: 429, another answer held it for too long.
        """
        lock = self._locks.get(agent.name)
        if lock is None:
            yield
            return
        with anyio.move_on_after(self._patience) as waiting:
            await lock.acquire()
        if waiting.cancelled_caught:
            raise workspace_busy(agent.name, self._patience)
        try:
            yield
        finally:
            lock.release()


def _locks(writers: list[AgentSettings]) -> dict[str, anyio.Semaphore]:
    """Return the lock of each agent by its name: that of the outermost folder around its own."""
    folders = {Path(agent.folder): anyio.Semaphore(1) for agent in writers}

    def outermost(folder: Path) -> Path:
        return next((one for one in reversed(folder.parents) if one in folders), folder)

    return {agent.name: folders[outermost(Path(agent.folder))] for agent in writers}
