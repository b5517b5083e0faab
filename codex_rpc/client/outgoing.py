"""Lines on their way to codex: one task writes them in their order, all that wait at once."""

from __future__ import annotations

import asyncio

from codex_rpc.process.process import ByteStream


class Outgoing:
    """The queue in front of codex's stdin."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._lines: list[bytes] = []
        self._news: asyncio.Future[None] | None = None
        """What the writing task waits for while there is nothing to write."""

    def put(self, line: bytes) -> None:
        """Have a line written behind those that wait."""
        self._lines.append(line)
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def take_back(self, line: bytes) -> None:
        """Forget a line, unless it has been written: codex need not hear of what was given up."""
        if line in self._lines:
            self._lines.remove(line)

    async def write_forever(self) -> None:
        """Write what is put in, until cancelled.

        Raises:
            OSError: codex reads no more.
        """
        while True:
            while not self._lines:
                self._news = asyncio.get_running_loop().create_future()
                await self._news
            lines, self._lines = self._lines, []
            await self._stream.send(b"".join(lines))
