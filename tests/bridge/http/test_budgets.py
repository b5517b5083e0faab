from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import anyio
import anyio.lowlevel
import pytest

from bridge.errors import ApiError
from bridge.http import budgets as budgets_module
from bridge.http.budgets import Budgets
from bridge.keys.key import NamedKey
from bridge.store.response import StoreError
from bridge.telemetry.ledger import RequestLogEntry
from codex_rpc.background import running
from codex_rpc.wire.events import TokenUsage

EVENING = datetime(2030, 1, 1, 22, tzinfo=UTC).timestamp()


class Shared:
    """A store that several servers share."""

    def __init__(self) -> None:
        self.tokens: Counter[tuple[str, str]] = Counter()
        self.broken = False
        self.added = anyio.Event()
        self.reads = 0
        self.locked: anyio.Event | None = None
        """What it waits for before it adds anything."""

    async def add(self, day: str, tokens: Mapping[str, int]) -> None:
        self._check()
        if self.locked is not None:
            await self.locked.wait()
        for key, number in tokens.items():
            self.tokens[day, key] += number
        await anyio.lowlevel.checkpoint()
        self.added.set()

    async def of(self, day: str, keys: Collection[str]) -> Mapping[str, int]:
        self._check()
        self.reads += 1
        await anyio.lowlevel.checkpoint()
        return {key: self.tokens[day, key] for key in keys}

    def _check(self) -> None:
        if self.broken:
            raise StoreError("it is full")


def anna(tokens_per_day: int | None) -> NamedKey:
    created = datetime(2030, 1, 1, tzinfo=UTC)
    return NamedKey("anna", "k1", b"", b"", created, tokens_per_day=tokens_per_day)


def used(tokens: int, key_id: str | None = "k1") -> RequestLogEntry:
    return RequestLogEntry(key_id=key_id, usage=TokenUsage(tokens - 1, 0, 1, 0))


async def test_a_key_is_refused_once_its_tokens_of_the_utc_day_are_used_and_reads_when_it_gets_more() -> None:
    now = [EVENING]
    budgets = Budgets(Shared(), lambda: now[0])
    budgets.count(used(99))
    await budgets.check(anna(100))
    budgets.count(used(1))
    budgets.count(used(50, "k2"))
    budgets.count(used(50, None))
    with pytest.raises(ApiError) as refused:
        await budgets.check(anna(100))
    assert (refused.value.status, refused.value.code) == (429, "key_budget_exhausted")
    assert refused.value.headers["retry-after"] == "7200"
    assert "in 2 h 0 min" in refused.value.message
    await budgets.check(anna(101))
    await budgets.check(anna(None))
    now[0] += 7200
    await budgets.check(anna(100))
    assert await budgets.used(["k1"]) == {"k1": 0}


async def test_servers_that_share_a_store_count_together_and_a_restart_forgets_nothing() -> None:
    shared = Shared()
    first, second = Budgets(shared, lambda: EVENING), Budgets(shared, lambda: EVENING)
    with anyio.fail_after(5):
        for one, tokens in ((first, 30), (second, 12)):
            async with running(one.run):
                one.count(used(tokens))
                await shared.added.wait()
                shared.added = anyio.Event()
    for one in (first, second, Budgets(shared, lambda: EVENING)):
        assert await one.used(["k1"]) == {"k1": 42}
    assert shared.tokens == {("2030-01-01", "k1"): 42}


async def test_a_server_that_stops_stores_what_it_counted_last() -> None:
    shared = Shared()
    budgets = Budgets(shared, lambda: EVENING)
    async with running(budgets.run):
        await anyio.lowlevel.checkpoint()
        budgets.count(used(7))
    assert shared.tokens == {("2030-01-01", "k1"): 7}


async def test_a_store_that_fails_holds_a_key_to_what_this_server_counted_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(budgets_module, "RETRY", 0.001)
    shared = Shared()
    shared.broken = True
    budgets = Budgets(shared, lambda: EVENING)
    with anyio.fail_after(5):
        async with running(budgets.run):
            budgets.count(used(30))
            while "not stored" not in caplog.text:
                await anyio.lowlevel.checkpoint()
            assert await budgets.used(["k1"]) == {"k1": 30}
            shared.broken = False
            await shared.added.wait()
    assert await budgets.used(["k1"]) == {"k1": 30}
    assert shared.tokens == {("2030-01-01", "k1"): 30}


async def test_tokens_are_never_counted_twice_while_they_are_stored() -> None:
    shared = Shared()
    budgets = Budgets(shared, lambda: EVENING)
    async with running(budgets.run):
        for total in range(10, 200, 10):
            budgets.count(used(10))
            assert await budgets.used(["k1"]) == {"k1": total}


async def test_no_request_waits_long_for_a_store_that_is_locked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(budgets_module, "PATIENCE", 0.001)
    shared = Shared()
    shared.locked = anyio.Event()
    budgets = Budgets(shared, lambda: EVENING)
    with anyio.fail_after(5):
        async with running(budgets.run):
            budgets.count(used(100))
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(ApiError):
                await budgets.check(anna(100))
            await budgets.check(anna(101))
            assert "the store is too slow" in caplog.text
            shared.locked.set()
            await shared.added.wait()
    assert shared.tokens == {("2030-01-01", "k1"): 100}


async def test_the_tokens_of_many_keys_are_read_at_once() -> None:
    shared = Shared()
    budgets = Budgets(shared, lambda: EVENING)
    ids = [f"k{number}" for number in range(100)]
    budgets.count(used(7, "k3"))
    assert await budgets.used(ids) == dict.fromkeys(ids, 0) | {"k3": 7}
    assert shared.reads == 1
    assert await budgets.used([]) == {}
    assert shared.reads == 1
