"""The turns of agents in both stores."""

from __future__ import annotations

import pytest

from bridge.store.agent_turns import StoredTurn
from bridge.store.open import Store
from bridge.store.sqlite import sqlite_store
from tests.bridge.store.test_conversations import store

__all__ = ["store"]

pytestmark = pytest.mark.anyio

ONE, TWO = (StoredTurn(f"thread-{n}", f"turn-{n}", "gpt-6", "digest", ("tool",) * n) for n in (1, 2))


async def test_a_turn_is_found_by_its_key_and_the_newest_wins(store: Store) -> None:
    turns = store.agent_turns
    assert await turns.get("key") is None
    await turns.put("key", ONE)
    await turns.put("other", ONE)
    await turns.put("key", TWO)
    assert await turns.get("key") == TWO
    assert await turns.get("other") == ONE


def test_a_turn_that_an_earlier_version_stored_has_no_tools() -> None:
    assert StoredTurn.loaded(b'["thread","turn","gpt-6","digest"]') == StoredTurn("thread", "turn", "gpt-6", "digest")


async def test_turns_that_were_not_used_for_long_are_removed() -> None:
    time = 0.0
    with sqlite_store(None, most=10**6, longest=60, now=lambda: time) as one:
        for key in ("used", "unused"):
            await one.agent_turns.put(key, ONE)
        time = 50
        await one.agent_turns.get("used")
        time = 100
        await one.agent_turns.put("new", TWO)
        assert [await one.agent_turns.get(key) for key in ("used", "unused", "new")] == [ONE, None, TWO]


async def test_turns_share_the_size_of_the_store() -> None:
    size = len("key-0") + len(ONE.dumped())
    with sqlite_store(None, most=3 * size, longest=60, now=lambda: 0) as one:
        for number in range(5):
            await one.agent_turns.put(f"key-{number}", ONE)
        found = [await one.agent_turns.get(f"key-{number}") for number in range(5)]
    assert found == [None, None, ONE, ONE, ONE]
