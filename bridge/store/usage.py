"""What is kept of each day's answers: numbers by day, key and model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    Adding up all cells of a year takes a second, so the sums of each day, and of its models and keys, are kept too.
    """
    day, key, model = cell
    return (("cell", cell), ("day", Cell(day, "", "")), ("model", Cell(day, "", model)), ("key", Cell(day, key, "")))


class UsageStore(Protocol):
    """Numbers that several servers may add to."""

    async def add(self, cells: Mapping[Cell, Numbers]) -> None:
        """Add numbers, all or none, and remove days that are too old.

        Raises:
            StoreError: the store cannot be written.
        """
        ...

    async def read(self, days: Sequence[str], by: Grouping, key: str | None = None) -> Mapping[str, Numbers]:
        """Return the sums of these days in a row by day, model or key; with `key` of that key only.

        The histogram is left out, as zeros, when they are grouped by key.

        Raises:
            StoreError: the store cannot be read.
        """
        ...
