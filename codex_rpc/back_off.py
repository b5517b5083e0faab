"""How long to wait before a process that ended is started again. It reads no clock; all times are in seconds."""

from __future__ import annotations


class BackOff:
    """The pause before the next start: doubled with each failure up to the longest, the first one after a long run."""

    def __init__(self, first: float, longest: float, steady_after: float) -> None:
        self._first = first
        self._longest = longest
        self._steady_after = steady_after
        self._next = first

    def pause(self, lasted: float) -> float:
        """Return the pause after a run that lasted this long; 0 if the process could not be started."""
        pause = self._first if lasted > self._steady_after else self._next
        self._next = min(pause * 2, self._longest)
        return pause
