"""Usage in a Redis that several servers share: a hash for each day and kind of line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from bridge.store.usage import COLUMNS, Cell, Grouping, Numbers, lines_of, totals_of


class RedisUsage:
    """Usage in Redis; a day expires `longest` seconds after its last change."""

    def __init__(
        self, redis: Redis, prefix: str, longest: int, result: Callable[[Awaitable[Any] | Any], Awaitable[Any]]
    ) -> None:
        self._redis = redis
        self._prefix = f"{prefix}usage:"
        self._longest = longest
        self._result = result

    async def add(self, cells: Mapping[Cell, Numbers]) -> None:
        """Add numbers, all or none.

        Raises:
            StoreError: the store cannot be written.
        """
        async with self._redis.pipeline(transaction=True) as pipe:
            for cell, numbers in cells.items():
                for kind, line in totals_of(cell):
                    name, label = self._hash(kind, line.day, cell.key), line.key if "key" in kind else line.model
                    for column, number in enumerate(numbers):
                        if number:
                            pipe.hincrby(name, f"{column}:{label}", number)
                    pipe.expire(name, self._longest)
            await self._result(pipe.execute())

    async def read(self, days: Sequence[str], by: Grouping, key: str | None = None) -> Mapping[str, Numbers]:
        """Return the sums of these days in a row by day, model or key; with `key` of that key only. The last is today.

        Raises:
            StoreError: the store cannot be read.
        """
        lines = lines_of(days, by, key, self._longest)
        async with self._redis.pipeline(transaction=False) as pipe:
            for kind, day in lines:
                pipe.hgetall(self._hash(kind, day, key or ""))
            found: Sequence[Mapping[bytes, bytes]] = await self._result(pipe.execute())
        sums: dict[str, list[int]] = {}
        for (_, day), fields in zip(lines, found, strict=True):
            for field, number in fields.items():
                column, _, label = field.decode().partition(":")
                group = day if by == "day" else key if by == "key" and key is not None else label
                sums.setdefault(group, [0] * len(COLUMNS))[int(column)] += int(number)
        return sums

    def _hash(self, kind: str, day: str, key: str) -> str:
        """Return the name of a hash; the cells of each key have one of their own."""
        return f"{self._prefix}{kind}:{day}" + (f":{key}" if kind == "cell" else "")
