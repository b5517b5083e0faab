"""The program as a process of its own on a free port, and its commands as a person types them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx2
from anyio.abc import Process

from tests.harness.services import free_port

PATIENCE = 60.0
"""Seconds after which a command is given up."""


@dataclass
class Server:
    """A running server."""

    process: Process
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended and what it printed."""

    status: int
    stdout: str
    stderr: str


async def run(*arguments: str, **more: str) -> Outcome:
    """Run a command to its end; `more` are variables of its environment."""
    with anyio.fail_after(PATIENCE):
        done = await anyio.run_process(
            [sys.executable, "-m", "bridge", *arguments],
            env=_environment(more),
            stdin=subprocess.DEVNULL,
            check=False,
        )
    assert done.returncode is not None
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


@asynccontextmanager
async def serving(
    *arguments: str, port: int | None = None, log: Path | None = None, **more: str
) -> AsyncGenerator[Server]:
    """Run `serve` until the end of the block; it answers when the block begins. `log` takes what it prints."""
    port = port or free_port()
    command = [sys.executable, "-m", "bridge", "serve", "--addr", f"127.0.0.1:{port}", *arguments]
    with (log or Path(os.devnull)).open("w") as output:
        process = await anyio.open_process(
            command, env=_environment(more), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    server = Server(process, port)
    try:
        async with httpx2.AsyncClient() as client:
            with anyio.fail_after(PATIENCE):
                while True:
                    assert process.returncode is None, "the server ended"
                    try:
                        await client.get(f"{server.url}/healthz")
                        break
                    except httpx2.TransportError:
                        await anyio.sleep(0.02)
        yield server
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(20):
            process.terminate()
            await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


def _environment(more: dict[str, str]) -> dict[str, str]:
    codex = {"CODEX_OPENAI_PROXY_CODEX": os.environ["CODEX_UNDER_TEST"]} if "CODEX_UNDER_TEST" in os.environ else {}
    return {**os.environ, **codex, **more}
