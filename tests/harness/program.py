"""The program as a person starts it: a process of its own, a real socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx2
import psutil
from anyio.abc import Process


@dataclass
class Program:
    """The running program and where it listens."""

    process: Process
    address: tuple[str, int]

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.address[1]}/v1"

    def family(self) -> list[psutil.Process]:
        """The processes that it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(*arguments: str, does: Sequence[str]) -> list[str]:
    codex = os.environ.get("CODEX_UNDER_TEST")
    return [sys.executable, "-m", "bridge", *does, *(["--codex", codex] if codex else []), *arguments]


@asynccontextmanager
async def program(
    *arguments: str, does: Sequence[str] = ("serve",), log: Path | None = None
) -> AsyncGenerator[Program]:
    """Run the program for the length of the block; its log goes to a file, or to the test's own stderr."""
    address = ("127.0.0.1", free_port())
    with log.open("wb") if log else nullcontext() as stderr:
        running = await anyio.open_process(
            command("--addr", f"127.0.0.1:{address[1]}", *arguments, does=does),
            stdin=subprocess.DEVNULL,
            stdout=None,
            stderr=stderr,
        )
    one = Program(running, address)
    try:
        async with httpx2.AsyncClient() as client:
            with anyio.fail_after(20):
                while True:
                    try:
                        await client.get(f"{one.base_url}/models")
                        break
                    except httpx2.TransportError:
                        await anyio.sleep(0.02)
        yield one
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()
