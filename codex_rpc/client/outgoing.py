"""Lines to be written to codex: one task writes them in order, all that wait in one write."""

from __future__ import annotations

import asyncio

from codex_rpc.process.process import ByteStream


class Outgoing:
    """The queue of codex's stdin."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._lines: list[bytes] = []
        self._news: asyncio.Future[None] | None = None
        """The writing task waits on this while there is nothing to write."""

    def put(self, line: bytes) -> None:
        """Queue a line."""
        self._lines.append(line)
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def take_back(self, line: bytes) -> None:
        """Remove a line, unless it has been written: codex need not receive a call that was given up."""
        if line in self._lines:
            self._lines.remove(line)

    async def write_forever(self) -> None:
        """Write the queued lines, until cancelled.

        Raises:
            OSError: codex no longer reads.
        """
        while True:
            while not self._lines:
                self._news = asyncio.get_running_loop().create_future()
                await self._news
            lines, self._lines = self._lines, []
            await self._stream.send(b"".join(lines))
