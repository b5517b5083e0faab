"""Who comes next when there are too many: one of each client in turn, each client's own in the order they came."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Waiting things by client. A client that asks a hundred times delays another by one place only."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, client: str, thing: T) -> None:
        """Let a thing wait behind all others of the client; a client that had none comes last."""
        self._lines.setdefault(client, deque()).append(thing)
        self._length += 1

    def take(self) -> T:
        """Return the next thing, and let its client come last from now on. There must be one."""
        client, line = next(iter(self._lines.items()))
        self._lines.move_to_end(client)
        thing = line.popleft()
        self._shorter(client, line)
        return thing

    def leave(self, client: str, thing: T) -> None:
        """Take a thing out that waits no longer, if it is there."""
        line = self._lines.get(client)
        if line is not None and thing in line:
            line.remove(thing)
            self._shorter(client, line)

    def _shorter(self, client: str, line: deque[T]) -> None:
        self._length -= 1
        if not line:
            del self._lines[client]
