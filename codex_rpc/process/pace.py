"""Decides when to read next: at once while little arrives, less often while much does. Knows nothing of the content."""

from __future__ import annotations

INTERVAL = 1 / 2048
"""Seconds between reads while more arrives: reading a line costs little, waking up for it costs much."""

LARGE = 2048
"""Bytes of a read after which the next one waits four intervals: no reader follows text at that speed."""

FULL = 16 * 1024
"""Bytes that fill a pipe (on macOS; on Linux four times as many): no more can gather, so the next read is immediate."""

IN_A_ROW = 32
"""Reads without a pause. A turn begins with a handful, and a model's usual speed never uses them up."""


class Pace:
    """Counts reads with the generic cell rate algorithm (ITU-T I.371)."""

    def __init__(self) -> None:
        self._due = 0.0

    def read(self, size: int, now: float) -> float:
        """Count a read of `size` bytes at `now`, which never decreases; return the seconds to wait before the next."""
        if size >= FULL:
            return 0.0
        cost = INTERVAL if size < LARGE else 4 * INTERVAL
        self._due = max(self._due, now - IN_A_ROW * INTERVAL) + cost
        return max(self._due - now, 0.0)
