"""The turns of agents in a Redis that several servers share: one value each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

from bridge.store.agent_turns import StoredTurn


class RedisAgentTurns:
    """Turns in Redis, which expire some time after their last use; the arguments are those of `RedisConversations`."""

    def __init__(
        self, redis: Redis, prefix: str, longest: int, result: Callable[[Awaitable[Any] | Any], Awaitable[Any]]
    ) -> None:
        self._redis = redis
        self._prefix = f"{prefix}agent-turn:"
        self._longest = longest
        self._result = result

    async def put(self, key: str, turn: StoredTurn) -> None:
        """Store a turn; it replaces another one with the same key.

        Raises:
            StoreError: the store cannot be written.
        """
        await self._result(self._redis.set(self._prefix + key, turn.dumped(), ex=self._longest))

    async def get(self, key: str) -> StoredTurn | None:
        """Return a turn, which is marked as used; None if there is none with this key.

        Raises:
            StoreError: the store cannot be read.
        """
        record = await self._result(self._redis.getex(self._prefix + key, ex=self._longest))
        return None if record is None else StoredTurn.loaded(record)
