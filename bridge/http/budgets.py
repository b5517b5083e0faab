"""Counts the tokens that named keys use on a day, in the store that servers share, and refuses a key that used all.

1. A day is one in UTC. Tokens count on the day on which their answer ends: input, cached or not, and output.
2. An answer that has begun is never cut; the next request is refused.
3. Tokens count in this process at once, and a task adds them to the store: no answer waits for it.
4. While the store cannot be used, or is slow, a key is held to what this process counted.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, time, timedelta

import anyio

from bridge.errors import key_budget_exhausted
from bridge.keys.key import NamedKey
from bridge.store.response import StoreError
from bridge.store.token_counts import TokenCounts
from bridge.telemetry.ledger import RequestLogEntry

logger = logging.getLogger(__name__)

PATIENCE = 0.5
"""Seconds that a request waits for the store: its file may be locked, or it may still save what was counted."""
RETRY = 5.0
"""Seconds after which a store that failed is tried again, and that saving may take when the server stops."""


class Budgets:
    """The tokens of today by the id of the key; `now` returns the time in epoch seconds."""

    def __init__(self, counts: TokenCounts, now: Callable[[], float]) -> None:
        self._counts = counts
        self._now = now
        self._day = ""
        self._counted: Counter[str] = Counter()
        """What this process has counted of this day."""
        self._unsaved: Counter[str] = Counter()
        """The part of it that the store does not have yet."""
        self._saving = anyio.Lock()
        self._changed = anyio.Event()

    def count(self, entry: RequestLogEntry) -> None:
        """Count the tokens of a request that has ended."""
        tokens = entry.usage.input + entry.usage.output
        if entry.key_id is not None and tokens:
            self._begin_day()
            self._counted[entry.key_id] += tokens
            self._unsaved[entry.key_id] += tokens
            self._changed.set()

    async def used(self, key_ids: Collection[str]) -> Mapping[str, int]:
        """Return the tokens that each key has used today, on all servers that share the store."""
        self._begin_day()
        if not key_ids:
            return {}
        stored: Mapping[str, int] = {}
        try:
            with anyio.fail_after(PATIENCE):
                async with self._saving:
                    stored = Counter(await self._counts.of(self._day, key_ids)) + self._unsaved
        except (StoreError, TimeoutError) as error:
            logger.error("the tokens that keys have used cannot be read: %s", str(error) or "the store is too slow")
        return {key: max(stored.get(key, 0), self._counted[key]) for key in key_ids}

    async def check(self, key: NamedKey) -> None:
        """Check that a key has tokens left.

        Raises:
            ApiError: 429, it has used its tokens of today.
        """
        if key.tokens_per_day is not None and (await self.used([key.id]))[key.id] >= key.tokens_per_day:
            raise key_budget_exhausted(key.name, key.tokens_per_day, self._until_midnight())

    async def run(self) -> None:
        """Add to the store what was counted, until cancelled."""
        try:
            while True:
                await self._changed.wait()
                if not await self._save():
                    await anyio.sleep(RETRY)
        finally:
            with anyio.move_on_after(RETRY, shield=True):
                await self._save()

    async def _save(self) -> bool:
        """Add what is unsaved to the store; return whether that succeeded."""
        async with self._saving:
            day, unsaved = self._day, Counter(self._unsaved)
            try:
                if unsaved:
                    await self._counts.add(day, unsaved)
            except StoreError as error:
                logger.error("the tokens that keys have used are not stored; trying again: %s", error)
                return False
            if day == self._day:
                self._unsaved -= unsaved
            if not self._unsaved:
                self._changed = anyio.Event()
            return True

    def _begin_day(self) -> None:
        day = f"{self._today():%Y-%m-%d}"
        if day != self._day:
            self._day, self._counted, self._unsaved = day, Counter(), Counter()

    def _today(self) -> datetime:
        return datetime.combine(datetime.fromtimestamp(self._now(), UTC).date(), time(), UTC)

    def _until_midnight(self) -> float:
        return (self._today() + timedelta(days=1)).timestamp() - self._now()
