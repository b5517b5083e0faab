"""Splits a byte stream into lines. Knows nothing of their meaning."""

from __future__ import annotations

from codex_rpc.errors import ProtocolError

MAX_LINE = 256 * 1024 * 1024
"""Bytes. codex echoes injected images, so a line may be larger than the largest request that we accept."""


class LineSplitter:
    """Collects chunks of a byte stream and returns the lines that are complete."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self._pieces: list[bytes] = []
        self._pending = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next chunk; return the lines that it completes, without newlines and empty lines.

        Raises:
            ProtocolError: a line is longer than the limit; the rest of the stream is unreadable.
        """
        *complete, rest = data.split(b"\n")
        if complete and self._pieces:
            complete[0] = b"".join((*self._pieces, complete[0]))
            self._pieces.clear()
            self._pending = 0
        if rest:
            self._pieces.append(rest)
            self._pending += len(rest)
        if max(map(len, complete), default=0) > self._max_line or self._pending > self._max_line:
            raise ProtocolError(f"codex sent a line longer than {self._max_line} bytes")
        return [line for line in complete if line]
