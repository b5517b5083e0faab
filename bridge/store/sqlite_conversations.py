"""Conversations in the SQLite file of the responses; both share its bounds of size and age."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import orjson

from bridge.store.conversations import Conversation
from bridge.store.response import Item
from bridge.store.shared_database import SharedDatabase

SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    used REAL NOT NULL,
    size INTEGER NOT NULL,
    record BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS conversation_items (
    number INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations (number) ON DELETE CASCADE,
    id TEXT NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS conversations_by_use ON conversations (used, number, size);
CREATE INDEX IF NOT EXISTS items_by_conversation ON conversation_items (conversation, number);
"""

REMOVE_OLD = "DELETE FROM conversations WHERE used < ?"
LONGEST_UNUSED = "SELECT number, size, used FROM conversations ORDER BY used, number LIMIT 1"
REMOVE = "DELETE FROM conversations WHERE number = ?"

_PUT = """
INSERT INTO conversations (id, used, size, record) VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE
SET used = excluded.used, size = size - length(record) + excluded.size, record = excluded.record
"""
_USE = "UPDATE conversations SET used = ?, size = size + ? WHERE id = ?"
_ITEMS = """
SELECT i.record FROM conversation_items i JOIN conversations c ON i.conversation = c.number
WHERE c.id = ? ORDER BY i.number
"""
_ADD = """
INSERT INTO conversation_items (conversation, id, record) SELECT number, ?, ? FROM conversations WHERE id = ?
"""
_REMOVE_ITEM = """
DELETE FROM conversation_items
WHERE conversation = (SELECT number FROM conversations WHERE id = ?) AND id = ? RETURNING length(record)
"""


class SqliteConversations(SharedDatabase):
    """Conversations in the database of the responses."""

    async def put(self, conversation: Conversation) -> None:
        """Store a conversation; one with the same id keeps its items.

        Raises:
            StoreError: the store cannot be written.
        """
        await self._run(lambda: self._put(conversation.id, conversation.dumped()))

    async def get(self, conversation_id: str) -> Conversation | None:
        """Return a conversation; None if it is not stored.

        Raises:
            StoreError: the store cannot be read.
        """
        record = await self._run(lambda: self._get(conversation_id))
        return None if record is None else Conversation.loaded(record)

    async def delete(self, conversation_id: str) -> bool:
        """Delete a conversation with its items; return whether it was stored.

        Raises:
            StoreError: the store cannot be written.
        """
        return await self._run(lambda: self._delete(conversation_id))

    async def add(self, conversation_id: str, items: Sequence[Item]) -> bool:
        """Add items at the end; return whether the conversation is stored.

        Raises:
            StoreError: the store cannot be written.
        """
        return await self._run(lambda: self._add(conversation_id, items))

    async def items(self, conversation_id: str) -> list[Item] | None:
        """Return the items, the first one first; None if the conversation is not stored.

        Raises:
            StoreError: the store cannot be read.
        """
        return await self._run(lambda: self._items(conversation_id))

    async def remove(self, conversation_id: str, item_id: str) -> bool:
        """Remove an item; return whether it was there.

        Raises:
            StoreError: the store cannot be written.
        """
        return await self._run(lambda: self._remove(conversation_id, item_id))

    # ── In a worker thread ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _database(self) -> sqlite3.Connection:
        return self._connection()

    def _put(self, conversation_id: str, record: bytes) -> None:
        with self._database as database:
            database.execute(_PUT, (conversation_id, self._now(), len(record), record))
            self._make_room()

    def _get(self, conversation_id: str) -> bytes | None:
        self._use(conversation_id)
        query = "SELECT record FROM conversations WHERE id = ?"
        row = self._database.execute(query, (conversation_id,)).fetchone()
        return None if row is None else row[0]

    def _delete(self, conversation_id: str) -> bool:
        with self._database as database:
            return database.execute("DELETE FROM conversations WHERE id = ?", (conversation_id,)).rowcount > 0

    def _add(self, conversation_id: str, items: Sequence[Item]) -> bool:
        rows = [(item["id"], orjson.dumps(item), conversation_id) for item in items]
        with self._database as database:
            stored = self._change(conversation_id, sum(len(record) for _, record, _ in rows))
            database.executemany(_ADD, rows)
            self._make_room()
        return stored

    def _items(self, conversation_id: str) -> list[Item] | None:
        if not self._use(conversation_id):
            return None
        return [orjson.loads(record) for (record,) in self._database.execute(_ITEMS, (conversation_id,))]

    def _remove(self, conversation_id: str, item_id: str) -> bool:
        with self._database as database:
            removed = database.execute(_REMOVE_ITEM, (conversation_id, item_id)).fetchall()
            self._change(conversation_id, -sum(size for (size,) in removed))
        return bool(removed)

    def _use(self, conversation_id: str) -> bool:
        with self._database:
            return self._change(conversation_id, 0)

    def _change(self, conversation_id: str, added: int) -> bool:
        """Mark a conversation as used and change its size by so many bytes; return whether it is stored."""
        return self._database.execute(_USE, (self._now(), added, conversation_id)).rowcount > 0
