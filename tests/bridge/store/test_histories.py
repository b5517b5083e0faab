"""A history has the items of the chain in the store, and the store is read only if they are not cached."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.json_values import memory_of
from bridge.store.histories import OVERHEAD, UNREAD, Histories
from bridge.store.response import ResponseStore, Stored, history
from bridge.store.sqlite import SqliteStore, sqlite_store


def stored(name: str, previous: str | None = None, text: str = "") -> Stored:
    question = {"type": "message", "role": "user", "content": f"{name}?{text}"}
    return Stored(
        {"id": name, "previous_response_id": previous}, [question], [{"type": "message", "id": f"msg_{name}"}]
    )


SIZE = OVERHEAD + memory_of(tuple(history([stored("r0")])))
"""Bytes of memory of a history of one response."""


class CountingStore:
    """A store that counts its calls."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store
        self.calls = Counter[str]()

    async def put(self, stored: Stored) -> None:
        self.calls["put"] += 1
        await self._store.put(stored)

    async def get(self, response_id: str) -> Stored | None:
        raise AssertionError(response_id)

    async def use(self, response_id: str) -> bool:
        self.calls["use"] += 1
        return await self._store.use(response_id)

    async def chain(self, response_id: str) -> list[Stored] | None:
        self.calls["chain"] += 1
        return await self._store.chain(response_id)

    async def delete(self, response_id: str) -> bool:
        return await self._store.delete(response_id)


class Server:
    """A store and the histories of a server that uses it; the test sets the time."""

    def __init__(self, store: SqliteStore, room: int = 10**6, longest: float = 100) -> None:
        self.time = 0.0
        self.store = CountingStore(store)
        self.histories = Histories(self.store, longest, lambda: self.time, room)

    async def add(self, name: str, previous: str | None = None, text: str = "") -> None:
        if previous is not None:
            await self.histories.of(previous)
        new = stored(name, previous, text)
        await self.store.put(new)
        self.histories.extend(new)

    async def read_again(self, name: str) -> bool:
        """Return whether the store was read for the history."""
        before = self.store.calls["chain"]
        assert await self.histories.of(name) is not None
        return self.store.calls["chain"] > before


async def test_a_chain_that_is_continued_is_read_once() -> None:
    with sqlite_store(None, most=10**6, longest=100, now=lambda: 0) as store:
        server = Server(store)
        await server.add("r0")
        for number in range(1, 20):
            await server.add(f"r{number}", f"r{number - 1}")
        assert server.store.calls == Counter(put=20, chain=1, use=18)
        expected = [item for n in range(20) for one in [stored(f"r{n}")] for item in (*one.input, *one.output)]
        assert list(await server.histories.of("r19") or ()) == expected


async def test_a_deleted_response_has_no_chain() -> None:
    with sqlite_store(None, most=10**6, longest=100, now=lambda: 0) as store:
        server = Server(store)
        await server.add("a")
        await server.add("b", "a")
        await server.store.delete("b")
        assert await server.histories.of("b") is None
        assert await server.histories.of("b") is None
        assert await server.histories.of("missing") is None


@pytest.mark.parametrize(("longest", "unread"), [(100, 10), (10**6, UNREAD)])
async def test_a_chain_is_read_again_before_the_store_could_forget_its_beginning(longest: float, unread: float) -> None:
    with sqlite_store(None, most=10**6, longest=longest, now=lambda: 0) as store:
        server = Server(store, longest=longest)
        await server.add("a")
        await server.add("b", "a")
        server.time = unread - 1
        await server.add("c", "b")
        assert not await server.read_again("c")
        server.time = unread
        assert await server.read_again("c")
        assert not await server.read_again("c")


async def test_the_least_recently_used_histories_are_forgotten() -> None:
    with sqlite_store(None, most=10**8, longest=100, now=lambda: 0) as store:
        server = Server(store, room=3 * SIZE)
        for number in range(4):
            await server.add(f"r{number}")
            await server.histories.of(f"r{number}")
        assert not await server.read_again("r1")
        assert await server.read_again("r0")


async def test_a_history_that_is_used_without_being_continued_is_not_forgotten() -> None:
    with sqlite_store(None, most=10**8, longest=100, now=lambda: 0) as store:
        server = Server(store, room=3 * SIZE)
        for number in range(5):
            await server.add(f"r{number}")
            await server.histories.of(f"r{number}")
            assert not await server.read_again("r0")


async def test_a_history_that_is_too_large_is_not_remembered() -> None:
    with sqlite_store(None, most=10**6, longest=100, now=lambda: 0) as store:
        server = Server(store, room=3 * SIZE)
        await server.add("a")
        await server.add("b", "a")
        assert not await server.read_again("b")
        await server.add("c", "b", "x" * 3 * SIZE)
        assert await server.read_again("c")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["begin", "continue", "delete", "wait"]), st.integers(0, 30), st.integers(0, 1)),
        max_size=40,
    )
)
async def test_a_history_always_equals_the_chain_in_the_store(steps: list[tuple[str, int, int]]) -> None:
    with sqlite_store(None, most=3000, longest=100, now=lambda: 0) as store:
        servers = [Server(store, room=3 * SIZE), Server(store)]
        names: list[str] = []
        for step, number, index in steps:
            server, name = servers[index], names[number % len(names)] if names else ""
            match step:
                case "delete":
                    await server.store.delete(name)
                case "wait":
                    server.time += number
                case "continue" if await server.histories.of(name) is not None:
                    names.append(f"r{len(names)}")
                    await server.add(names[-1], name)
                case _:
                    names.append(f"r{len(names)}")
                    await server.add(names[-1])
            for name in names:
                chain = await store.chain(name)
                for each in servers:
                    assert await each.histories.of(name) == (None if chain is None else tuple(history(chain)))
