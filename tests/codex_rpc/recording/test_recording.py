from __future__ import annotations

import anyio

from codex_rpc.process.child import Sink
from codex_rpc.recording.player import Player
from codex_rpc.recording.recording import RecordedStream
from codex_rpc.recording.replay import ReplayedCodex


class Scripted:
    """Returns the given output and records what is sent to it."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks
        self.sent: list[bytes] = []

    async def read(self, sink: Sink) -> None:
        for chunk in self._chunks:
            sink(chunk)

    async def send(self, data: bytes) -> None:
        self.sent.append(data)

    def last_words(self) -> str:
        return "bye"


async def test_a_recorded_stream_passes_everything_on_and_notes_each_whole_line() -> None:
    noted: list[tuple[bool, bytes]] = []
    inner = Scripted(b"one\ntw", b"o\nthree")
    stream = RecordedStream(inner, lambda to_codex, line: noted.append((to_codex, line)))
    await stream.send(b"a\nb\n")
    chunks: list[bytes] = []
    await stream.read(chunks.append)
    assert chunks == [b"one\ntw", b"o\nthree"]
    assert inner.sent == [b"a\nb\n"]
    assert noted == [(True, b"a"), (True, b"b"), (False, b"one"), (False, b"two")]
    assert stream.last_words() == "bye"


async def test_a_played_codex_waits_for_a_call_and_answers_it() -> None:
    stream = ReplayedCodex(Player(lambda _: None, {"account/read": {}}))
    received: list[bytes] = []
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.read, received.append)
            await anyio.wait_all_tasks_blocked()
            assert received == []
            await stream.send(b'{"id":1,"method":"acc')
            await stream.send(b'ount/read","params":{}}\n')
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert received == [b'{"id":1,"result":{}}\n']
    assert stream.last_words() == ""
