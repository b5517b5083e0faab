"""The tokens of named keys in both stores."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from bridge.store.open import Store
from bridge.store.sqlite import sqlite_store
from tests.bridge.store.test_conversations import store

__all__ = ["store"]

pytestmark = pytest.mark.anyio


async def test_tokens_are_added_up_for_each_key_and_day(store: Store) -> None:
    counts = store.token_counts
    assert await counts.of("2030-01-01", ["anna"]) == {}
    await counts.add("2030-01-01", {"anna": 5, "ben": 1})
    await counts.add("2030-01-01", {"anna": 7})
    assert await counts.of("2030-01-01", ["anna", "carl", "ben"]) == {"anna": 12, "ben": 1}
    assert await counts.of("2030-01-01", ["ben"]) == {"ben": 1}
    await counts.add("2030-01-02", {"anna": 2})
    assert await counts.of("2030-01-02", ["anna", "ben"]) == {"anna": 2}


async def test_servers_that_share_a_file_add_up_their_tokens(tmp_path: Path) -> None:
    with (
        sqlite_store(tmp_path / "store", most=10**6, longest=60, now=lambda: 0) as one,
        sqlite_store(tmp_path / "store", most=10**6, longest=60, now=lambda: 0) as other,
    ):
        async with anyio.create_task_group() as tasks:
            for server in (one, other) * 10:
                tasks.start_soon(server.token_counts.add, "2030-01-01", {"anna": 1})
        assert await one.token_counts.of("2030-01-01", ["anna"]) == {"anna": 20}
