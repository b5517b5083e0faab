from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from bridge.store.redis import PREFIX, RedisStore, redis_store
from bridge.store.response import Stored, StoreError
from tests.harness.services import redis_server


def stored(name: str, previous: str | None = None) -> Stored:
    message = {"role": "user", "content": name}
    return Stored({"id": name, "previous_response_id": previous, "status": "completed"}, [message], [])


@pytest.fixture
async def url(tmp_path: Path) -> AsyncGenerator[str]:
    async with redis_server(tmp_path) as address:
        yield address


@pytest.fixture
async def store(url: str) -> AsyncGenerator[RedisStore]:
    async with redis_store(url, longest=60) as opened:
        yield opened


def connect(url: str) -> Any:
    """Return a direct connection; most of its types are unknown."""
    return Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]


async def keys(url: str) -> list[str]:
    async with connect(url) as redis:
        return sorted([key.decode().removeprefix(PREFIX) async for key in redis.scan_iter()])


async def test_another_server_reads_stored_responses_and_chains(store: RedisStore, url: str) -> None:
    one, two, three = stored("one"), stored("two", "one"), stored("three", "two")
    for each in (one, two, three):
        await store.put(each)
    async with redis_store(url, longest=60) as other:
        assert await other.get("two") == two
        assert await other.chain("three") == [one, two, three]
        assert await other.chain("one") == [one]
        assert await other.get("four") is None
        assert await other.chain("four") is None


async def test_everything_expires_some_time_after_its_last_use(store: RedisStore, url: str) -> None:
    await store.put(stored("one"))
    await store.put(stored("two", "one"))
    async with connect(url) as redis:
        for key in await keys(url):
            await redis.expire(PREFIX + key, 5)
        await store.chain("two")
        left = {key: await redis.ttl(PREFIX + key) for key in await keys(url)}
    assert left == dict.fromkeys(("later:one", "response:one", "response:two"), 60)


async def test_using_a_response_keeps_only_that_response_alive(store: RedisStore, url: str) -> None:
    await store.put(stored("one"))
    await store.put(stored("two", "one"))
    async with connect(url) as redis:
        for key in await keys(url):
            await redis.expire(PREFIX + key, 5)
        assert await store.use("two")
        assert await redis.ttl(f"{PREFIX}response:two") == 60
        assert await redis.ttl(f"{PREFIX}response:one") == 5
    assert not await store.use("three")
    await store.delete("two")
    assert not await store.use("two")
    await store.put(stored("three", "one"))
    await store.delete("one")
    assert not await store.use("one")


async def test_a_continued_response_expires_no_sooner_than_its_continuation(store: RedisStore, url: str) -> None:
    await store.put(stored("one"))
    async with connect(url) as redis:
        await redis.expire(f"{PREFIX}response:one", 5)
        await store.put(stored("two", "one"))
        assert await redis.ttl(f"{PREFIX}response:one") == 60


async def test_a_chain_without_its_beginning_is_not_returned(store: RedisStore, url: str) -> None:
    await store.put(stored("one"))
    await store.put(stored("two", "one"))
    async with connect(url) as redis:
        await redis.delete(f"{PREFIX}response:one")
    assert await store.chain("two") is None


async def test_a_deleted_response_is_kept_until_its_continuations_are_deleted(store: RedisStore, url: str) -> None:
    one, two, three = stored("one"), stored("two", "one"), stored("three", "two")
    for each in (one, two, three):
        await store.put(each)
    assert await store.delete("one")
    assert await store.delete("two")
    assert not await store.delete("two")
    assert (await store.get("one"), await store.chain("two")) == (None, None)
    assert await store.chain("three") == [one, two, three]
    assert await store.delete("three")
    assert await keys(url) == []


async def test_an_unreachable_redis_is_a_store_error(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as address, redis_store(address, longest=60) as store:
        await store.put(stored("one"))
        async with connect(address) as redis:
            await redis.shutdown(nosave=True)
        with pytest.raises(StoreError, match="failed"):
            await store.get("one")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://127.0.0.1:port/0"], ids=["no server", "no port"])
async def test_the_server_does_not_start_without_its_redis(url: str) -> None:
    with pytest.raises(StoreError):
        async with redis_store(url, longest=60):
            pass


async def test_all_servers_have_the_same_key_and_it_does_not_expire(store: RedisStore, url: str) -> None:
    key = await store.key()
    async with redis_store(url, longest=60) as other, connect(url) as redis:
        assert await other.key() == key
        assert await redis.ttl(PREFIX + "key") == -1
