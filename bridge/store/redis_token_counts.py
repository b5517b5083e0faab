"""The tokens that named keys have used today, in a Redis that several servers share: a hash for each day."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from redis.asyncio import Redis

KEPT = 2 * 24 * 3600
"""Seconds for which a day is kept: its own, and some hours for servers whose clocks differ."""


class RedisTokenCounts:
    """Tokens in Redis; the arguments are those of `RedisConversations`."""

    def __init__(self, redis: Redis, prefix: str, result: Callable[[Awaitable[Any] | Any], Awaitable[Any]]) -> None:
        self._redis = redis
        self._prefix = f"{prefix}key-tokens:"
        self._result = result

    async def add(self, day: str, tokens: Mapping[str, int]) -> None:
        """Add tokens by key.

        Raises:
            StoreError: the store cannot be written.
        """
        async with self._redis.pipeline() as pipe:
            for key, number in tokens.items():
                pipe.hincrby(self._prefix + day, key, number)
            pipe.expire(self._prefix + day, KEPT)
            await self._result(pipe.execute())

    async def of(self, day: str, keys: Collection[str]) -> Mapping[str, int]:
        """Return the tokens that these keys have used on a day.

        Raises:
            StoreError: the store cannot be read.
        """
        found = await self._result(self._redis.hmget(self._prefix + day, [*keys]))
        return {key: int(number) for key, number in zip(keys, found, strict=True) if number is not None}
