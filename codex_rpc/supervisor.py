"""Keeps one client alive: starts codex, shakes hands, and restarts it with back-off when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import anyio
from msgspec import Struct

from codex_rpc.back_off import BackOff
from codex_rpc.background import first_of
from codex_rpc.client.client import Client
from codex_rpc.errors import CodexError, CodexUnavailableError

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 30.0
STEADY_AFTER = 10.0
"""The back-off between two starts, in seconds."""


class Starting(Struct, frozen=True):
    """Codex is being started."""


class Up(Struct, frozen=True):
    """Codex is running."""

    client: Client


class Down(Struct, frozen=True):
    """Codex ended or could not be started; it is started again at `next_start`, in the event loop's time."""

    failure: CodexError
    next_start: float


State: TypeAlias = Starting | Up | Down


class _Life:
    """One process of codex, from its start to its end."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.retired = anyio.Event()
        self.over = anyio.Event()
        self.failure: CodexError | None = None
        self.lasted = 0.0


class Supervisor:
    """Owns the only client; `open_client` starts codex and yields the connection to it."""

    def __init__(self, open_client: Callable[[], AbstractAsyncContextManager[Client]]) -> None:
        self._open_client = open_client
        self._state: State = Starting()
        self._changed = anyio.Event()
        self._life = _Life()
        self._restart = anyio.Event()
        self.starts = 0
        """How often codex has started successfully."""

    @property
    def state(self) -> State:
        return self._state

    async def client(self, patience: float) -> Client:
        """Return the live client, waiting up to `patience` seconds for codex to start.

        If codex is down and will not be started within that time, it fails at once.

        Raises:
            CodexUnavailableError: codex did not start in time.
        """
        deadline = anyio.current_time() + patience
        if not self._is_up():
            with anyio.CancelScope(deadline=deadline):
                while not self._is_up() and self._may_start_before(deadline):
                    await self._changed.wait()
        match self._state:
            case Up(client) if client.alive:
                return client
            case Down(failure, next_start):
                retry_after = next_start - anyio.current_time()
                raise CodexUnavailableError(f"codex is not running: {failure}", retry_after=retry_after)
            case Starting() | Up():
                raise CodexUnavailableError("codex is still starting", retry_after=1)

    def _is_up(self) -> bool:
        return isinstance(self._state, Up) and self._state.client.alive

    def _may_start_before(self, deadline: float) -> bool:
        return not isinstance(self._state, Down) or self._state.next_start <= deadline

    async def first_outcome(self) -> State:
        """Wait until the first start has succeeded or failed."""
        while isinstance(self._state, Starting):
            await self._changed.wait()
        return self._state

    async def run(self) -> None:
        """Keep codex alive until cancelled."""
        back_off = BackOff(FIRST_PAUSE, LONGEST_PAUSE, STEADY_AFTER)
        async with anyio.create_task_group() as lives:
            while True:
                self._restart = anyio.Event()
                life = self._life = _Life()
                lives.start_soon(self._live, life)
                await life.over.wait()
                if life.failure is None:
                    continue
                pause = back_off.pause(life.lasted)
                logger.error("%s; starting codex again in %.2g s", life.failure, pause)
                next_start = anyio.current_time() + pause
                self._become(Down(life.failure, next_start))
                with anyio.CancelScope(deadline=next_start):
                    await self._restart.wait()

    def restart(self) -> None:
        """Stop the running codex, or end the pause after its failure, and start a new one at once."""
        self._restart.set()
        self._life.scope.cancel()
        if not isinstance(self._state, Starting):
            self._become(Starting())

    def replace(self, client: Client) -> None:
        """Start a new codex; the old one continues until none of its threads is subscribed to."""
        if self._state == Up(client):
            self._life.retired.set()
            self._become(Starting())

    async def _live(self, life: _Life) -> None:
        """Run codex to its end and note why it ended, unless it was stopped or replaced."""
        with life.scope:
            try:
                async with self._open_client() as client:
                    logger.info("codex is up: %s", client.user_agent)
                    up_since = anyio.current_time()
                    self.starts += 1
                    self._become(Up(client))
                    await first_of(client.wait_for_end, life.retired.wait)
                    if client.alive:
                        life.over.set()
                        logger.info("a new codex replaces this one, which ends when its last thread is unsubscribed")
                        await first_of(client.wait_for_end, client.wait_until_unused)
                        return
                    life.failure = await client.wait_for_end()
                    life.lasted = anyio.current_time() - up_since
                    self._become(Starting())
            except CodexError as error:
                life.failure = error
            except Exception as error:
                logger.exception("codex could not be run")
                life.failure = CodexError(f"codex could not be run: {error!r}")
        life.over.set()

    def _become(self, state: State) -> None:
        self._state = state
        self._changed.set()
        self._changed = anyio.Event()
