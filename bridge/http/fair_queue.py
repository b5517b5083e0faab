"""A queue that is fair between clients: one item per client in turn, each client's items in order of arrival."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Waiting items by client. A client with a hundred items delays another client by one place only."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, client: str, item: T) -> None:
        """Append an item to those of the client; a client that had none becomes the last in turn."""
        self._lines.setdefault(client, deque()).append(item)
        self._length += 1

    def take(self) -> T:
        """Remove and return the next item; its client becomes the last in turn. The queue must not be empty."""
        client, line = next(iter(self._lines.items()))
        self._lines.move_to_end(client)
        item = line.popleft()
        self._removed(client, line)
        return item

    def leave(self, client: str, item: T) -> None:
        """Remove an item, if it is still in the queue."""
        line = self._lines.get(client)
        if line is not None and item in line:
            line.remove(item)
            self._removed(client, line)

    def _removed(self, client: str, line: deque[T]) -> None:
        self._length -= 1
        if not line:
            del self._lines[client]
