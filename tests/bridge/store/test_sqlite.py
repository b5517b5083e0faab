from __future__ import annotations

import sqlite3
import stat
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.store import sqlite
from bridge.store.response import Stored, StoreError, history
from bridge.store.sqlite import SqliteStore, sqlite_store

SIZE = len(Stored({"id": "resp_0", "previous_response_id": "resp_0"}, (), ()).dumped())
"""About the size of the smallest record in bytes."""


def stored(name: str, previous: str | None = None, text: str = "") -> Stored:
    """Return a response whose input and output contain its name."""
    question = [{"type": "message", "role": "user", "content": f"{name}?{text}"}]
    return Stored({"id": name, "previous_response_id": previous}, question, [{"type": "message", "id": f"msg_{name}"}])


class Clock:
    """A clock that the test sets; seconds."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@contextmanager
def opened(
    path: Path | None = None, *, most: int = 10**6, longest: float = 1000, now: Callable[[], float] = lambda: 0
) -> Generator[SqliteStore]:
    with sqlite_store(path, most=most, longest=longest, now=now) as store:
        yield store


async def names(store: SqliteStore, response_id: str) -> list[str] | None:
    """Return the ids of a chain."""
    chain = await store.chain(response_id)
    return None if chain is None else [one.id for one in chain]


async def test_a_response_is_read_back_unchanged() -> None:
    with opened() as store:
        await store.put(stored("a", text="grüß\x00"))
        assert await store.get("a") == stored("a", text="grüß\x00")
        assert await store.get("b") is None


async def test_a_chain_has_all_earlier_responses_the_first_one_first() -> None:
    with opened() as store:
        for name, previous in (("a", None), ("b", "a"), ("c", "b"), ("other", "a")):
            await store.put(stored(name, previous))
        assert await names(store, "c") == ["a", "b", "c"]
        assert await names(store, "other") == ["a", "other"]
        assert await store.chain("missing") is None


def test_the_history_of_a_chain_is_its_inputs_and_outputs_in_order() -> None:
    chain = [stored("a"), stored("b", "a")]
    assert list(history(chain)) == [*chain[0].input, *chain[0].output, *chain[1].input, *chain[1].output]


async def test_continuations_of_a_deleted_response_keep_their_history() -> None:
    with opened() as store:
        for name, previous in (("a", None), ("b", "a"), ("c", "b")):
            await store.put(stored(name, previous))
        assert await store.delete("b")
        assert not await store.delete("b")
        assert await store.get("b") is None
        assert await store.chain("b") is None
        assert await names(store, "c") == ["a", "b", "c"]
        assert not await store.delete("missing")


async def test_a_deleted_response_is_removed_with_its_last_continuation(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as store:
        for name, previous in (("a", None), ("b", "a"), ("c", "b")):
            await store.put(stored(name, previous))
        for name in ("a", "b", "c"):
            assert rows(tmp_path / "store") == 3
            assert await store.delete(name)
        assert rows(tmp_path / "store") == 0


async def test_old_responses_are_removed_when_another_is_stored() -> None:
    now = Clock()
    with opened(now=now, longest=10) as store:
        await store.put(stored("old"))
        now.time = 10
        await store.put(stored("new"))
        assert await store.get("old") is not None
        now.time = 10.5
        await store.put(stored("newer"))
        assert await store.get("old") is None
        assert await store.get("new") is not None


async def test_the_least_recently_used_responses_are_removed_when_the_store_is_full() -> None:
    now = Clock()
    with opened(now=now, most=10 * SIZE) as store:
        for number in range(100):
            now.time = number
            await store.put(stored(f"r{number:02}"))
        kept = [number for number in range(100) if await store.get(f"r{number:02}") is not None]
        assert kept == [*range(100 - len(kept), 100)]
        assert 3 < len(kept) < 10


async def test_a_used_chain_outlives_unused_ones() -> None:
    now = Clock()
    with opened(now=now, longest=10) as store:
        await store.put(stored("used"))
        await store.put(stored("unused"))
        now.time = 9
        await store.chain("used")
        now.time = 11
        await store.put(stored("new"))
        assert await store.get("used") is not None
        assert await store.get("unused") is None


async def test_using_a_response_keeps_all_earlier_ones() -> None:
    now = Clock()
    with opened(now=now, longest=10) as store:
        for name, previous in (("a", None), ("b", "a"), ("c", "b"), ("other", "a")):
            await store.put(stored(name, previous))
        now.time = 9
        assert await store.use("c")
        now.time = 12
        await store.put(stored("new"))
        assert await names(store, "c") == ["a", "b", "c"]
        assert await store.get("other") is None
        now.time = 23
        await store.put(stored("newer"))
        assert [await store.get(name) for name in ("a", "b", "c", "new")] == [None] * 4


async def test_only_a_stored_response_can_be_used() -> None:
    with opened() as store:
        await store.put(stored("a"))
        assert await store.use("a")
        assert not await store.use("missing")
        await store.delete("a")
        assert not await store.use("a")


async def test_using_or_continuing_a_response_writes_to_no_earlier_one(tmp_path: Path) -> None:
    now = Clock()
    with opened(tmp_path / "store", now=now) as store:
        for number in range(10):
            await store.put(stored(f"r{number}", f"r{number - 1}" if number else None))
        now.time = 1
        await store.use("r9")
        await store.put(stored("r10", "r9"))
        await store.chain("r10")
        database = sqlite3.connect(tmp_path / "store")
        written = database.execute("SELECT id FROM responses WHERE used = 1 ORDER BY number").fetchall()
        database.close()
    assert written == [("r9",), ("r10",)]


async def test_a_full_store_shortens_the_least_recently_used_chain_from_its_end() -> None:
    now = Clock()
    with opened(now=now, most=4 * len(stored("a").dumped())) as store:
        left: list[str] = []
        for name, previous in (("a", None), ("b", "a"), ("x", None), ("y", "x"), ("p", None), ("q", None)):
            now.time += 1
            await store.put(stored(name, previous))
            left.append("".join([name for name in "abxypq" if await store.get(name) is not None]))
    assert left == ["a", "ab", "abx", "abxy", "axyp", "xypq"]


async def test_a_response_is_never_removed_before_its_continuation() -> None:
    now = Clock()
    with opened(now=now, longest=10) as store:
        await store.put(stored("a"))
        assert await names(store, "a") == ["a"]
        now.time = 9
        await store.put(stored("b", "a"))
        now.time = 12
        await store.put(stored("other"))
        assert await names(store, "b") == ["a", "b"]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "continue", "use", "use alone", "delete"]), st.integers(0, 30), st.integers(0, 3)
        ),
        min_size=10,
        max_size=40,
    )
)
async def test_each_remaining_response_always_has_its_whole_chain(
    steps: list[tuple[str, int, int]],
) -> None:
    now = Clock()
    put: list[Stored] = []
    with opened(now=now, most=8 * SIZE, longest=6) as store:
        for step, number, seconds in steps:
            now.time += seconds
            before = put[number % len(put)] if put else None
            match step:
                case "use" if before:
                    await store.chain(before.id)
                case "use alone" if before:
                    await store.use(before.id)
                case "delete" if before:
                    await store.delete(before.id)
                case "continue" if before and await store.chain(before.id) is not None:
                    now.time += seconds
                    put.append(stored(f"r{len(put)}", before.id))
                    await store.put(put[-1])
                case _:
                    put.append(stored(f"r{len(put)}"))
                    await store.put(put[-1])
            for one in put:
                if await store.get(one.id) is not None:
                    assert await names(store, one.id) == chain_of(one, put)


def chain_of(last: Stored, put: list[Stored]) -> list[str]:
    by_id = {one.id: one for one in put}
    chain = [last]
    while chain[0].previous is not None:
        chain.insert(0, by_id[chain[0].previous])
    return [one.id for one in chain]


async def test_a_response_larger_than_the_store_is_refused_and_removes_no_other() -> None:
    with opened(most=5 * SIZE) as store:
        await store.put(stored("a"))
        with pytest.raises(StoreError, match="larger than the store"):
            await store.put(stored("b", text="x" * 5 * SIZE))
        assert await store.get("a") is not None


# ── The file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def rows(path: Path) -> int:
    database = sqlite3.connect(path)
    (count,) = database.execute("SELECT COUNT(*) FROM responses").fetchone()
    database.close()
    return count


async def test_a_restart_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "store.db"
    with opened(path) as store:
        await store.put(stored("a"))
        await store.put(stored("b", "a"))
    with opened(path) as store:
        assert await names(store, "b") == ["a", "b"]


async def test_a_killed_server_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with opened(path) as store:
        await store.put(stored("a"))
        for name in ("store.db", "store.db-wal"):
            (tmp_path / f"killed-{name}").write_bytes((tmp_path / name).read_bytes())
    with opened(tmp_path / "killed-store.db") as store:
        assert await names(store, "a") == ["a"]


async def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    with opened(tmp_path / "store.db") as store:
        await store.put(stored("a"))
        files = sorted(tmp_path.iterdir())
        assert [file.name for file in files] == ["store.db", "store.db-shm", "store.db-wal"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_two_servers_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with opened(path) as one, opened(path) as other:
        await one.put(stored("a"))
        await other.put(stored("b", "a"))
        assert await names(one, "b") == ["a", "b"]
        assert await one.delete("b")
        assert await other.get("b") is None


@pytest.mark.parametrize("content", [b"no database" * 100, b"SQLite format 3\x00" + bytes(range(256)) * 16])
async def test_a_file_that_is_not_a_database_is_renamed(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(content)
    with opened(path) as store:
        await store.put(stored("a"))
        assert await store.get("a") is not None
    assert (tmp_path / "store.db.broken").read_bytes() == content
    assert "is not a store of responses" in caplog.text


def test_another_programs_database_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE responses (something_else TEXT)")
    database.close()
    with pytest.raises(StoreError, match=r"store\.db cannot be opened"), opened(path):
        pass
    assert not (tmp_path / "store.db.broken").exists()


@pytest.mark.parametrize("where", ["folder", "file/store.db"])
def test_the_error_names_a_file_that_cannot_be_opened(tmp_path: Path, where: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=f"{where} cannot be opened"), opened(tmp_path / where):
        pass


async def test_a_full_disk_fails_new_responses_and_keeps_stored_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_SCHEMA", f"{sqlite.__dict__['_SCHEMA']} PRAGMA max_page_count = 16;")
    with opened(tmp_path / "store.db") as store:
        await store.put(stored("a"))
        with pytest.raises(StoreError, match="full"):
            await store.put(stored("b", text="x" * 100_000))
        assert await store.get("a") is not None
        assert await store.get("b") is None
        await store.put(stored("c", "a"))
        assert await names(store, "c") == ["a", "c"]


WORK: dict[str, Callable[[SqliteStore], Awaitable[object]]] = {
    "put": lambda store: store.put(stored("b")),
    "get": lambda store: store.get("a"),
    "use": lambda store: store.use("a"),
    "chain": lambda store: store.chain("a"),
    "delete": lambda store: store.delete("a"),
}


@pytest.mark.parametrize("method", WORK)
async def test_a_failure_of_the_database_is_a_store_error(tmp_path: Path, method: str) -> None:
    path = tmp_path / "store.db"
    with opened(path) as store:
        database = sqlite3.connect(path)
        database.execute("DROP TABLE responses")
        database.close()
        with pytest.raises(StoreError, match="failed: no such table"):
            await WORK[method](store)


async def test_a_database_locked_for_too_long_is_a_store_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY", 0.0)
    path = tmp_path / "store.db"
    with opened(path) as store:
        await store.put(stored("a"))
        other = sqlite3.connect(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            await store.put(stored("b"))
        assert await store.get("a") is not None
        other.rollback()
        other.close()
        await store.put(stored("b"))


def test_closing_twice_is_allowed() -> None:
    with opened() as store:
        store.close()


async def test_stores_of_one_file_share_a_key_next_to_it_and_one_in_memory_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "responses.sqlite3"
    with opened(path) as one, opened(path) as two, opened() as other:
        key = await one.key()
        assert key == await two.key() == await one.key() == (tmp_path / "responses.key").read_bytes()
        assert key != await other.key() == await other.key()
    with opened(path) as later:
        assert await later.key() == key


async def test_a_key_that_cannot_be_read_is_a_failure_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "responses.key").mkdir()
    with opened(tmp_path / "responses.sqlite3") as store:
        with pytest.raises(StoreError, match=r"responses\.key"):
            await store.key()
        await store.put(stored("a"))


@pytest.mark.parametrize("in_file", [False, True])
async def test_all_that_ask_for_the_key_at_once_get_the_same(tmp_path: Path, *, in_file: bool) -> None:
    keys: list[bytes] = []
    with opened(tmp_path / "store" if in_file else None) as store:

        async def ask() -> None:
            keys.append(await store.key())

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask)
    assert len(keys) == 10
    assert len(set(keys)) == 1
