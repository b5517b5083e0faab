"""Writes the numbers of ended answers into the store, in batches, and reads them back by day, model or key."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta

import anyio

from bridge.errors import MODEL_NOT_FOUND
from bridge.store.response import StoreError
from bridge.store.usage import COLUMNS, SUMS, Cell, Grouping, Numbers, UsageStore
from bridge.telemetry.ledger import BOUNDS, RequestLogEntry

logger = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two batches."""
MOST = 10_000
"""How many lines wait at most for a store that cannot be written; what comes later is lost."""
LONGEST_NAME = 100
"""Characters of a model's name that are kept."""
UNKNOWN = "(unknown)"
"""Stands for all names of models that do not exist."""


class History:
    """The usage of all days. `today` returns the date."""

    def __init__(self, store: UsageStore, today: Callable[[], date] = date.today) -> None:
        self._store = store
        self._today = today
        self._waiting: dict[Cell, list[int]] = {}
        self._writing = anyio.Lock()
        self._failed = False

    def count(self, entry: RequestLogEntry) -> None:
        """Note an ended answer; it is written later."""
        model = UNKNOWN if entry.error == MODEL_NOT_FOUND else (entry.model or "")[:LONGEST_NAME]
        cell = Cell(self._today().isoformat(), entry.key or "", model)
        usage = entry.usage
        numbers = [0] * len(COLUMNS)
        numbers[: len(SUMS)] = (
            1, int(entry.error is not None), usage.input, usage.cached_input, usage.output, usage.reasoning_output
        )  # fmt: skip
        if entry.first_token is not None:
            numbers[len(SUMS) + bisect_left(BOUNDS, entry.first_token)] = 1
        self._add(cell, numbers)

    async def run(self) -> None:
        """Write a batch from time to time, and a last one when cancelled."""
        try:
            while True:
                await anyio.sleep(EVERY)
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write what waits. If the store fails, it waits for the next batch; the log says so once.

        A batch is written even if the caller is cancelled; the store's own deadlines bound the time.
        """
        with anyio.CancelScope(shield=True):
            await self._flush()

    async def _flush(self) -> None:
        async with self._writing:
            batch, self._waiting = self._waiting, {}
            if not batch:
                return
            try:
                await self._store.add(batch)
            except StoreError as error:
                if not self._failed:
                    logger.warning("the usage of today cannot be recorded, answers go on: %s", error)
                self._failed = True
                for cell, numbers in batch.items():
                    self._add(cell, numbers)
            else:
                if self._failed:
                    logger.info("the usage is recorded again")
                self._failed = False

    def last_days(self, number: int) -> list[str]:
        """Return the dates of the last days, today included, the oldest first."""
        today = self._today()
        return [(today - timedelta(days=ago)).isoformat() for ago in range(number - 1, -1, -1)]

    async def read(self, days: Sequence[str], by: Grouping, key: str | None = None) -> Mapping[str, Numbers]:
        """Return the sums of these days, answers of this moment included.

        Raises:
            StoreError: the store cannot be read.
        """
        await self.flush()
        return await self._store.read(days, by, key)

    def _add(self, cell: Cell, numbers: Sequence[int]) -> None:
        known = self._waiting.get(cell)
        if known is not None:
            known[:] = [one + more for one, more in zip(known, numbers, strict=True)]
        elif len(self._waiting) < MOST:
            self._waiting[cell] = [*numbers]
