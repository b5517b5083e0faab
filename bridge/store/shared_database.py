"""What the tables beside the responses use of their SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Run(Protocol):
    """Runs work on the database in a worker thread; its failures become StoreError."""

    def __call__(self, work: Callable[[], T], /) -> Coroutine[Any, Any, T]: ...


class SharedDatabase:
    """A table in a database of others; `make_room` removes what is too old or too much, in a transaction of the caller.

    `connection` returns the database at this moment; another one replaces a file that was deleted.
    """

    def __init__(
        self,
        connection: Callable[[], sqlite3.Connection],
        run: Run,
        now: Callable[[], float],
        make_room: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._run = run
        self._now = now
        self._make_room = make_room
