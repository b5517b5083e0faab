"""A child process whose output is passed to its reader in event-loop callbacks.

asyncio's and anyio's own processes cannot be closed while another process holds one of their pipes.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import anyio

STDIN, STDOUT, STDERR = 0, 1, 2

Sink: TypeAlias = Callable[[bytes], None]
"""Handles the next bytes without waiting."""


class Output:
    """The output of one pipe: passed to its reader as it arrives, and kept while there is no reader."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._ended = False
        self._sink: Sink | None = None
        self._over: asyncio.Future[None] | None = None

    def put(self, data: bytes) -> None:
        """Pass on the next bytes."""
        if self._sink is None:
            self._waiting.append(data)
            return
        try:
            self._sink(data)
        except Exception as error:  # noqa: BLE001 - raised where the reader waits
            self._finish(error)

    def end(self) -> None:
        """Note that there is no more output: the last process that held the other end has closed it."""
        self._ended = True
        self._finish(None)

    async def read(self, sink: Sink) -> None:
        """Pass everything to `sink`, until the end or until `sink` raises. One reader at a time."""
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            sink(data)
        if self._ended:
            return
        self._sink = sink
        self._over = asyncio.get_running_loop().create_future()
        try:
            await self._over
        finally:
            self._sink = self._over = None

    def _finish(self, error: Exception | None) -> None:
        self._sink = None
        if self._over is None or self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)


class Child(asyncio.SubprocessProtocol):
    """A running child. Made by `spawn`; must be closed."""

    def __init__(self) -> None:
        self.stdout = Output()
        self.stderr = Output()
        self._outputs = {STDOUT: self.stdout, STDERR: self.stderr}
        self._exited = anyio.Event()
        self._gone = anyio.Event()
        self._can_write = anyio.Event()
        self._can_write.set()
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None

    # ── called by the event loop ─────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._stdin = cast("asyncio.WriteTransport | None", self._transport.get_pipe_transport(STDIN))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._outputs[fd].put(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        del exc
        if fd == STDIN:
            self._can_write.set()
        else:
            self._outputs[fd].end()

    def pause_writing(self) -> None:
        self._can_write = anyio.Event()

    def resume_writing(self) -> None:
        self._can_write.set()

    def process_exited(self) -> None:
        self._exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._gone.set()

    # ── for callers ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def pid(self) -> int:
        return self._running().get_pid()

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._running().get_returncode()

    async def send(self, data: bytes) -> None:
        """Write to stdin, waiting while the pipe is full.

        Raises:
            BrokenPipeError: the child has closed its stdin, perhaps before it had read all of the data.
        """
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(data)
            if not self._can_write.is_set():
                await self._can_write.wait()
        if self._stdin is None or self._stdin.is_closing():
            raise BrokenPipeError("the child no longer reads its input")

    def close_stdin(self) -> None:
        """Close stdin after everything written has been sent."""
        if self._stdin is not None:
            self._stdin.close()

    async def wait(self) -> None:
        """Wait until the process has ended; other processes may still hold its pipes."""
        await self._exited.wait()

    def terminate(self) -> None:
        """Send SIGTERM; on Windows, kill the process.

        Raises:
            ProcessLookupError: it has ended.
        """
        self._running().terminate()

    async def close(self) -> None:
        """Kill the process if it still runs and close our ends of the pipes; shielded from cancellation."""
        if self._stdin is not None and self._stdin.get_write_buffer_size():
            self._stdin.abort()  # close() would wait for a reader, and another process may hold the pipe.
        self._running().close()
        with anyio.CancelScope(shield=True):
            await self._gone.wait()

    def _running(self) -> asyncio.SubprocessTransport:
        assert self._transport is not None
        return self._transport


async def spawn(
    command: Sequence[str], env: Mapping[str, str], cwd: Path, stdin: int = subprocess.PIPE, **more: Any
) -> Child:
    """Start a process; shielded from cancellation, which would leave its pipes open.

    Raises:
        OSError: the executable cannot be started.
    """
    loop = asyncio.get_running_loop()
    pipe, child = subprocess.PIPE, Child()
    with anyio.CancelScope(shield=True):
        await loop.subprocess_exec(
            lambda: child, *command, stdin=stdin, stdout=pipe, stderr=pipe, cwd=cwd, env=dict(env), **more
        )
    return child
