"""Stored responses in an SQLite file, bounded in size and age.

A response needs all earlier ones of its chain. Therefore only responses without a continuation are removed, the least
recently used first; the one before a removed response may then be removed next.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from bridge.config import DEFAULTS
from bridge.store import sqlite_agent_turns, sqlite_conversations, sqlite_token_counts, sqlite_usage
from bridge.store.response import Stored, StoreError
from bridge.store.seal import key_in_file, new_key
from bridge.store.sqlite_agent_turns import SqliteAgentTurns
from bridge.store.sqlite_conversations import SqliteConversations
from bridge.store.sqlite_token_counts import SqliteTokenCounts
from bridge.store.sqlite_usage import SqliteUsage

logger = logging.getLogger(__name__)

T = TypeVar("T")

BUSY = 5.0
"""Seconds to wait for another server that writes to the same file."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    previous TEXT,
    used REAL NOT NULL,
    size INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0,
    record BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS by_use ON responses (used, number, size);
CREATE INDEX IF NOT EXISTS by_previous ON responses (previous);
"""

_CHAIN = """
WITH RECURSIVE chain (id, previous, record, depth) AS (
    SELECT id, previous, record, 0 FROM responses WHERE id = :id AND NOT deleted
    UNION ALL
    SELECT r.id, r.previous, r.record, depth + 1 FROM responses r JOIN chain ON r.id = chain.previous
)
SELECT id, previous, record FROM chain ORDER BY depth DESC
"""

_OLD = """
SELECT number, previous FROM responses WHERE used < :oldest
AND NOT EXISTS (SELECT 1 FROM responses later WHERE later.previous = responses.id)
"""

_DELETED = """
SELECT number, previous FROM responses WHERE deleted
AND NOT EXISTS (SELECT 1 FROM responses later WHERE later.previous = responses.id)
"""

_LONGEST_UNUSED = """
SELECT number, size, used FROM responses
WHERE NOT EXISTS (SELECT 1 FROM responses later WHERE later.previous = responses.id)
ORDER BY used, number LIMIT 1
"""

_TOTAL = """
SELECT (SELECT TOTAL(size) FROM responses) + (SELECT TOTAL(size) FROM conversations)
+ (SELECT TOTAL(size) FROM agent_turns)
"""

_REMOVABLE = (
    (_LONGEST_UNUSED, "DELETE FROM responses WHERE number = ?"),
    (sqlite_conversations.LONGEST_UNUSED, sqlite_conversations.REMOVE),
    (sqlite_agent_turns.LONGEST_UNUSED, sqlite_agent_turns.REMOVE),
)

_USE = "UPDATE responses SET used = :now WHERE id = :id AND NOT deleted"


class SqliteStore:
    """A store in SQLite; sizes are bytes of JSON, ages are seconds, and `now` returns the time in epoch seconds."""

    def __init__(
        self, path: Path | None, *, most: int, longest: float, usage_age: float, now: Callable[[], float]
    ) -> None:
        """Open the file, or memory if there is no path; a file that is not a database is renamed to `.broken`.

        Raises:
            StoreError: the file cannot be opened.
        """
        self._path = path
        self._most = most
        self._longest = longest
        self._now = now
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._key_file = path.with_suffix(".key") if path else None
        self._key = b""
        try:
            self._database = _open(path)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"the store of responses {path} cannot be opened: {error}") from error
        self.conversations = SqliteConversations(lambda: self._database, self._run, now, self._make_room)
        self.agent_turns = SqliteAgentTurns(lambda: self._database, self._run, now, self._make_room)
        self.token_counts = SqliteTokenCounts(lambda: self._database, self._run, now, self._make_room)
        self.usage = SqliteUsage(lambda: self._database, self._run, now, usage_age)

    async def put(self, stored: Stored) -> None:
        """Store a response; older ones are removed if the store is full.

        Raises:
            StoreError: the response cannot be written or is larger than the store.
        """
        record = stored.dumped()
        if len(record) > self._most:
            raise StoreError(f"a response of {len(record)} bytes is larger than the store may be")
        await self._run(lambda: self._put(stored, record))

    async def get(self, response_id: str) -> Stored | None:
        """Return a response; None if it is not stored.

        Raises:
            StoreError: the store cannot be read.
        """
        row = await self._run(lambda: self._one(response_id))
        return None if row is None else Stored.loaded(row)

    async def use(self, response_id: str) -> bool:
        """Return whether a response is stored, and mark it as used.

        Raises:
            StoreError: the store cannot be written.
        """
        return await self._run(lambda: self._use(response_id))

    async def chain(self, response_id: str) -> list[Stored] | None:
        """Return the response and all earlier ones, the first one first; None if one of them is missing.

        Raises:
            StoreError: the store cannot be read.
        """
        rows = await self._run(lambda: self._chain(response_id))
        return [Stored.loaded(record) for _, _, record in rows] if rows and rows[0][1] is None else None

    async def delete(self, response_id: str) -> bool:
        """Delete a response and return whether it was stored; its continuations keep their history.

        Raises:
            StoreError: the store cannot be written.
        """
        return await self._run(lambda: self._delete(response_id))

    async def key(self) -> bytes:
        """Return the key of `Seal`: in a file next to the database, or in memory like the store itself.

        Raises:
            StoreError: the file cannot be read or written.
        """
        return await self._run(self._read_key)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # ── In a worker thread ────────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await anyio.to_thread.run_sync(self._work, work, limiter=self._one_at_a_time)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"the store of responses failed: {error}") from error

    def _work(self, work: Callable[[], T]) -> T:
        """Do some work on the file, which is made again if it was deleted: SQLite would go on without it."""
        if self._path is not None and not self._path.exists():
            logger.warning("the store of responses %s was deleted; making an empty one", self._path)
            self._database.close()
            self._database = _open(self._path)
        return work()

    def _put(self, stored: Stored, record: bytes) -> None:
        now = self._now()
        with self._database as database:
            database.execute(
                "INSERT INTO responses (id, previous, used, size, record) VALUES (?, ?, ?, ?, ?)",
                (stored.id, stored.previous, now, len(record), record),
            )
            self._make_room()

    def _make_room(self) -> None:
        """Remove what is too old, then what was not used for longest, until the rest is small enough.

        Part of a transaction that the caller has begun.
        """
        database, oldest = self._database, self._now() - self._longest
        self._remove(_OLD, oldest=oldest)
        database.execute(sqlite_conversations.REMOVE_OLD, (oldest,))
        database.execute(sqlite_agent_turns.REMOVE_OLD, (oldest,))
        (total,) = database.execute(_TOTAL).fetchone()
        while total > self._most:
            candidates = [
                (used, remove, number, size)
                for select, remove in _REMOVABLE
                for number, size, used in database.execute(select)
            ]
            _, remove, number, size = min(candidates, key=lambda one: one[0])
            database.execute(remove, (number,))
            total -= size

    def _remove(self, selection: str, **parameters: float) -> None:
        """Remove the selected responses without continuations, and repeat for the ones before them."""
        ends = self._database.execute(selection, parameters).fetchall()
        while ends:
            number, previous = ends.pop()
            self._database.execute("DELETE FROM responses WHERE number = ?", (number,))
            ends += self._database.execute(f"{selection} AND id = :id", {"id": previous, **parameters})

    def _one(self, response_id: str) -> bytes | None:
        query = "SELECT record FROM responses WHERE id = ? AND NOT deleted"
        row = self._database.execute(query, (response_id,)).fetchone()
        return None if row is None else row[0]

    def _use(self, response_id: str) -> bool:
        with self._database as database:
            return database.execute(_USE, {"id": response_id, "now": self._now()}).rowcount > 0

    def _chain(self, response_id: str) -> list[tuple[str, str | None, bytes]]:
        return self._database.execute(_CHAIN, {"id": response_id}).fetchall() if self._use(response_id) else []

    def _read_key(self) -> bytes:
        if self._key:
            return self._key
        if self._key_file is None:
            self._key = new_key()
        else:
            with self._database as database:
                database.execute("BEGIN IMMEDIATE")  # only one of the servers that share the file creates the key
                self._key = key_in_file(self._key_file)
        return self._key

    def _delete(self, response_id: str) -> bool:
        with self._database as database:
            done = database.execute("UPDATE responses SET deleted = 1 WHERE id = ? AND NOT deleted", (response_id,))
            self._remove(_DELETED)
        return done.rowcount > 0


def _open(path: Path | None) -> sqlite3.Connection:
    if path is None:
        return _connect(":memory:")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    try:
        return _connect(str(path))
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        aside = path.with_name(path.name + ".broken")
        logger.warning("%s is not a store of responses (%s); it was renamed to %s", path, error, aside)
        path.replace(aside)
        path.touch(mode=0o600)
        return _connect(str(path))


def _connect(name: str) -> sqlite3.Connection:
    database = sqlite3.connect(name, timeout=BUSY, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA foreign_keys = ON")
        tables = (sqlite_conversations, sqlite_agent_turns, sqlite_token_counts, sqlite_usage)
        database.executescript("".join((_SCHEMA, *(table.SCHEMA for table in tables))))
    except sqlite3.Error:
        database.close()
        raise
    return database


@contextmanager
def sqlite_store(
    path: Path | None,
    *,
    most: int,
    longest: float,
    now: Callable[[], float],
    usage_age: float = DEFAULTS.usage_age,
) -> Generator[SqliteStore]:
    """Open a store for the duration of the block.

    Raises:
        StoreError: the file cannot be opened.
    """
    store = SqliteStore(path, most=most, longest=longest, usage_age=usage_age, now=now)
    try:
        yield store
    finally:
        with suppress(sqlite3.Error):
            store.close()
