"""Writing usage in batches."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date

import anyio
import pytest

from bridge.store.response import StoreError
from bridge.store.sqlite import sqlite_store
from bridge.store.usage import SUMS, Cell, Grouping, Numbers
from bridge.telemetry import history as module
from bridge.telemetry.history import History
from bridge.telemetry.ledger import Ledger, RequestLogEntry
from codex_rpc.background import running
from codex_rpc.wire.events import TokenUsage

DAY = date(2026, 11, 29)


class Recorder:
    """A store that remembers its batches; while `full` it fails."""

    def __init__(self) -> None:
        self.batches: list[Mapping[Cell, Numbers]] = []
        self.full = False

    async def add(self, cells: Mapping[Cell, Numbers]) -> None:
        if self.full:
            raise StoreError("database or disk is full")
        self.batches.append(cells)

    async def read(self, days: Sequence[str], by: Grouping, key: str | None = None) -> Mapping[str, Numbers]:
        del days, by, key
        return {}


def answer(model: str | None = "codex", **fields: object) -> RequestLogEntry:
    usage = TokenUsage(input=100, cached_input=40, output=10, reasoning_output=4)
    entry = RequestLogEntry(model=model, usage=usage, first_token=0.7)
    for name, value in fields.items():
        setattr(entry, name, value)
    return entry


def history(store: Recorder) -> History:
    return History(store, lambda: DAY)


async def test_answers_of_a_batch_are_added_up_by_day_key_and_model() -> None:
    store = Recorder()
    one = history(store)
    for entry in (answer(), answer(error="upstream_error"), answer("xedoc", key="anna", first_token=None)):
        one.count(entry)
    await one.flush()
    await one.flush()
    (batch,) = store.batches
    sums = {cell: [*numbers[: len(SUMS)]] for cell, numbers in batch.items()}
    assert sums == {
        Cell("2026-11-29", "", "codex"): [2, 1, 200, 80, 20, 8],
        Cell("2026-11-29", "anna", "xedoc"): [1, 0, 100, 40, 10, 4],
    }
    counts = [[*numbers[len(SUMS) :]] for numbers in batch.values()]
    assert counts == [[0, 0, 0, 0, 2, *[0] * 8], [0] * 13]


async def test_names_of_no_model_share_a_line_and_long_names_are_cut() -> None:
    store = Recorder()
    one = history(store)
    one.count(answer("typo", error="model_not_found"))
    one.count(answer("other typo", error="model_not_found"))
    one.count(answer("x" * 1000))
    await one.flush()
    assert [cell.model for cell in store.batches[0]] == ["(unknown)", "x" * 100]


async def test_a_full_disk_is_logged_once_and_costs_no_number_when_there_is_room_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Recorder()
    one = history(store)
    store.full = True
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            one.count(answer())
            await one.flush()
        store.full = False
        await one.flush()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "disk is full" in caplog.text
    ((_, numbers),) = store.batches[0].items()
    assert numbers[0] == 3


async def test_what_waits_for_a_full_disk_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    store = Recorder()
    one = history(store)
    for name in "abc":
        one.count(answer(name))
    await one.flush()
    assert [cell.model for cell in store.batches[0]] == ["a", "b"]


async def test_the_last_batch_is_written_when_the_server_stops() -> None:
    store = Recorder()
    one, ledger = history(store), Ledger()
    ledger.listeners.append(one.count)
    async with running(one.run):
        await anyio.lowlevel.checkpoint()
        entry = answer()
        ledger.open(entry)
        ledger.close(entry, "", 1, "2026-11-29")
        assert store.batches == []
    assert len(store.batches) == 1


async def test_a_read_includes_answers_that_are_not_written_yet() -> None:
    with sqlite_store(None, most=1, longest=1, now=lambda: 0) as store:
        one = History(store.usage, lambda: DAY)
        one.count(answer())
        found = await one.read(one.last_days(2), "day")
    assert one.last_days(2) == ["2026-11-28", "2026-11-29"]
    assert [*found] == ["2026-11-29"]
