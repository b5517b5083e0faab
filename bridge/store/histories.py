"""Caches the histories of recent chains of responses, so that a continued chain is not read from the store again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import orjson
from msgspec import Struct

from bridge.store.response import Item, ResponseStore, Stored, history

MOST = 64
"""Number of cached histories: about the number of concurrent chains."""
ROOM = 32 * 1024 * 1024
"""Bytes of JSON that are cached, whatever the number of histories."""
UNREAD = 600.0
"""Seconds after which a chain is read again, which marks all of it as used. Reading it in every turn would be wasteful;
reading it later would be too late for a full Redis, which evicts the oldest keys."""
PART = 1 / 10
"""The same limit as a part of the maximum age of responses."""


class _CachedHistory(Struct, frozen=True):
    items: tuple[Item, ...]
    size: int
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
        self._room = room
        self._cached: OrderedDict[str, _CachedHistory] = OrderedDict()
        """In order of use, the most recent last."""

    async def of(self, response_id: str) -> tuple[Item, ...] | None:
        """Return the items of a response and of all before it; None if one of them is not stored.

        Raises:
            StoreError: the store cannot be read.
        """
        cached = self._cached.get(response_id)
        if cached is not None and self._now() - cached.read < self._unread:
            self._cached.move_to_end(response_id)
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
        self._remember(response_id, _CachedHistory(items, len(orjson.dumps(items)), self._now()))
        return items

    def extend(self, stored: Stored) -> None:
        """Extend the cached history of the response that a new response continues.

        The history of any other response is read from the store once that response is continued.
        """
        before = None if stored.previous is None else self._cached.pop(stored.previous, None)
        if before is not None:
            new = orjson.dumps([*stored.input, *stored.output])
            items = (*before.items, *orjson.loads(new))
            self._remember(stored.id, _CachedHistory(items, before.size + len(new), before.read))

    def _remember(self, response_id: str, cached: _CachedHistory) -> None:
        self._cached[response_id] = cached
        size = sum([one.size for one in self._cached.values()])
        while self._cached and (size > self._room or len(self._cached) > MOST):
            size -= self._cached.popitem(last=False)[1].size
