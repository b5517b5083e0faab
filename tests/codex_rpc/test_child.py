"""A child process at the moments that its own tests cannot choose: what the event loop tells, and when."""

from __future__ import annotations

from codex_rpc.child import STDERR, STDOUT, Child


async def test_what_a_child_says_before_it_is_connected_is_kept_and_so_is_its_end():
    child = Child()
    child.pipe_data_received(STDOUT, b"one")
    child.pipe_data_received(STDERR, b"bad")
    child.pipe_data_received(STDOUT, b"two")
    child.pipe_connection_lost(STDOUT, None)

    assert [await child.stdout.receive(), await child.stdout.receive()] == [b"onetwo", b""]
    assert await child.stderr.receive() == b"bad"
