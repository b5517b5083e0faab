"""A byte stream that reports each line, in either direction, as it passes."""

from __future__ import annotations

from collections.abc import Callable

from codex_rpc.process.child import Sink
from codex_rpc.process.process import ByteStream
from codex_rpc.wire.framing import LineSplitter


class RecordedStream:
    """Passes everything on unchanged; calls `note(to_codex, line)` with every line before its reader gets it."""

    def __init__(self, stream: ByteStream, note: Callable[[bool, bytes], None]) -> None:
        self._stream = stream
        self._note = note
        self._to_codex = LineSplitter()
        self._from_codex = LineSplitter()

    async def read(self, sink: Sink) -> None:
        """Read the inner stream.

        Raises:
            ProtocolError: a line is too long.
        """

        def note_and_pass_on(data: bytes) -> None:
            for line in self._from_codex.feed(data):
                self._note(False, line)
            sink(data)

        await self._stream.read(note_and_pass_on)

    async def send(self, data: bytes) -> None:
        """Write to the inner stream; a line is noted before it is written, so that codex's answer is noted after it."""
        for line in self._to_codex.feed(data):
            self._note(True, line)
        await self._stream.send(data)

    def last_words(self) -> str:
        """Return the last words of the inner stream."""
        return self._stream.last_words()
