"""Threads that are started before anybody asks: a new conversation then finds its connection open and warmed up.

Codex connects when a thread starts, which on a real network takes some hundred milliseconds. As all that the model sees
is injected later, a thread depends on its start parameters alone. Whoever has begun a conversation with some of them
(a model and its tools) soon begins another: one spare thread waits for each of the parameters used last. It costs no
tokens, but a connection and about a megabyte of codex: so there are few, and they go when nobody comes.
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
"""Seconds that a spare thread waits: who begins no conversation for so long has gone away."""
LOOK_AROUND = 5.0
"""Seconds between two looks for stale threads; wishes are noticed at once."""
QUIET = 0.5
"""Seconds before a wanted thread is started: an agent that answers at once is not to wait for codex to start it."""
CLEAN_UP = 5.0
"""Seconds that codex may take to unload a thread."""


class _Spare(Struct, frozen=True):
    thread: LivingThread
    since: float


class Spares:
    """At most `most` spare threads, each with start parameters of its own."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._wanted: OrderedDict[bytes, Client] = OrderedDict()
        """The parameters of threads that are to be started, as JSON, and on which codex."""
        self._ready: OrderedDict[bytes, _Spare] = OrderedDict()
        self._left: list[LivingThread] = []
        """Threads to be let go."""
        self._changed = anyio.Event()

    @property
    def ready(self) -> int:
        """How many threads wait for a conversation to begin."""
        return len(self._ready)

    def take(self, client: Client, params: Mapping[str, Any]) -> LivingThread | None:
        """Return the spare thread with these parameters, if there is one; it belongs to the caller."""
        spare = self._ready.pop(orjson.dumps(params), None)
        if spare is None:
            return None
        if spare.thread.client is client and client.alive:
            return spare.thread
        self._let_go(spare)
        return None

    def want(self, client: Client, params: Mapping[str, Any]) -> None:
        """Have a spare thread with these parameters, in place of the one whose parameters were used longest ago."""
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
            self._let_go(self._ready.popitem(last=False)[1])
        self._changed.set()

    def forget_other_clients(self, client: Client) -> None:
        """The threads of a codex that was replaced go with it."""
        for key, spare in tuple(self._ready.items()):
            if spare.thread.client is not client:
                del self._ready[key]
                self._let_go(spare)

    async def keep_ready(self) -> None:
        """Start what is wanted and let go what nobody wants, one after the other, until cancelled."""
        while True:
            with anyio.move_on_after(LOOK_AROUND):
                await self._changed.wait()
            self._changed = anyio.Event()
            for key, spare in tuple(self._ready.items()):
                if anyio.current_time() - spare.since >= STALE:
                    del self._ready[key]
                    self._left.append(spare.thread)
            while self._left:
                await _unload(self._left.pop())
            if self._wanted:
                await anyio.sleep(QUIET)
            while self._wanted:
                await self._start(*self._wanted.popitem())

    async def _start(self, key: bytes, client: Client) -> None:
        try:
            thread_id = await client.call(thread_start(orjson.loads(key)), shield=True)
        except CodexError as error:
            logger.debug("no spare thread: %s", error)
            return
        thread = LivingThread(client, thread_id, client.subscribe(thread_id))
        self._ready[key] = _Spare(thread, anyio.current_time())

    def _let_go(self, spare: _Spare) -> None:
        self._left.append(spare.thread)
        self._changed.set()


async def _unload(thread: LivingThread) -> None:
    with suppress(CodexError):
        await thread.client.call(thread_unsubscribe(thread.id), CLEAN_UP, shield=True)
    thread.client.unsubscribe(thread.id)
