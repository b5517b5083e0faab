from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest
import tiktoken
import tiktoken.load
import tiktoken.registry

from bridge.conversation.prompt import message
from bridge.conversation.tools import Toolbox
from bridge.http import token_counter
from bridge.http.token_counter import BY_SIZE, ENCODING, TABLE, TokenCounter, best_counter

HELLO = (message("user", "hello hello"),)


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of tiktoken's table, which is missing; a download fails the test."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.delitem(tiktoken.registry.ENCODINGS, ENCODING, raising=False)

    def download(path: str) -> bytes:
        pytest.fail(f"tiktoken downloads {path}")

    monkeypatch.setattr(tiktoken.load, "read_file", download)
    return tmp_path / TABLE


async def test_without_its_table_tiktoken_is_not_used_and_nothing_is_downloaded() -> None:
    assert await TokenCounter().count(HELLO, Toolbox()) == (7, "text-size")


def test_the_name_of_the_table_is_the_one_that_tiktoken_looks_for(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_for: list[str] = []

    def exists(path: str) -> bool:
        looked_for.append(path)
        return False

    def download(path: str) -> bytes:
        raise OSError(path)

    monkeypatch.setattr(tiktoken.load, "read_file", download)
    monkeypatch.setattr("os.path.exists", exists)
    with pytest.raises(OSError, match=ENCODING):
        tiktoken.get_encoding(ENCODING)
    assert looked_for == [str(table)]


def test_without_tiktoken_its_table_is_not_used(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table.touch()
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    assert best_counter() is BY_SIZE


async def test_with_its_table_tiktoken_counts(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table.touch()
    ranks = {bytes([value]): value for value in range(256)} | {b"hello": 256, b" hello": 257}
    small = tiktoken.Encoding("small", pat_str=r" ?\w+", mergeable_ranks=_mergeable(ranks), special_tokens={})
    monkeypatch.setitem(tiktoken.registry.ENCODINGS, ENCODING, small)
    assert await TokenCounter().count(HELLO, Toolbox()) == (4 + 2, f"tiktoken/{ENCODING}")


def _mergeable(ranks: dict[bytes, int]) -> dict[bytes, int]:
    """Add the parts of words, without which a byte-pair encoding cannot reach them."""
    for word in (b"hello", b" hello"):
        for end in range(2, len(word)):
            ranks.setdefault(word[:end], len(ranks))
    return {part: rank for rank, part in enumerate(sorted(ranks, key=lambda part: (len(part), ranks[part])))}


async def test_a_table_that_does_not_load_in_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    released = anyio.Event()

    def load() -> token_counter.Counter:
        anyio.from_thread.run(released.wait)
        return BY_SIZE

    monkeypatch.setattr(token_counter, "LOADING", 0.01)
    monkeypatch.setattr(token_counter, "best_counter", load)
    with anyio.fail_after(5):
        assert (await TokenCounter().count(HELLO, Toolbox()))[1] == "text-size"
    released.set()
