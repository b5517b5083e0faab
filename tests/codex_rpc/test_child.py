"""A child process at the moments that its own tests cannot choose: what the event loop tells, and when."""

from __future__ import annotations

import anyio
import pytest

from codex_rpc.child import STDERR, STDOUT, Child


async def test_what_a_child_says_before_it_is_connected_is_kept_and_so_is_its_end():
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


async def test_what_comes_while_nobody_reads_waits_for_the_next_reader():
    child, said = Child(), list[bytes]()
    async with anyio.create_task_group() as readers:
        readers.start_soon(child.stdout.read, said.append)
        await anyio.wait_all_tasks_blocked()
        child.stdout.data_received(b"one")
        readers.cancel_scope.cancel()
    child.stdout.data_received(b"two")
    child.stdout.end()
    await child.stdout.read(said.append)

    assert said == [b"one", b"two"]


async def test_a_reader_that_cannot_go_on_is_told_why_and_is_given_nothing_more():
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
