"""The histories that recent chains of responses make: while a chain goes on, it is not read from the store again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import orjson
from msgspec import Struct

from bridge.store.response import Item, ResponseStore, Stored, history

MOST = 64
"""Histories that are remembered: about as many as there are chains at a time."""
ROOM = 32 * 1024 * 1024
"""Bytes of JSON that are remembered, however few histories that is."""
UNREAD = 600.0
"""Seconds after which a chain is read again, which keeps all of it alive: no turn's work, but soon enough for a Redis
that is full, whose oldest entries go."""
PART = 1 / 10
"""How much of the age that responses may reach passes at most until then."""


class _Known(Struct, frozen=True):
    items: tuple[Item, ...]
    size: int
    read: float
    """When the chain was read from the store."""


class Histories:
    """The items of chains by the id of their last response; ages and times are seconds."""

    def __init__(self, store: ResponseStore, longest: float, now: Callable[[], float], room: int = ROOM) -> None:
        self._store = store
        self._unread = min(UNREAD, longest * PART)
        self._now = now
        self._room = room
        self._known: OrderedDict[str, _Known] = OrderedDict()
        """The one that was used last stands last."""

    async def of(self, response_id: str) -> tuple[Item, ...] | None:
        """Return the items of a response and of all before it; None if one of them is not, or no longer, stored.

        Raises:
            StoreError: the store cannot be read.
        """
        known = self._known.get(response_id)
        if known is not None and self._now() - known.read < self._unread:
            self._known.move_to_end(response_id)
            if await self._store.use(response_id):
                return known.items
            self._known.pop(response_id, None)
            return None
        chain = await self._store.chain(response_id)
        if chain is None:
            return None
        items = tuple(history(chain))
        self._remember(response_id, _Known(items, len(orjson.dumps(items)), self._now()))
        return items

    def goes_on(self, stored: Stored) -> None:
        """Take note of a response that was stored, in the place of the one that it continues.

        What begins no chain that is known is read from the store when it is continued.
        """
        before = None if stored.previous is None else self._known.pop(stored.previous, None)
        if before is not None:
            new = orjson.dumps([*stored.input, *stored.output])
            items = (*before.items, *orjson.loads(new))
            self._remember(stored.id, _Known(items, before.size + len(new), before.read))

    def _remember(self, response_id: str, known: _Known) -> None:
        self._known[response_id] = known
        size = sum([one.size for one in self._known.values()])
        while self._known and (size > self._room or len(self._known) > MOST):
            size -= self._known.popitem(last=False)[1].size
