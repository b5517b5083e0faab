"""The usage of days in both stores."""

from __future__ import annotations

import pytest

from bridge.store.open import Store
from bridge.store.sqlite import sqlite_store
from bridge.store.usage import COLUMNS, DURATIONS, SUMS, Cell, Numbers
from bridge.telemetry.ledger import BOUNDS
from tests.bridge.store.test_conversations import store

__all__ = ["store"]

DAY = 24 * 3600
DAYS = ["2026-11-27", "2026-11-28", "2026-11-29"]
ONE = [1] * len(COLUMNS)
"""A 1 in each column; small sums of it show what was added up."""


def times(number: int, *, histogram: bool = True) -> Numbers:
    return [number] * len(SUMS) + [number if histogram else 0] * DURATIONS


async def fill(store: Store) -> None:
    """Add two days of Anna, one of them twice, one of Ben, and one that is too early for DAYS."""
    usage = store.usage
    await usage.add({Cell("2026-11-28", "anna", "codex"): ONE, Cell("2026-11-28", "ben", "codex"): ONE})
    await usage.add({Cell("2026-11-28", "anna", "codex"): ONE, Cell("2026-11-29", "anna", "xedoc"): ONE})
    await usage.add({Cell("2026-11-26", "anna", "codex"): ONE, Cell("2026-11-29", "", "codex"): ONE})


async def test_numbers_of_the_same_line_are_added_up_by_day_model_and_key(store: Store) -> None:
    assert await store.usage.read(DAYS, "day") == {}
    await fill(store)
    assert await store.usage.read(DAYS, "day") == {"2026-11-28": times(3), "2026-11-29": times(2)}
    assert await store.usage.read(DAYS, "model") == {"codex": times(4), "xedoc": times(1)}
    by_key = {"anna": times(3, histogram=False), "ben": times(1, histogram=False), "": times(1, histogram=False)}
    assert await store.usage.read(DAYS, "key") == by_key


async def test_the_numbers_of_one_key_are_found_without_the_others(store: Store) -> None:
    await fill(store)
    assert await store.usage.read(DAYS, "day", "anna") == {"2026-11-28": times(2), "2026-11-29": times(1)}
    assert await store.usage.read(DAYS, "model", "anna") == {"codex": times(2), "xedoc": times(1)}
    assert await store.usage.read(DAYS, "key", "ben") == {"ben": times(1, histogram=False)}
    assert await store.usage.read(DAYS, "model", "") == {"codex": times(1)}
    assert await store.usage.read(DAYS, "model", "carl") == {}


async def test_days_that_are_too_old_are_removed_and_the_size_of_responses_does_not_matter() -> None:
    time = 9.0 * DAY
    with sqlite_store(None, most=1, longest=1, usage_age=5 * DAY, now=lambda: time) as one:
        for day in ("1970-01-03", "1970-01-06", "1970-01-10"):
            await one.usage.add({Cell(day, "", "codex"): ONE})
        time += DAY
        await one.usage.add({Cell("1970-01-11", "", "codex"): ONE})
        days = [f"1970-01-{day:02}" for day in range(1, 13)]
        found = await one.usage.read(days, "day")
    assert [*found] == ["1970-01-06", "1970-01-10", "1970-01-11"]


def test_the_histogram_has_a_column_for_each_bound_and_one_above() -> None:
    assert len(BOUNDS) + 1 == DURATIONS


@pytest.mark.parametrize("name", ["a:b", "ü 中", "'; DROP TABLE usage; --", "*"])
async def test_any_name_is_kept_as_it_is(store: Store, name: str) -> None:
    await store.usage.add({Cell(DAYS[0], name, name): ONE})
    assert [*await store.usage.read(DAYS, "model")] == [name]
    assert [*await store.usage.read(DAYS, "key")] == [name]
    assert await store.usage.read(DAYS, "model", name) == {name: times(1)}
