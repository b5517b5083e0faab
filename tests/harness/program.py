"""The program as a user starts it: in a separate process on a free port; and its commands with their output."""

from __future__ import annotations

import itertools
import os
import random
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import psutil
import pytest
from anyio.abc import Process
from click.testing import CliRunner

from bridge.cli import main
from bridge.settings.certificate import trusting

TLS = Path(__file__).parent / "tls"
"""A certificate for this machine with its key, and invalid ones."""


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
"""Containers often have no IPv6, and nothing that a test could install would change that."""

PATIENCE = 60.0
"""Time limit for a command, a start or an answer, in seconds."""

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_BLOCK = range(22_000 + _WORKER % 10 * 1000, 23_000 + _WORKER % 10 * 1000)
_PORTS = itertools.cycle(random.sample(_BLOCK, len(_BLOCK)))

STOPPING = 20.0
"""Seconds for the program to end after a signal."""


def http_client(**options: Any) -> httpx2.AsyncClient:
    """Return a client that waits longer than the library's five seconds, which a busy machine exceeds."""
    return httpx2.AsyncClient(timeout=PATIENCE, **options)


@dataclass(kw_only=True)
class Server:
    """A running server: where it listens."""

    port: int
    secure: bool = False

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"


@dataclass(kw_only=True)
class Program(Server):
    """The running program."""

    process: Process

    def family(self) -> list[psutil.Process]:
        """The child processes of the program."""
        return psutil.Process(self.process.pid).children(recursive=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Exit status and output of a command."""

    status: int
    stdout: str
    stderr: str


def free_port() -> int:
    """Return a port that is free, and that no other test process is given.

    The system hands out ports from 32,768 on to connections and to servers on port 0; one of those could be taken again
    before the program listens on it. Each test process therefore counts through a block of its own below them.
    """
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def command(*arguments: str) -> list[str]:
    """Return the command line of the program."""
    return [sys.executable, "-m", "bridge", *arguments]


async def run(*arguments: str, **variables: str) -> Outcome:
    """Run a command of the program to its end, with these variables in its environment."""
    return await run_into(subprocess.PIPE, *arguments, **variables)


async def run_into(stdout: int, *arguments: str, **variables: str) -> Outcome:
    """Run a command with this file descriptor as its standard output."""
    with anyio.fail_after(PATIENCE):
        done = await anyio.run_process(
            command(*arguments), env=_environment(variables), stdin=subprocess.DEVNULL, stdout=stdout, check=False
        )
    assert done.returncode is not None
    return Outcome(done.returncode, (done.stdout or b"").decode(), done.stderr.decode())


async def run_here(*arguments: str, **variables: str) -> Outcome:
    """Run a command in a thread of this process, in much less time than a process of its own takes.

    Its exceptions are those of the test. What the process does for a command (its start, its signals, where its output
    goes) needs `run`.
    """
    invoke = partial(CliRunner().invoke, main, arguments, env=_environment(variables), catch_exceptions=False)
    with anyio.fail_after(PATIENCE):
        done = await anyio.to_thread.run_sync(invoke)
    return Outcome(done.exit_code, done.stdout, done.stderr)


@contextmanager
def closed_pipe() -> Generator[int]:
    """A pipe whose reader has left, as after `| head`."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        yield writing
    finally:
        os.close(writing)


@asynccontextmanager
async def program(
    *arguments: str,
    does: Sequence[str] = ("serve",),
    port: int | None = None,
    log: Path | None = None,
    stdout: int | None = None,
    secure: bool = False,
    **variables: str,
) -> AsyncGenerator[Program]:
    """Run a command that serves while the block runs; it answers requests when the block begins.

    Its output goes to `log`, or to the output of the test; its standard output to `stdout`, if that is given. If
    `secure`, it uses the certificate `TLS / "server.pem"`.
    """
    port = port or free_port()
    tls = ("--certfile", str(TLS / "server.pem"), "--keyfile", str(TLS / "server.key")) if secure else ()
    line = command(*does, "--addr", f"127.0.0.1:{port}", *tls, *arguments)
    async with server(line, port, log=log, stdout=stdout, secure=secure, **variables) as one:
        yield one


@asynccontextmanager
async def server(
    line: Sequence[str],
    port: int,
    *,
    log: Path | None = None,
    stdout: int | None = None,
    secure: bool = False,
    **variables: str,
) -> AsyncGenerator[Program]:
    """Run a command line that serves this application on a port while the block runs."""
    with log.open("wb") if log else nullcontext() as output:
        process = await anyio.open_process(
            line,
            env=_environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=output if stdout is None else stdout,
            stderr=output,
        )
    one = Program(process=process, port=port, secure=secure)
    try:
        async with http_client(verify=trusting(str(TLS / "server.pem"))) as client:
            with anyio.fail_after(PATIENCE):
                while True:
                    assert process.returncode is None, f"the program ended with {process.returncode}"
                    try:
                        await client.get(f"{one.base_url}/models")
                        break
                    except httpx2.TransportError:
                        await anyio.sleep(0.02)
        yield one
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


async def survivors(family: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Wait for these processes to end; kill and return those that do not."""
    _, alive = await anyio.to_thread.run_sync(psutil.wait_procs, family, STOPPING)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return alive


async def _end(process: Process) -> None:
    """Terminate the program, and kill it if it does not end in time."""
    for stop in (process.terminate, process.kill):
        if process.returncode is None:
            stop()
        with anyio.move_on_after(STOPPING):
            await process.wait()


def _environment(variables: dict[str, str]) -> dict[str, str]:
    codex = {"CODEX_OPENAI_PROXY_CODEX": os.environ["CODEX_UNDER_TEST"]} if "CODEX_UNDER_TEST" in os.environ else {}
    return {**os.environ, **codex, **variables}
