"""Stored responses in a Redis that several servers share.

A response is one value that expires some time after its last use. The ids of its continuations are kept in a set, so
that a deleted response stays for as long as others need its items. Redis itself limits the size (`maxmemory`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from bridge.config import DEFAULTS
from bridge.store.redis_agent_turns import RedisAgentTurns
from bridge.store.redis_conversations import RedisConversations
from bridge.store.redis_token_counts import RedisTokenCounts
from bridge.store.redis_usage import RedisUsage
from bridge.store.response import Stored, StoreError
from bridge.store.seal import new_key

T = TypeVar("T")

PREFIX = "codex-openai-proxy:"
KEY = f"{PREFIX}key"
PATIENCE = 5.0
"""Seconds for Redis to answer."""


class RedisStore:
    """A store in Redis; ages are seconds."""

    def __init__(self, redis: Redis, longest: float, usage_age: float) -> None:
        self._redis = redis
        self._longest = int(longest)
        self.conversations = RedisConversations(redis, PREFIX, self._longest, _result)
        self.agent_turns = RedisAgentTurns(redis, PREFIX, self._longest, _result)
        self.token_counts = RedisTokenCounts(redis, PREFIX, _result)
        self.usage = RedisUsage(redis, PREFIX, int(usage_age), _result)

    async def put(self, stored: Stored) -> None:
        """Store a response, and keep the one that it continues for as long.

        Raises:
            StoreError: the store cannot be written.
        """
        async with self._redis.pipeline() as pipe:
            pipe.set(_record(stored.id), stored.dumped(), ex=self._longest)
            if stored.previous is not None:
                pipe.sadd(_later(stored.previous), stored.id)
                self._keep(pipe, stored.previous)
            await _result(pipe.execute())

    async def get(self, response_id: str) -> Stored | None:
        """Return a response; None if it is not stored.

        Raises:
            StoreError: the store cannot be read.
        """
        record, deleted = await _result(self._redis.mget(_record(response_id), _deleted(response_id)))
        return None if record is None or deleted else Stored.loaded(record)

    async def use(self, response_id: str) -> bool:
        """Return whether a response is stored, and mark it as used; `chain` marks the earlier ones.

        Raises:
            StoreError: the store cannot be written.
        """
        async with self._redis.pipeline() as pipe:
            pipe.exists(_record(response_id))
            pipe.exists(_deleted(response_id))
            self._keep(pipe, response_id)
            exists, deleted, *_ = await _result(pipe.execute())
        return bool(exists) and not deleted

    async def chain(self, response_id: str) -> list[Stored] | None:
        """Return the response and all earlier ones, the first one first; None if one of them is missing.

        Raises:
            StoreError: the store cannot be read.
        """
        last = await self.get(response_id)
        if last is None:
            return None
        chain = [last]
        while (previous := chain[-1].previous) is not None:
            record = await _result(self._redis.get(_record(previous)))
            if record is None:
                return None
            chain.append(Stored.loaded(record))
        async with self._redis.pipeline() as pipe:
            for stored in chain:
                self._keep(pipe, stored.id)
            await _result(pipe.execute())
        return chain[::-1]

    async def delete(self, response_id: str) -> bool:
        """Delete a response and return whether it was stored; its continuations keep their history.

        Raises:
            StoreError: the store cannot be written.
        """
        stored = await self.get(response_id)
        if stored is None:
            return False
        await _result(self._redis.set(_deleted(response_id), 1, ex=self._longest))
        await self._remove_unneeded(stored)
        return True

    async def key(self) -> bytes:
        """Return the key of `Seal` that all servers share; the first one to ask creates it. It never expires.

        Raises:
            StoreError: the store cannot be read or written.
        """
        await _result(self._redis.set(KEY, new_key(), nx=True))
        return await _result(self._redis.get(KEY))

    def _keep(self, pipe: Any, response_id: str) -> None:
        for key in (_record(response_id), _later(response_id), _deleted(response_id)):
            pipe.expire(key, self._longest)

    async def _remove_unneeded(self, stored: Stored) -> None:
        """Remove a deleted response without continuations, and then the deleted ones before it likewise."""
        unneeded: Stored | None = stored
        while unneeded is not None and not await _result(self._redis.scard(_later(unneeded.id))):
            async with self._redis.pipeline() as pipe:
                pipe.delete(_record(unneeded.id), _deleted(unneeded.id))
                if unneeded.previous is not None:
                    pipe.srem(_later(unneeded.previous), unneeded.id)
                await _result(pipe.execute())
            unneeded = await self._deleted(unneeded.previous)

    async def _deleted(self, response_id: str | None) -> Stored | None:
        if response_id is None:
            return None
        record, deleted = await _result(self._redis.mget(_record(response_id), _deleted(response_id)))
        return Stored.loaded(record) if record is not None and deleted else None


def _record(response_id: str) -> str:
    return f"{PREFIX}response:{response_id}"


def _later(response_id: str) -> str:
    return f"{PREFIX}later:{response_id}"


def _deleted(response_id: str) -> str:
    return f"{PREFIX}deleted:{response_id}"


async def _result(answer: Awaitable[T] | T) -> Any:
    """Await an answer of Redis, whose types are those of the synchronous and the asynchronous client."""
    try:
        return await cast("Awaitable[Any]", answer)
    except RedisError as error:
        raise StoreError(f"the Redis of stored responses failed: {error}") from error


@asynccontextmanager
async def redis_store(url: str, *, longest: float, usage_age: float = DEFAULTS.usage_age) -> AsyncGenerator[RedisStore]:
    """Connect for the duration of the block.

    Raises:
        StoreError: there is no Redis at the URL.
    """
    try:
        redis: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - its options are untyped
            url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE
        )
    except ValueError as error:
        raise StoreError(f"{url!r} is not the address of a Redis: {error}") from error
    try:
        await _result(redis.ping())  # pyright: ignore[reportUnknownMemberType]
        yield RedisStore(redis, longest, usage_age)
    finally:
        await redis.aclose()
