"""Usage in the SQLite file of the responses, with an age of its own; it does not count to the file's size."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence

from bridge.store.shared_database import Run
from bridge.store.usage import COLUMNS, Cell, Grouping, Numbers, lines_of, totals_of

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS usage (
    kind TEXT NOT NULL,
    day TEXT NOT NULL,
    key TEXT NOT NULL,
    model TEXT NOT NULL,
    {", ".join(f"{name} INTEGER NOT NULL" for name in COLUMNS)},
    PRIMARY KEY (kind, day, key, model)
) WITHOUT ROWID;
"""

_ADD = f"""
INSERT INTO usage (kind, day, key, model, {", ".join(COLUMNS)}) VALUES ({", ".join("?" * (4 + len(COLUMNS)))})
ON CONFLICT (kind, day, key, model) DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in COLUMNS)}
"""  # noqa: S608 - our own names
_REMOVE_OLD = "DELETE FROM usage WHERE day < ?"


class SqliteUsage:
    """Usage in the database of the responses; `longest` is in seconds, `now` returns the time in epoch seconds."""

    def __init__(
        self, connection: Callable[[], sqlite3.Connection], run: Run, now: Callable[[], float], longest: float
    ) -> None:
        self._connection = connection
        self._run = run
        self._now = now
        self._longest = longest
        self._oldest = ""

    async def add(self, cells: Mapping[Cell, Numbers]) -> None:
        """Add numbers, all or none, and remove days that are too old.

        Raises:
            StoreError: the store cannot be written.
        """
        await self._run(lambda: self._add(cells))

    async def read(self, days: Sequence[str], by: Grouping, key: str | None = None) -> Mapping[str, Numbers]:
        """Return the sums of these days in a row by day, model or key; with `key` of that key only. The last is today.

        Raises:
            StoreError: the store cannot be read.
        """
        query = f"""
            SELECT {by}, {", ".join(f"SUM({name})" for name in COLUMNS)} FROM usage WHERE (kind, day) IN
            (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:lines))
            {"" if key is None else "AND key = :key"} GROUP BY 1
        """  # noqa: S608 - our own names
        values = {"lines": json.dumps(lines_of(days, by, key, self._longest)), "key": key}
        rows = await self._run(lambda: self._connection().execute(query, values).fetchall())
        return {name: numbers for name, *numbers in rows}

    # ── In a worker thread ────────────────────────────────────────────────────────────────────────────────────────────

    def _add(self, cells: Mapping[Cell, Numbers]) -> None:
        oldest = time.strftime("%Y-%m-%d", time.localtime(self._now() - self._longest))
        rows = [(kind, *line, *numbers) for cell, numbers in cells.items() for kind, line in totals_of(cell)]
        with self._connection() as database:
            database.executemany(_ADD, rows)
            if oldest != self._oldest:  # once a day: it reads the whole table
                database.execute(_REMOVE_OLD, (oldest,))
        self._oldest = oldest
