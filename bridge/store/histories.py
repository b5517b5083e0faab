"""Caches the histories of recent chains of responses, so that a continued chain is not read from the store again."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from cachetools import LRUCache
from msgspec import Struct

from bridge.json_values import memory_of
from bridge.store.response import Item, ResponseStore, Stored, history

ROOM = 32 * 1024 * 1024
"""Bytes of memory for the cached histories."""
OVERHEAD = 1000
"""Bytes of memory that a history takes in addition to its items, with its place in the cache."""
UNREAD = 600.0
"""Seconds after which a chain is read again, which marks all of it as used. Reading it in every turn would be wasteful;
reading it later would be too late for a full Redis, which evicts the oldest keys."""
PART = 1 / 10
"""The same limit as a part of the maximum age of responses."""


class _CachedHistory(Struct, frozen=True):
    items: tuple[Item, ...]
    size: int
    """Bytes of memory, about."""
    read: float
    """Time at which the chain was read from the store."""


class Histories:
    """The items of chains by the id of their last response; ages and times are seconds."""

    def __init__(
        self,
        store: ResponseStore,
        longest: float,
        now: Callable[[], float],
        room: int = ROOM,
        note: Callable[[Stored], None] = lambda stored: None,
    ) -> None:
        """`note` is called with each response that is read from the store."""
        self._store = store
        self._note = note
        self._unread = min(UNREAD, longest * PART)
        self._now = now
        self._cached: LRUCache[str, _CachedHistory] = LRUCache(room, getsizeof=lambda cached: cached.size)

    async def of(self, response_id: str) -> tuple[Item, ...] | None:
        """Return the items of a response and of all before it; None if one of them is not stored.

        Raises:
            StoreError: the store cannot be read.
        """
        cached = self._cached.get(response_id)
        if cached is not None and self._now() - cached.read < self._unread:
            if await self._store.use(response_id):
                return cached.items
            self._cached.pop(response_id, None)
            return None
        chain = await self._store.chain(response_id)
        if chain is None:
            return None
        for stored in chain:
            self._note(stored)
        items = tuple(history(chain))
        self._remember(response_id, _CachedHistory(items, OVERHEAD + memory_of(items), self._now()))
        return items

    def extend(self, stored: Stored) -> None:
        """Extend the cached history of the response that a new response continues.

        The history of any other response is read from the store once that response is continued.
        """
        before = None if stored.previous is None else self._cached.pop(stored.previous, None)
        if before is not None:
            new = orjson.loads(orjson.dumps([*stored.input, *stored.output]))
            items = (*before.items, *new)
            self._remember(stored.id, _CachedHistory(items, before.size + memory_of(new), before.read))

    def _remember(self, response_id: str, cached: _CachedHistory) -> None:
        if cached.size <= self._cached.maxsize:
            self._cached[response_id] = cached
