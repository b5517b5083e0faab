"""The tokens that named keys have used today, in the SQLite file of the responses."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from bridge.store.shared_database import SharedDatabase

SCHEMA = """
CREATE TABLE IF NOT EXISTS key_tokens (
    key TEXT NOT NULL,
    day TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (key, day)
);
"""

_ADD = """
INSERT INTO key_tokens (key, day, tokens) VALUES (?, ?, ?)
ON CONFLICT (key, day) DO UPDATE SET tokens = tokens + excluded.tokens
"""


class SqliteTokenCounts(SharedDatabase):
    """Tokens in the database of the responses: at most one row for each key, of the last day on which it was used."""

    async def add(self, day: str, tokens: Mapping[str, int]) -> None:
        """Add tokens by key, and forget earlier days.

        Raises:
            StoreError: the store cannot be written.
        """
        await self._run(lambda: self._add(day, tokens))

    async def of(self, day: str, keys: Collection[str]) -> Mapping[str, int]:
        """Return the tokens that these keys have used on a day.

        Raises:
            StoreError: the store cannot be read.
        """
        return await self._run(lambda: self._of(day, keys))

    # ── In a worker thread ────────────────────────────────────────────────────────────────────────────────────────────

    def _add(self, day: str, tokens: Mapping[str, int]) -> None:
        with self._connection() as database:
            database.execute("DELETE FROM key_tokens WHERE day < ?", (day,))
            database.executemany(_ADD, [(key, day, number) for key, number in tokens.items()])

    def _of(self, day: str, keys: Collection[str]) -> Mapping[str, int]:
        query = "SELECT key, tokens FROM key_tokens WHERE key IN (SELECT value FROM json_each(?)) AND day = ?"
        return dict(self._connection().execute(query, (json.dumps([*keys]), day)).fetchall())
