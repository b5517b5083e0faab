"""Threads that are started ahead of requests, so that a new conversation finds its connection open and warmed up.

Codex connects when a thread starts, which takes some hundred milliseconds on a real network. The model's input is
injected later, so a thread depends only on its start parameters. A client that has begun a conversation with some
parameters (a model and its tools) often begins another soon: one spare thread is kept for each of the parameters used
last. It costs no tokens, but a connection and about a megabyte in codex; so there are few, and unused ones are closed.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio
import orjson
from msgspec import Struct

from bridge.conversation.turns import LivingThread
from codex_rpc.client.client import Client
from codex_rpc.errors import CodexError
from codex_rpc.wire.calls import thread_start, thread_unsubscribe

logger = logging.getLogger(__name__)

STALE = 300.0
"""Seconds after which an unused spare thread is closed."""
LOOK_AROUND = 5.0
"""Seconds between two checks for stale threads; `want` is noticed at once."""
QUIET = 0.5
"""Seconds before a wanted thread is started, so that an agent's immediate next request does not have to wait for it."""
CLEAN_UP = 5.0
"""Seconds that codex may take to unload a thread."""


class _Spare(Struct, frozen=True):
    thread: LivingThread
    since: float


class Spares:
    """At most `most` spare threads, each with different start parameters."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._wanted: OrderedDict[bytes, Client] = OrderedDict()
        """The parameters of threads to start, as JSON → the codex to start them on."""
        self._ready: OrderedDict[bytes, _Spare] = OrderedDict()
        self._discarded: list[LivingThread] = []
        """Threads to unload."""
        self._changed = anyio.Event()

    @property
    def ready(self) -> int:
        """The number of threads that are ready for a new conversation."""
        return len(self._ready)

    def take(self, client: Client, params: Mapping[str, Any]) -> LivingThread | None:
        """Return the spare thread with these parameters, which then belongs to the caller; None if there is none."""
        spare = self._ready.pop(orjson.dumps(params), None)
        if spare is None:
            return None
        if spare.thread.client is client and client.alive:
            return spare.thread
        self._discard(spare)
        return None

    def want(self, client: Client, params: Mapping[str, Any]) -> None:
        """Request a spare thread with these parameters; it may replace the one that was wanted longest ago."""
        key = orjson.dumps(params)
        if not self._most:
            return
        if key in self._ready:
            self._ready.move_to_end(key)
            return
        self._wanted[key] = client
        self._wanted.move_to_end(key)
        while len(self._wanted) > self._most:
            self._wanted.popitem(last=False)
        while len(self._wanted) + len(self._ready) > self._most:
            self._discard(self._ready.popitem(last=False)[1])
        self._changed.set()

    async def prepare(self, client: Client, params: Mapping[str, Any]) -> None:
        """Start a spare thread with these parameters now, unless one is ready; it may replace another one."""
        key = orjson.dumps(params)
        if not self._most or key in self._ready:
            return
        self._wanted.pop(key, None)
        await self._start(key, client)
        while len(self._ready) > self._most:
            self._discard(self._ready.popitem(last=False)[1])

    def forget_other_clients(self, client: Client) -> None:
        """Drop the threads of every codex other than this one."""
        for key, spare in tuple(self._ready.items()):
            if spare.thread.client is not client:
                del self._ready[key]
                self._discard(spare)

    async def keep_ready(self) -> None:
        """Start wanted threads and unload unused ones, one after the other, until cancelled."""
        while True:
            with anyio.move_on_after(LOOK_AROUND):
                await self._changed.wait()
            self._changed = anyio.Event()
            for key, spare in tuple(self._ready.items()):
                if anyio.current_time() - spare.since >= STALE:
                    del self._ready[key]
                    self._discarded.append(spare.thread)
            while self._discarded:
                await _unload(self._discarded.pop())
            if self._wanted:
                await anyio.sleep(QUIET)
            while self._wanted:
                await self._start(*self._wanted.popitem())

    async def _start(self, key: bytes, client: Client) -> None:
        try:
            thread_id = await client.call(thread_start(orjson.loads(key)), shield=True)
        except CodexError as error:
            logger.debug("a spare thread could not be started: %s", error)
            return
        thread = LivingThread(client, thread_id, client.subscribe(thread_id))
        if (other := self._ready.pop(key, None)) is not None:  # it was started at the same time
            self._discard(other)
        self._ready[key] = _Spare(thread, anyio.current_time())

    def _discard(self, spare: _Spare) -> None:
        self._discarded.append(spare.thread)
        self._changed.set()


async def _unload(thread: LivingThread) -> None:
    with suppress(CodexError):
        await thread.client.call(thread_unsubscribe(thread.id), CLEAN_UP, shield=True)
    thread.client.unsubscribe(thread.id)
