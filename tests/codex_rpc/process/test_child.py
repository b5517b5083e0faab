"""A child process under event-loop callbacks in an order that a real process cannot be made to produce."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import anyio
import pytest

from codex_rpc.process.child import STDERR, STDOUT, Child
from codex_rpc.process.pace import IN_A_ROW, INTERVAL, LARGE


class FakePipe(asyncio.ReadTransport):
    def __init__(self, reader: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._reader = reader
        self.paused = anyio.Event()
        self.resumed = anyio.Event()
        self._closing = False

    def pause_reading(self) -> None:
        self.paused.set()

    def resume_reading(self) -> None:
        assert not self._closing, "uvloop refuses to resume a closed pipe"
        self.resumed.set()

    def close(self) -> None:
        self._closing = True

    def is_closing(self) -> bool:
        return self._closing

    def say(self, data: bytes) -> None:
        cast("asyncio.Protocol", self._reader).data_received(data)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._reader

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._reader = protocol

    def end(self) -> None:
        self._reader.connection_lost(None)


class FakeTransport(asyncio.SubprocessTransport):
    """Has two pipes; passes on their end as a real subprocess transport does."""

    def __init__(self, child: Child) -> None:
        super().__init__()

        class Reader(asyncio.Protocol):
            def connection_lost(self, exc: Exception | None) -> None:
                asyncio.get_running_loop().call_soon(child.pipe_connection_lost, STDOUT, exc)

        self.pipes = {STDOUT: FakePipe(Reader()), STDERR: FakePipe(asyncio.Protocol())}

    def get_pipe_transport(self, fd: int) -> asyncio.BaseTransport | None:
        return self.pipes.get(fd)


async def test_output_that_uvloop_delivers_after_connection_made_comes_before_the_end_of_the_pipe():
    child, loop, said = Child(), asyncio.get_running_loop(), list[bytes]()
    transport = FakeTransport(child)

    def connect() -> None:
        child.connection_made(transport)
        loop.call_soon(child.pipe_data_received, STDOUT, b"one")

    loop.call_soon(connect)
    loop.call_soon(transport.pipes[STDOUT].end)
    with anyio.fail_after(5):
        await child.stdout.read(said.append)

    assert said == [b"one"]


async def test_output_before_the_connection_and_its_end_are_kept():
    child = Child()
    child.pipe_data_received(STDOUT, b"one")
    child.pipe_data_received(STDERR, b"bad")
    child.pipe_data_received(STDOUT, b"two")
    child.pipe_connection_lost(STDOUT, None)

    said: list[bytes] = []
    complained: list[bytes] = []
    await child.stdout.read(said.append)
    with anyio.move_on_after(0):
        await child.stderr.read(complained.append)
    assert (said, complained) == ([b"one", b"two"], [b"bad"])


async def test_output_without_a_reader_waits_for_the_next_reader():
    child, first, second = Child(), list[bytes](), list[bytes]()
    async with anyio.create_task_group() as readers:
        readers.start_soon(child.stdout.read, first.append)
        await anyio.wait_all_tasks_blocked()
        child.stdout.data_received(b"one")
        readers.cancel_scope.cancel()
    child.stdout.data_received(b"two")
    child.stdout.end()
    await child.stdout.read(second.append)

    assert (first, second) == ([b"one"], [b"two"])


async def test_a_reader_that_raises_gets_its_exception_and_no_more_output():
    child, said = Child(), list[bytes]()

    def take(data: bytes) -> None:
        said.append(data)
        raise LookupError("of the reader")

    async def speak() -> None:
        await anyio.wait_all_tasks_blocked()
        child.stdout.data_received(b"one")
        child.stdout.data_received(b"two")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(speak)
        with pytest.raises(LookupError, match="of the reader"):
            await child.stdout.read(take)

    assert said == [b"one"]


@contextmanager
def time_standing_still() -> Generator[list[float]]:
    """Stop the event loop's clock within the block; yield the delays of the timers set in it."""
    loop = asyncio.get_running_loop()
    now, call_later, waits = loop.time(), loop.call_later, list[float]()

    def note_and_call_later(delay: float, *arguments: Any) -> asyncio.TimerHandle:
        waits.append(delay)
        return call_later(delay, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "time", lambda: now)
        patch.setattr(loop, "call_later", note_and_call_later)
        yield waits


@pytest.mark.parametrize(("size", "at_once"), [(1, IN_A_ROW), (LARGE, IN_A_ROW // 4)])
async def test_output_that_arrives_too_fast_stays_in_the_pipe_for_a_moment(size: int, at_once: int):
    child, said = Child(), list[bytes]()
    transport = FakeTransport(child)
    child.connection_made(transport)
    pipe = transport.pipes[STDOUT]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(child.stdout.read, said.append)
        await anyio.wait_all_tasks_blocked()
        with time_standing_still() as waits:
            for _ in range(at_once):
                pipe.say(b"x" * size)
            assert not pipe.paused.is_set()
            pipe.say(b"more" * size)
            assert pipe.paused.is_set()
        assert len(said) == at_once + 1
        assert not pipe.resumed.is_set()
        assert waits == [pytest.approx(INTERVAL if size == 1 else 4 * INTERVAL)]
        with anyio.fail_after(5):
            await pipe.resumed.wait()
        tasks.cancel_scope.cancel()


async def test_output_before_the_pipe_is_known_is_read_at_once():
    child, said = Child(), list[bytes]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(child.stdout.read, said.append)
        await anyio.wait_all_tasks_blocked()
        for _ in range(2 * IN_A_ROW):
            child.pipe_data_received(STDOUT, b"one")
        tasks.cancel_scope.cancel()
    assert said == [b"one"] * 2 * IN_A_ROW


async def test_a_pipe_that_was_closed_during_the_pause_is_not_resumed():
    child, said = Child(), list[bytes]()
    transport = FakeTransport(child)
    child.connection_made(transport)
    pipe, loop = transport.pipes[STDOUT], asyncio.get_running_loop()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(child.stdout.read, said.append)
        await anyio.wait_all_tasks_blocked()
        while not pipe.paused.is_set():
            pipe.say(b"one")
        pipe.close()
        over = loop.create_future()
        loop.call_later(2 * INTERVAL, over.set_result, None)
        await over
        tasks.cancel_scope.cancel()
    assert not pipe.resumed.is_set()
