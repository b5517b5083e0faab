"""When to read on: at once while little comes, in larger pieces while much does. Knows nothing of what is read."""

from __future__ import annotations

INTERVAL = 1 / 2048
"""Seconds from one read to the next while more comes: to read a line costs little, to wake up for it much."""

LARGE = 2048
"""Bytes of a read behind which the next one comes after four intervals: nobody reads along at that speed."""

FULL = 16 * 1024
"""Bytes that fill a pipe (macOS; Linux's take four times as much): more cannot gather there, so it is read at once."""

IN_A_ROW = 32
"""Reads that wait for nothing. A turn begins with a handful, and what comes at the pace of models stays below."""


class Pace:
    """Counts reads, as the generic cell rate algorithm counts cells (ITU-T I.371)."""

    def __init__(self) -> None:
        self._due = 0.0

    def read(self, size: int, now: float) -> float:
        """Count a read of `size` bytes; return the seconds to wait before the next. `now` never goes back."""
        if size >= FULL:
            return 0.0
        cost = INTERVAL if size < LARGE else 4 * INTERVAL
        self._due = max(self._due, now - IN_A_ROW * INTERVAL) + cost
        return max(self._due - now, 0.0)
