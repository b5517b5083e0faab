"""Remembers what was made of recent sequences, so that a longer one that begins alike costs only what is new in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

T = TypeVar("T")

MOST = 64
"""Sequences that are remembered: about as many as there are conversations at a time."""
ROOM = 32 * 1024 * 1024
"""Bytes of JSON that are remembered, however few sequences that is."""


@dataclass(frozen=True, eq=False, slots=True)
class Prefix(Generic[T]):
    """A sequence that is known, under which circumstances (`key`), and what was made of it."""

    key: object
    sequence: Sequence[Any]
    value: T
    size: int
    """Bytes of JSON."""


class Prefixes(Generic[T]):
    """The sequences of recent requests; `same` tells whether an element is the one of the sequence before."""

    def __init__(self, same: Callable[[Any, Any], bool], room: int = ROOM) -> None:
        self._same = same
        self._room = room
        self._known: list[Prefix[T]] = []
        """The one that was used last stands last."""

    def find(self, key: object, sequence: Sequence[Any]) -> Prefix[T] | None:
        """Return the longest known sequence that this one begins with."""
        fitting = [one for one in self._known if self._begins_with(one, key, sequence)]
        return max(fitting, key=lambda one: len(one.sequence), default=None)

    def remember(self, new: Prefix[T], before: Prefix[T] | None) -> None:
        """Remember a sequence, in place of the one before that it goes on with."""
        self._known = [one for one in self._known if one is not before]
        self._known.append(new)
        size = sum(one.size for one in self._known)
        while self._known and (size > self._room or len(self._known) > MOST):
            size -= self._known.pop(0).size

    def _begins_with(self, one: Prefix[T], key: object, sequence: Sequence[Any]) -> bool:
        """The last element tells most pairs of sequences apart."""
        length = len(one.sequence)
        try:
            return (
                length <= len(sequence)
                and self._same(one.sequence[-1], sequence[length - 1])
                and one.key == key
                and all(map(self._same, one.sequence, sequence))
            )
        except RecursionError:
            return False  # nested deeper than values can be compared


def size_of(items: Sequence[Any]) -> int:
    """Return the bytes of items as JSON."""
    return len(orjson.dumps(list(items)))
