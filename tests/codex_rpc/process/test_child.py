"""A child process under event-loop callbacks in an order that a real process cannot be made to produce."""

from __future__ import annotations

import anyio
import pytest

from codex_rpc.process.child import STDERR, STDOUT, Child


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
        child.pipe_data_received(STDOUT, b"one")
        readers.cancel_scope.cancel()
    child.pipe_data_received(STDOUT, b"two")
    child.pipe_connection_lost(STDOUT, None)
    await child.stdout.read(second.append)

    assert (first, second) == ([b"one"], [b"two"])


async def test_a_reader_that_raises_gets_its_exception_and_no_more_output():
    child, said = Child(), list[bytes]()

    def take(data: bytes) -> None:
        said.append(data)
        raise LookupError("of the reader")

    async def speak() -> None:
        await anyio.wait_all_tasks_blocked()
        child.pipe_data_received(STDOUT, b"one")
        child.pipe_data_received(STDOUT, b"two")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(speak)
        with pytest.raises(LookupError, match="of the reader"):
            await child.stdout.read(take)

    assert said == [b"one"]
