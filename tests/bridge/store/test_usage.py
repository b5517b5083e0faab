"""The usage of days in both stores."""

from __future__ import annotations

from datetime import date, timedelta
from typing import cast

import pytest

from bridge.store.open import Store
from bridge.store.sqlite import sqlite_store
from bridge.store.usage import COLUMNS, DURATIONS, Cell, Grouping, Numbers, lines_of
from bridge.telemetry.ledger import BOUNDS
from tests.bridge.store.test_conversations import store

__all__ = ["store"]

DAY = 24 * 3600
DAYS = ["2026-11-27", "2026-11-28", "2026-11-29"]
ONE = [1] * len(COLUMNS)
"""A 1 in each column; small sums of it show what was added up."""


def times(number: int) -> Numbers:
    return [number] * len(COLUMNS)


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
    assert await store.usage.read(DAYS, "key") == {"anna": times(3), "ben": times(1), "": times(1)}


async def test_the_numbers_of_one_key_are_found_without_the_others(store: Store) -> None:
    await fill(store)
    assert await store.usage.read(DAYS, "day", "anna") == {"2026-11-28": times(2), "2026-11-29": times(1)}
    assert await store.usage.read(DAYS, "model", "anna") == {"codex": times(2), "xedoc": times(1)}
    assert await store.usage.read(DAYS, "key", "ben") == {"ben": times(1)}
    assert await store.usage.read(DAYS, "model", "") == {"codex": times(1)}
    assert await store.usage.read(DAYS, "model", "carl") == {}


async def test_days_that_are_too_old_are_removed_and_the_size_of_responses_does_not_matter() -> None:
    time = 9.0 * DAY
    with sqlite_store(None, most=1, longest=1, usage_age=5 * DAY, now=lambda: time) as one:
        for day in ("1970-01-03", "1970-01-06", "1970-01-10"):
            await one.usage.add({Cell(day, "", "codex"): ONE})
        time += DAY
        await one.usage.add({Cell("1970-01-11", "", "codex"): ONE})
        days = [f"1970-01-{day:02}" for day in range(1, 12)]
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


def days_until(last: str, number: int) -> list[str]:
    return [(date.fromisoformat(last) - timedelta(days=ago)).isoformat() for ago in range(number - 1, -1, -1)]


@pytest.mark.parametrize("number", [1, 29, 30, 31, 61, 92, 200])
async def test_the_sums_of_any_number_of_days_are_those_of_the_single_days(store: Store, number: int) -> None:
    days = days_until("2026-04-30", 200)
    for day in days[::3]:
        await store.usage.add({Cell(day, "anna", "codex"): ONE, Cell(day, "ben", "xedoc"): ONE})
    last, groupings = days[-number:], (("key", "anna"), ("model", "codex"))
    used = len({*last} & {*days[::3]})
    for by, name in groupings:
        assert (await store.usage.read(last, cast("Grouping", by))).get(name, times(0)) == times(used)
        assert (await store.usage.read(last, cast("Grouping", by), "anna")).get(name, times(0)) == times(used)
    assert sum(line[0] for line in (await store.usage.read(last, "day")).values()) == 2 * used


@pytest.mark.parametrize(
    ("number", "months", "single"),
    [(30, ["2026-04-01"], 0), (29, [], 29), (31, ["2026-04-01"], 1), (76, ["2026-03-01", "2026-04-01"], 15)],
)
def test_a_whole_month_is_read_at_once_and_the_other_days_one_by_one(
    number: int, months: list[str], single: int
) -> None:
    lines = lines_of(days_until("2026-04-30", number), "key", None, longest=400 * DAY)
    assert [day for kind, day in lines if kind == "key month"] == months
    assert [kind for kind, _ in lines].count("key") == single
    assert len(lines) == len(months) + single


def test_four_hundred_days_by_model_or_key_take_less_than_ninety_lines_of_each() -> None:
    for ago in range(40):
        last = days_until("2026-11-29", 40)[ago]
        assert len(lines_of(days_until(last, 400), "model", None, longest=400 * DAY)) < 90


@pytest.mark.parametrize("by", ["day", "model", "key"])
async def test_the_month_in_which_the_kept_days_begin_is_shown_by_its_days_that_are_kept(by: Grouping) -> None:
    last = date(1970, 6, 9)
    now = (last - date(1970, 1, 1)).days * DAY + DAY // 2
    days = days_until(last.isoformat(), 150)
    with sqlite_store(None, most=1, longest=1, usage_age=60 * DAY, now=lambda: now) as one:
        for day in days:
            await one.usage.add({Cell(day, "anna", "codex"): ONE})
        found = await one.usage.read(days, by)
    assert sum(line[0] for line in found.values()) == 61  # today, and the 60 days before it
