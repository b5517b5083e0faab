"""Conversations in a Redis that several servers share: one value, and a list of its items."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
from redis.asyncio import Redis

from bridge.store.conversations import Conversation
from bridge.store.response import Item


class RedisConversations:
    """Conversations in Redis; both keys of a conversation expire some time after its last use."""

    def __init__(
        self, redis: Redis, prefix: str, longest: int, result: Callable[[Awaitable[Any] | Any], Awaitable[Any]]
    ) -> None:
        """`longest` is that time in seconds; `result` awaits an answer, and raises StoreError if Redis failed."""
        self._redis = redis
        self._prefix = prefix
        self._longest = longest
        self._result = result

    async def put(self, conversation: Conversation) -> None:
        """Store a conversation; one with the same id keeps its items.

        Raises:
            StoreError: the store cannot be written.
        """
        await self._result(self._redis.set(self._record(conversation.id), conversation.dumped(), ex=self._longest))

    async def get(self, conversation_id: str) -> Conversation | None:
        """Return a conversation; None if it is not stored.

        Raises:
            StoreError: the store cannot be read.
        """
        record = await self._used(conversation_id)
        return None if record is None else Conversation.loaded(record)

    async def delete(self, conversation_id: str) -> bool:
        """Delete a conversation with its items; return whether it was stored.

        Raises:
            StoreError: the store cannot be written.
        """
        async with self._redis.pipeline() as pipe:
            pipe.delete(self._record(conversation_id))
            pipe.delete(self._list(conversation_id))
            deleted, _ = await self._result(pipe.execute())
        return bool(deleted)

    async def add(self, conversation_id: str, items: Sequence[Item]) -> bool:
        """Add items at the end; return whether the conversation is stored.

        Raises:
            StoreError: the store cannot be written.
        """
        if await self._used(conversation_id) is None:
            return False
        if items:
            async with self._redis.pipeline() as pipe:
                pipe.rpush(self._list(conversation_id), *[orjson.dumps(item) for item in items])
                pipe.expire(self._list(conversation_id), self._longest)
                await self._result(pipe.execute())
        return True

    async def items(self, conversation_id: str) -> list[Item] | None:
        """Return the items, the first one first; None if the conversation is not stored.

        Raises:
            StoreError: the store cannot be read.
        """
        if await self._used(conversation_id) is None:
            return None
        return [orjson.loads(record) for record in await self._records(conversation_id)]

    async def remove(self, conversation_id: str, item_id: str) -> bool:
        """Remove an item; return whether it was there.

        Raises:
            StoreError: the store cannot be written.
        """
        records = [one for one in await self._records(conversation_id) if orjson.loads(one)["id"] == item_id]
        for record in records:
            await self._result(self._redis.lrem(self._list(conversation_id), 1, record.decode()))
        return bool(records)

    async def _records(self, conversation_id: str) -> list[bytes]:
        return await self._result(self._redis.lrange(self._list(conversation_id), 0, -1))

    async def _used(self, conversation_id: str) -> bytes | None:
        """Return the record of a conversation, which is marked as used."""
        async with self._redis.pipeline() as pipe:
            pipe.get(self._record(conversation_id))
            pipe.expire(self._record(conversation_id), self._longest)
            pipe.expire(self._list(conversation_id), self._longest)
            record, *_ = await self._result(pipe.execute())
        return record

    def _record(self, conversation_id: str) -> str:
        return f"{self._prefix}conversation:{conversation_id}"

    def _list(self, conversation_id: str) -> str:
        return f"{self._prefix}conversation-items:{conversation_id}"
