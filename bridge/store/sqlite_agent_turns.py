"""The turns of agents in the SQLite file of the responses; both share its bounds of size and age."""

from __future__ import annotations

from bridge.store.agent_turns import StoredTurn
from bridge.store.shared_database import SharedDatabase

SCHEMA = """
CREATE TABLE IF NOT EXISTS agent_turns (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    used REAL NOT NULL,
    size INTEGER NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS agent_turns_by_use ON agent_turns (used, number, size);
"""

REMOVE_OLD = "DELETE FROM agent_turns WHERE used < ?"
LONGEST_UNUSED = "SELECT number, size, used FROM agent_turns ORDER BY used, number LIMIT 1"
REMOVE = "DELETE FROM agent_turns WHERE number = ?"

_PUT = """
INSERT INTO agent_turns (key, used, size, record) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET used = excluded.used, size = excluded.size, record = excluded.record
"""
_GET = "UPDATE agent_turns SET used = ? WHERE key = ? RETURNING record"


class SqliteAgentTurns(SharedDatabase):
    """Turns in the database of the responses."""

    async def put(self, key: str, turn: StoredTurn) -> None:
        """Store a turn; it replaces another one with the same key.

        Raises:
            StoreError: the store cannot be written.
        """
        await self._run(lambda: self._put(key, turn.dumped()))

    async def get(self, key: str) -> StoredTurn | None:
        """Return a turn, which is marked as used; None if there is none with this key.

        Raises:
            StoreError: the store cannot be read.
        """
        record = await self._run(lambda: self._get(key))
        return None if record is None else StoredTurn.loaded(record)

    # ── In a worker thread ────────────────────────────────────────────────────────────────────────────────────────────

    def _put(self, key: str, record: bytes) -> None:
        with self._connection() as database:
            database.execute(_PUT, (key, self._now(), len(key) + len(record), record))
            self._make_room()

    def _get(self, key: str) -> bytes | None:
        with self._connection() as database:
            rows = database.execute(_GET, (self._now(), key)).fetchall()
        return rows[0][0] if rows else None
