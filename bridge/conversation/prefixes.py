"""Caches what was computed from recent sequences, so that a longer sequence with the same beginning costs less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import orjson
from msgspec import Struct

from bridge.json_values import memory_of

T = TypeVar("T")

MOST = 64
"""Number of cached sequences: about the number of concurrent conversations."""
ROOM = 32 * 1024 * 1024
"""Bytes of memory for what is cached, whatever the number of sequences."""


class Prefix(Struct, Generic[T], frozen=True, eq=False):
    """A cached sequence, the `key` under which it holds, and the value that was computed from it."""

    key: object
    sequence: tuple[Any, ...]
    value: T
    size: int
    """Bytes of memory, about."""
    exact: tuple[int, ...] = ()
    """The positions of elements whose JSON must be equal too: to Python, `1` and `True` are equal."""


class Prefixes(Generic[T]):
    """The sequences of recent requests; `same` compares an element with a cached one."""

    def __init__(self, same: Callable[[Any, Any], bool], room: int = ROOM) -> None:
        self._same = same
        self._room = room
        self._recent: list[Prefix[T]] = []
        """In order of use, the most recent last."""

    def find(self, key: object, sequence: Sequence[Any]) -> Prefix[T] | None:
        """Return the longest cached sequence that this one begins with."""
        try:
            fitting = [one for one in self._likely(sequence) if self._begins_with(one, key, sequence)]
        except RecursionError:
            return None  # nested too deeply to be compared
        return max(fitting, key=lambda one: len(one.sequence), default=None)

    def remember(
        self,
        before: Prefix[T] | None,
        key: object,
        sequence: Sequence[Any],
        value: T,
        *,
        added: int,
        exact: tuple[int, ...] = (),
    ) -> None:
        """Cache a sequence; it replaces `before`, the cached sequence that it continues.

        `added` is the size of what is new in the value, in bytes of memory; `exact` are the positions, among the new
        elements, of those whose JSON must be equal. Elements that are in `before` are taken from there, to keep one
        copy in memory.
        """
        known = len(before.sequence) if before else 0
        size = added + memory_of(sequence[known:])
        if before is not None:
            sequence = (*before.sequence, *sequence[known:])
            size, exact = before.size + size, (*before.exact, *exact)
        self._recent = [one for one in self._recent if one is not before]
        self._recent.append(Prefix(key, tuple(sequence), value, size, exact))
        total = sum([one.size for one in self._recent])
        while self._recent and (total > self._room or len(self._recent) > MOST):
            total -= self._recent.pop(0).size

    def clear(self) -> None:
        """Forget all sequences."""
        self._recent = []

    def _likely(self, sequence: Sequence[Any]) -> list[Prefix[T]]:
        """Return the sequences whose last element fits: this check is cheap and rules out most of them."""
        most, same = len(sequence), self._same
        return [
            one
            for one in self._recent
            if (length := len(one.sequence)) <= most and same(one.sequence[-1], sequence[length - 1])
        ]

    def _begins_with(self, one: Prefix[T], key: object, sequence: Sequence[Any]) -> bool:
        return (
            one.key == key
            and all(map(self._same, one.sequence, sequence))
            and all(_json(one.sequence[place]) == _json(sequence[place]) for place in one.exact)
        )


def _json(value: Any) -> bytes:
    return orjson.dumps(value)
