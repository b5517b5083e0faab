"""What is kept of each day's answers: numbers by day, key and model."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Literal, NamedTuple, Protocol, TypeAlias

Grouping: TypeAlias = Literal["day", "model", "key"]

DURATIONS = 13
"""How many counts the histogram of a day's times to the first token has."""

SUMS = ("requests", "errors", "input", "cached", "output", "reasoning")
"""Answers, those that failed, and tokens."""

COLUMNS = (*SUMS, *(f"first_{number}" for number in range(DURATIONS)))
"""The names of the numbers, in order: sums, then the counts of the histogram."""

Numbers: TypeAlias = Sequence[int]
"""One number for each of COLUMNS."""

_DAY = 24 * 3600


class Cell(NamedTuple):
    """What a line of numbers is about."""

    day: str
    """The date, YYYY-MM-DD, where the server is."""
    key: str
    """The name of the client's key; empty for the server's own key, and without keys."""
    model: str
    """The model's name as requested."""


def totals_of(cell: Cell) -> Sequence[tuple[str, Cell]]:
    """Return the lines to which the numbers of a cell are added, each with its kind.

    Adding up all cells of a year takes a second. So sums are kept too: of each day, and of the models and keys of each
    day and month. The line of a month has the date of the month's first day, and is removed with that day's lines.
    """
    day, key, model = cell
    month = f"{day[:7]}-01"
    return (
        ("cell", cell),
        ("day", Cell(day, "", "")),
        ("model", Cell(day, "", model)),
        ("key", Cell(day, key, "")),
        ("model month", Cell(month, "", model)),
        ("key month", Cell(month, key, "")),
    )


def lines_of(days: Sequence[str], by: Grouping, key: str | None, longest: float) -> Sequence[tuple[str, str]]:
    """Return the kind and the date of the lines that have the sums of these days: of whole months, and of other days.

    The last day is today. Days that began more than `longest` seconds ago are left out, because they may be removed.
    """
    days = days[-int(longest // _DAY) - 1 :]
    if key is not None:
        return [("cell", day) for day in days]
    if by == "day":
        return [("day", day) for day in days]
    lines: list[tuple[str, str]] = []
    for month, of_month in groupby(days, lambda day: day[:7]):
        found = [*of_month]
        whole = len(found) == monthrange(int(month[:4]), int(month[5:]))[1]
        lines += [(f"{by} month", f"{month}-01")] if whole else [(by, day) for day in found]
    return lines


class UsageStore(Protocol):
    """Numbers that several servers may add to."""

    async def add(self, cells: Mapping[Cell, Numbers]) -> None:
        """Add numbers, all or none, and remove days that are too old.

        Raises:
            StoreError: the store cannot be written.
        """
        ...

    async def read(self, days: Sequence[str], by: Grouping, key: str | None = None) -> Mapping[str, Numbers]:
        """Return the sums of these days in a row by day, model or key; with `key` of that key only. The last is today.

        Raises:
            StoreError: the store cannot be read.
        """
        ...
