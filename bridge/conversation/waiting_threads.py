"""The threads that wait for the next request of their conversation, and which of them to close.

1. Of idle threads with the same history only the newest is kept.
2. Of too many threads, idle ones are closed before suspended ones: a suspended thread holds an open turn.
3. Of each kind the longest unused is closed first, and all that were unused for too long.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeAlias, TypeVar

from bridge.conversation.plan import CachedThread

H = TypeVar("H", bound=Hashable)

_Since: TypeAlias = tuple[CachedThread[H], float]
"""A thread and the time of its last use."""


class WaitingThreads(Generic[H]):
    """At most `most` threads, each for at most `longest` seconds; `handle` identifies a thread.

    No method goes through all threads, except `take_all`.
    """

    def __init__(self, most: int, longest: float) -> None:
        self._most = most
        self._longest = longest
        self._idle: OrderedDict[H, _Since[H]] = OrderedDict()
        self._suspended: OrderedDict[H, _Since[H]] = OrderedDict()
        """Like `_idle` in order of use, the longest unused first."""
        self._idle_by_history: dict[Hashable, CachedThread[H]] = {}

    def __len__(self) -> int:
        return len(self._idle) + len(self._suspended)

    @property
    def idle(self) -> int:
        """The number of threads between two turns."""
        return len(self._idle)

    @property
    def suspended(self) -> int:
        """The number of threads whose turn waits for tool outputs."""
        return len(self._suspended)

    @property
    def too_many(self) -> bool:
        return len(self) > self._most

    def put(self, thread: CachedThread[H], now: float) -> CachedThread[H] | None:
        """Add a thread; return the idle one with the same history that it replaces, if there is one."""
        if thread.awaits:
            self._suspended[thread.handle] = thread, now
            return None
        replaced = self._idle_by_history.get(_history(thread))
        if replaced is not None:
            del self._idle[replaced.handle]
        self._idle[thread.handle] = thread, now
        self._idle_by_history[_history(thread)] = thread
        return replaced

    def remove(self, handle: H) -> None:
        """Remove a thread if it is here."""
        found = self._idle.pop(handle, None)
        if found is not None:
            del self._idle_by_history[_history(found[0])]
        self._suspended.pop(handle, None)

    def take_surplus(self, now: float) -> tuple[CachedThread[H], str] | None:
        """Remove and return the next thread to close, and the reason; None if all may stay."""
        for threads in (self._idle, self._suspended):
            if threads:
                thread, since = next(iter(threads.values()))
                if self.too_many or now - since >= self._longest:
                    reason = "evicted" if self.too_many else "expired"
                    self.remove(thread.handle)
                    return thread, reason
        return None

    def take_all(self, condition: Callable[[H], bool]) -> list[CachedThread[H]]:
        """Remove and return all threads whose handles fulfil a condition."""
        found = [thread for thread, _ in (*self._idle.values(), *self._suspended.values()) if condition(thread.handle)]
        for thread in found:
            self.remove(thread.handle)
        return found


def _history(thread: CachedThread[H]) -> Hashable:
    """Return what is equal for idle threads of which one is enough."""
    return thread.end, thread.notes, thread.cache_key
