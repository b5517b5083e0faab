"""Remembers what was made of recent sequences, so that a longer one that begins alike costs only what is new in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import orjson
from msgspec import Struct

T = TypeVar("T")

MOST = 64
"""Sequences that are remembered: about as many as there are conversations at a time."""
ROOM = 32 * 1024 * 1024
"""Bytes of JSON that are remembered, however few sequences that is."""


class Prefix(Struct, Generic[T], frozen=True, eq=False):
    """A sequence that is known, under which circumstances (`key`), and what was made of it."""

    key: object
    sequence: tuple[Any, ...]
    value: T
    size: int
    """Bytes of JSON."""
    exact: tuple[int, ...] = ()
    """Where an element has to be the same as JSON too: to Python, `1` and `True` are equal."""


class Prefixes(Generic[T]):
    """The sequences of recent requests; `same` tells whether an element is the one of the sequence before."""

    def __init__(self, same: Callable[[Any, Any], bool], room: int = ROOM) -> None:
        self._same = same
        self._room = room
        self._known: list[Prefix[T]] = []
        """The one that was used last stands last."""

    def find(self, key: object, sequence: Sequence[Any]) -> Prefix[T] | None:
        """Return the longest known sequence that this one begins with."""
        try:
            fitting = [one for one in self._likely(sequence) if self._begins_with(one, key, sequence)]
        except RecursionError:
            return None  # nested deeper than values can be compared
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
        """Remember a sequence, in place of the one before that it goes on with.

        `added` is the size of what is new in it, `exact` the places in there. Of the elements that were known the old
        ones are kept, so that equal ones do not pile up.
        """
        size = added
        if before is not None:
            sequence = (*before.sequence, *sequence[len(before.sequence) :])
            size, exact = before.size + added, (*before.exact, *exact)
        self._known = [one for one in self._known if one is not before]
        self._known.append(Prefix(key, tuple(sequence), value, size, exact))
        total = sum([one.size for one in self._known])
        while self._known and (total > self._room or len(self._known) > MOST):
            total -= self._known.pop(0).size

    def clear(self) -> None:
        """Forget everything."""
        self._known = []

    def _likely(self, sequence: Sequence[Any]) -> list[Prefix[T]]:
        """The last element tells most pairs of sequences apart."""
        most, same = len(sequence), self._same
        return [
            one
            for one in self._known
            if (length := len(one.sequence)) <= most and same(one.sequence[-1], sequence[length - 1])
        ]

    def _begins_with(self, one: Prefix[T], key: object, sequence: Sequence[Any]) -> bool:
        return (
            one.key == key
            and all(map(self._same, one.sequence, sequence))
            and all(_json(one.sequence[place]) == _json(sequence[place]) for place in one.exact)
        )


def size_of(items: Sequence[Any]) -> int:
    """Return the bytes of items as JSON."""
    return len(_json(list(items)))


def _json(value: Any) -> bytes:
    return orjson.dumps(value)
