"""Remembers the original items of recent answers, for a limited time and in limited memory.

They are kept as JSON, a tenth of what the decoded items take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson
from cachetools import TTLCache
from msgspec import Struct

from bridge.conversation.prompt import Item

ROOM = 32 * 1024 * 1024
"""Bytes of memory for all answers."""

OVERHEAD = 800
"""Bytes of memory that an answer takes in addition to its JSON: its hash, its objects, and its places in the cache. The
tables of the cache have room to grow; this was measured as resident memory while answers come and go."""


class Answer(Struct, frozen=True, gc=False):
    """The original items of an answer as JSON, and how many of the client's items stand for it in the hash."""

    length: int
    json: bytes

    def items(self) -> tuple[Item, ...]:
        """Return the original items."""
        return tuple(orjson.loads(self.json))


class RememberedAnswers:
    """Finished answers by the hash of the history that ends with them; `longest` and `now` are in seconds."""

    def __init__(self, longest: float, now: Callable[[], float], room: int = ROOM) -> None:
        self._room = room
        self._answers: TTLCache[bytes, Answer] = TTLCache(room, longest, now, getsizeof=_memory_of)

    def remember(self, end: bytes, length: int, items: Sequence[Item]) -> None:
        """Keep the items of an answer of `length` hashed items; it replaces an answer with the same hash."""
        json = bytes(memoryview(orjson.dumps(list(items))))  # a copy: orjson's own result keeps a buffer of 4 kB
        answer = Answer(length, json)
        if _memory_of(answer) <= self._room:
            self._answers[end] = answer

    def get(self, end: bytes) -> Answer | None:
        """Return the answer with which the history ends that has this hash; None if it is not remembered."""
        return self._answers.get(end)

    def forget_old(self) -> None:
        """Free the memory of answers that are too old; the work is proportional to their number."""
        self._answers.expire()


def _memory_of(answer: Answer) -> int:
    return OVERHEAD + len(answer.json)
