"""A conversation: items that belong together, to which each of its responses adds its input and output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import orjson
from msgspec import Struct

from bridge.store.response import Item


class Conversation(Struct, frozen=True):
    """A conversation without its items; `created` is in epoch seconds."""

    id: str
    """The id in the store, as `id_in_store` returns it."""
    created: int
    metadata: Mapping[str, str]

    @property
    def public_id(self) -> str:
        """The id that clients use."""
        return self.id.rpartition("/")[2]

    def dumped(self) -> bytes:
        """Return the record as JSON."""
        return orjson.dumps([self.id, self.created, self.metadata])

    @classmethod
    def loaded(cls, record: bytes) -> Conversation:
        """Read a record that `dumped` made."""
        return cls(*orjson.loads(record))


class ConversationStore(Protocol):
    """Stores conversations for a limited time after their last use. Each method may raise StoreError."""

    async def put(self, conversation: Conversation) -> None:
        """Store a conversation; one with the same id keeps its items."""
        ...

    async def get(self, conversation_id: str) -> Conversation | None:
        """Return a conversation; None if it is not stored."""
        ...

    async def delete(self, conversation_id: str) -> bool:
        """Delete a conversation with its items; return whether it was stored."""
        ...

    async def add(self, conversation_id: str, items: Sequence[Item]) -> bool:
        """Add items, each with an id, at the end; return whether the conversation is stored."""
        ...

    async def items(self, conversation_id: str) -> list[Item] | None:
        """Return the items, the first one first; None if the conversation is not stored."""
        ...

    async def remove(self, conversation_id: str, item_id: str) -> bool:
        """Remove an item; return whether it was there."""
        ...
