"""A chain has the items that the store would give, and the store is read only when nobody knows them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.store.histories import MOST, UNREAD, Histories
from bridge.store.response import ResponseStore, Stored, history
from bridge.store.sqlite import SqliteStore, sqlite_store


def stored(name: str, previous: str | None = None, text: str = "") -> Stored:
    said = {"type": "message", "role": "user", "content": f"{name}?{text}"}
    return Stored({"id": name, "previous_response_id": previous}, [said], [{"type": "message", "id": f"msg_{name}"}])


class Watched:
    """A store that counts what it is asked."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store
        self.asked = Counter[str]()

    async def put(self, stored: Stored) -> None:
        self.asked["put"] += 1
        await self._store.put(stored)

    async def get(self, response_id: str) -> Stored | None:
        raise AssertionError(response_id)

    async def use(self, response_id: str) -> bool:
        self.asked["use"] += 1
        return await self._store.use(response_id)

    async def chain(self, response_id: str) -> list[Stored] | None:
        self.asked["chain"] += 1
        return await self._store.chain(response_id)

    async def delete(self, response_id: str) -> bool:
        return await self._store.delete(response_id)


class Server:
    """A store and the histories of a server that uses it; time passes when the test says so."""

    def __init__(self, store: SqliteStore, room: int = 10**6, longest: float = 100) -> None:
        self.time = 0.0
        self.store = Watched(store)
        self.histories = Histories(self.store, longest, lambda: self.time, room)

    async def add(self, name: str, previous: str | None = None, text: str = "") -> None:
        if previous is not None:
            await self.histories.of(previous)
        new = stored(name, previous, text)
        await self.store.put(new)
        self.histories.goes_on(new)

    async def read_again(self, name: str) -> bool:
        """Whether the store was read for a chain."""
        before = self.store.asked["chain"]
        assert await self.histories.of(name) is not None
        return self.store.asked["chain"] > before


async def test_a_chain_that_goes_on_is_read_once() -> None:
    with sqlite_store(None, most=10**6, longest=100, now=lambda: 0) as store:
        server = Server(store)
        await server.add("r0")
        for number in range(1, 20):
            await server.add(f"r{number}", f"r{number - 1}")
        assert server.store.asked == Counter(put=20, chain=1, use=18)
        expected = [item for n in range(20) for one in [stored(f"r{n}")] for item in (*one.input, *one.output)]
        assert list(await server.histories.of("r19") or ()) == expected


async def test_what_is_deleted_is_no_chain_any_more() -> None:
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


async def test_the_histories_that_were_not_used_for_the_longest_are_forgotten() -> None:
    with sqlite_store(None, most=10**8, longest=100, now=lambda: 0) as store:
        server = Server(store)
        for number in range(MOST + 1):
            await server.add(f"r{number}")
            await server.histories.of(f"r{number}")
        assert not await server.read_again("r1")
        assert await server.read_again("r0")


async def test_a_history_that_is_used_without_being_continued_is_not_forgotten() -> None:
    with sqlite_store(None, most=10**8, longest=100, now=lambda: 0) as store:
        server = Server(store)
        for number in range(MOST + 1):
            await server.add(f"r{number}")
            await server.histories.of(f"r{number}")
            assert not await server.read_again("r0")


async def test_a_history_that_is_too_large_is_not_remembered() -> None:
    with sqlite_store(None, most=10**6, longest=100, now=lambda: 0) as store:
        server = Server(store, room=500)
        await server.add("a")
        await server.add("b", "a")
        assert not await server.read_again("b")
        await server.add("c", "b", "x" * 500)
        assert await server.read_again("c")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["begin", "continue", "delete", "wait"]), st.integers(0, 30), st.integers(0, 1)),
        max_size=40,
    )
)
async def test_whatever_was_done_a_history_is_what_the_store_holds(steps: list[tuple[str, int, int]]) -> None:
    with sqlite_store(None, most=3000, longest=100, now=lambda: 0) as store:
        servers = [Server(store, room=600), Server(store)]
        names: list[str] = []
        for what, which, whose in steps:
            server, name = servers[whose], names[which % len(names)] if names else ""
            match what:
                case "delete":
                    await server.store.delete(name)
                case "wait":
                    server.time += which
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
