"""Responses of named keys in both stores."""

from __future__ import annotations

import orjson
import pytest

from bridge.store.open import Store
from bridge.store.response import Stored, id_in_store
from tests.bridge.store.test_conversations import store

__all__ = ["store"]

pytestmark = pytest.mark.anyio


def stored(name: str, previous: str | None, key: str | None) -> Stored:
    return Stored({"id": name, "previous_response_id": previous}, [], [], "owner", key)


async def test_chains_of_two_keys_have_the_same_ids_for_clients_and_nothing_in_common(store: Store) -> None:
    for key in (None, "k1", "k2"):
        await store.put(stored("resp_a", None, key))
        await store.put(stored("resp_b", "resp_a", key))
    for key in (None, "k1", "k2"):
        chain = await store.chain(id_in_store("resp_b", key))
        assert chain == [stored("resp_a", None, key), stored("resp_b", "resp_a", key)]
    await store.delete(id_in_store("resp_b", "k1"))
    assert [await store.get(id_in_store("resp_b", key)) is None for key in (None, "k1", "k2")] == [False, True, False]


def test_a_record_without_a_key_is_one_that_older_servers_can_read() -> None:
    one = stored("resp_a", None, None)
    assert len(orjson.loads(one.dumped())) == 4
    assert Stored.loaded(one.dumped()) == one
    assert Stored.loaded(stored("resp_a", None, "k1").dumped()).key == "k1"
