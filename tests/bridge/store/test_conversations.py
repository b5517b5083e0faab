"""Conversations in both stores."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bridge.store.conversations import Conversation
from bridge.store.open import Store
from bridge.store.redis import redis_store
from bridge.store.response import Stored, StoreError
from bridge.store.sqlite import sqlite_store
from tests.bridge.store.test_redis import connect
from tests.harness.services import redis_server

ONE = Conversation("conv_1", 17, {"topic": "grüß"})


def item(name: str, text: str = "") -> dict[str, Any]:
    return {"id": f"msg_{name}", "type": "message", "role": "user", "content": name + text}


@pytest.fixture(params=["sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Store]:
    if request.param == "sqlite":
        with sqlite_store(tmp_path / "store", most=10**6, longest=60, now=lambda: 0) as one:
            yield one
        return
    async with redis_server(tmp_path) as url, redis_store(url, longest=60) as shared:
        yield shared


async def test_a_conversation_has_its_items_in_the_order_in_which_they_were_added(store: Store) -> None:
    conversations = store.conversations
    await conversations.put(ONE)
    assert await conversations.items("conv_1") == []
    assert await conversations.add("conv_1", [item("a"), item("b")])
    assert await conversations.add("conv_1", [])
    assert await conversations.add("conv_1", [item("c")])
    assert await conversations.get("conv_1") == ONE
    assert await conversations.items("conv_1") == [item("a"), item("b"), item("c")]


async def test_changed_metadata_keeps_the_items(store: Store) -> None:
    conversations = store.conversations
    await conversations.put(ONE)
    await conversations.add("conv_1", [item("a")])
    changed = Conversation("conv_1", 17, {})
    await conversations.put(changed)
    assert await conversations.get("conv_1") == changed
    assert await conversations.items("conv_1") == [item("a")]


async def test_an_item_is_removed_once_and_the_others_stay(store: Store) -> None:
    conversations = store.conversations
    for name in ("conv_1", "conv_2"):
        await conversations.put(Conversation(name, 1, {}))
        await conversations.add(name, [item("a"), item("b", "ü"), item("c")])
    assert await conversations.remove("conv_1", "msg_b")
    assert not await conversations.remove("conv_1", "msg_b")
    assert await conversations.items("conv_1") == [item("a"), item("c")]
    assert len(await conversations.items("conv_2") or ()) == 3


async def test_a_deleted_or_unknown_conversation_has_nothing_and_takes_nothing(store: Store) -> None:
    conversations = store.conversations
    await conversations.put(ONE)
    await conversations.add("conv_1", [item("a")])
    assert await conversations.delete("conv_1")
    for name in ("conv_1", "conv_none"):
        assert await conversations.get(name) is None
        assert await conversations.items(name) is None
        assert not await conversations.add(name, [item("b")])
        assert not await conversations.remove(name, "msg_a")
        assert not await conversations.delete(name)
    await conversations.put(ONE)
    assert await conversations.items("conv_1") == []


async def test_in_redis_a_conversation_expires_some_time_after_its_last_use(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as url, redis_store(url, longest=60) as store, connect(url) as redis:
        await store.conversations.put(ONE)
        await store.conversations.add("conv_1", [item("a")])
        names = [name async for name in redis.scan_iter()]
        assert len(names) == 2
        for use in (store.conversations.get, store.conversations.items):
            for name in names:
                await redis.expire(name, 5)
            await use("conv_1")
            assert [await redis.ttl(name) for name in names] == [60, 60]


async def test_in_sqlite_a_conversation_expires_with_its_items_and_counts_to_the_size(tmp_path: Path) -> None:
    time = [0.0]
    path = tmp_path / "store"
    with sqlite_store(path, most=1000, longest=100, now=lambda: time[0]) as store:
        await store.conversations.put(ONE)
        await store.conversations.add("conv_1", [item("a", "x" * 500)])
        time[0] = 1
        await store.put(Stored({"id": "resp_1", "previous_response_id": None}, [item("b", "x" * 200)], []))
        assert await store.conversations.get("conv_1") == ONE  # used later than the response
        time[0] = 2
        await store.conversations.put(Conversation("conv_2", 1, {}))
        await store.conversations.add("conv_2", [item("c", "x" * 200)])
        assert await store.get("resp_1") is None
        assert await store.conversations.get("conv_1") == ONE
        await store.conversations.remove("conv_1", "msg_a")
        time[0] = 3
        await store.put(Stored({"id": "resp_2", "previous_response_id": None}, [item("d", "x" * 400)], []))
        assert await store.conversations.items("conv_1") == []
        assert await store.conversations.items("conv_2") == [item("c", "x" * 200)]
        time[0] = 200
        await store.put(Stored({"id": "resp_3", "previous_response_id": None}, [], []))
        assert await store.conversations.get("conv_1") is None
    with closing(sqlite3.connect(path)) as database:
        for table in ("conversations", "conversation_items"):
            assert database.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (0,)  # noqa: S608 - our names


async def test_in_sqlite_a_conversation_that_outgrows_the_store_ends_alone() -> None:
    with sqlite_store(None, most=1000, longest=100, now=lambda: 0) as store:
        await store.conversations.put(ONE)
        await store.conversations.add("conv_1", [item("a", "x" * 2000)])
        assert await store.conversations.get("conv_1") is None
        await store.conversations.put(ONE)
        assert await store.conversations.items("conv_1") == []
        store.close()
        with pytest.raises(StoreError):
            await store.conversations.get("conv_1")


async def test_in_sqlite_a_file_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "store"
    with sqlite_store(path, most=1000, longest=100, now=lambda: 0) as store:
        await store.conversations.put(ONE)
        for file in path.parent.iterdir():
            file.unlink()
        path.parent.rmdir()
        assert await store.conversations.get("conv_1") is None
        await store.conversations.put(ONE)
        assert await store.conversations.add("conv_1", [item("a")])
        assert len(await store.key()) == 44
    with sqlite_store(path, most=1000, longest=100, now=lambda: 0) as store:
        assert await store.conversations.items("conv_1") == [item("a")]
