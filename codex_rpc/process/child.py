"""A child process whose output reaches its reader in the event-loop iteration in which it arrives.

asyncio and anyio streams add two event-loop iterations per read and one per write.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import anyio

from codex_rpc.process.pace import Pace

STDIN, STDOUT, STDERR = 0, 1, 2

Sink: TypeAlias = Callable[[bytes], None]
"""Handles the next bytes without waiting."""


class Output(asyncio.Protocol):
    """The output of one pipe: passed to its reader as it arrives, and kept while there is no reader."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._ended = False
        self._sink: Sink | None = None
        self._over: asyncio.Future[None] | None = None
        self._replaced: asyncio.Protocol | None = None
        self._transport: asyncio.ReadTransport | None = None
        self._pace = Pace()

    def take_over(self, transport: asyncio.ReadTransport) -> None:
        """Replace the pipe's protocol; the old one still gets `connection_lost`."""
        self._replaced = cast("asyncio.Protocol", transport.get_protocol())
        transport.set_protocol(self)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if self._sink is None:
            self._waiting.append(data)
            return
        self._let_gather(len(data))
        try:
            self._sink(data)
        except Exception as error:  # noqa: BLE001 - raised where the reader waits
            self._finish(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop when the last process that held the other end has closed it."""
        self.end()
        if self._replaced is not None:
            self._replaced.connection_lost(exc)

    def end(self) -> None:
        """Note that there is no more output."""
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

    def _let_gather(self, size: int) -> None:
        """When output arrives too fast to be read piece by piece, let it gather in the pipe for a moment."""
        loop = asyncio.get_running_loop()
        if self._transport is not None and (wait := self._pace.read(size, loop.time())):
            self._transport.pause_reading()
            loop.call_later(wait, self._read_on, self._transport)

    def _read_on(self, transport: asyncio.ReadTransport) -> None:
        if not transport.is_closing():
            transport.resume_reading()

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
        # Later: uvloop has yet to deliver earlier output, and would deliver the end of a pipe at once.
        asyncio.get_running_loop().call_soon(self._take_over, self._transport)

    def _take_over(self, transport: asyncio.SubprocessTransport) -> None:
        for number, output in self._outputs.items():
            output.take_over(cast("asyncio.ReadTransport", transport.get_pipe_transport(number)))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Called by the event loop for output that arrived before `take_over`."""
        self._outputs[fd].data_received(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Called by the event loop for a pipe that was closed before `take_over`."""
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
