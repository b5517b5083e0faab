"""A byte stream that plays codex: delivers the lines of a `Player` when they are due."""

from __future__ import annotations

from typing import NoReturn

import anyio

from codex_rpc.process.child import Sink
from codex_rpc.recording.player import Player
from codex_rpc.wire.framing import LineSplitter


class ReplayedCodex:
    """Replaces a codex child under `connect`; needs no process and no login."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._splitter = LineSplitter()
        self._fed = anyio.Event()

    async def read(self, sink: Sink) -> NoReturn:
        """Pass each line to `sink` when it is due; a replay never ends by itself."""
        while True:
            while lines := self._player.take(anyio.current_time()):
                sink(b"".join(lines))
            self._fed = anyio.Event()
            with anyio.move_on_at(self._player.due()):
                await self._fed.wait()

    async def send(self, data: bytes) -> None:
        """Pass our lines to the player; never waits."""
        for line in self._splitter.feed(data):
            self._player.feed(line, anyio.current_time())
        self._fed.set()

    def last_words(self) -> str:
        """Return nothing: a replay has no stderr."""
        return ""
