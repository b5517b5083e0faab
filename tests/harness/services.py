"""Runs Redis and nginx for tests, each on a free loopback port."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from tests.harness.program import free_port
from tests.harness.system_programs import program_of

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def _running(port: int, *command: str) -> AsyncGenerator[None]:
    process = await anyio.open_process(command, stdin=subprocess.DEVNULL, stdout=None, stderr=None)
    try:
        with anyio.fail_after(10):
            while True:
                try:
                    await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
                    break
                except OSError:
                    assert process.returncode is None, f"{command[0]} ended with {process.returncode}"
                    await anyio.sleep(0.02)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def redis_server(folder: Path) -> AsyncGenerator[str]:
    """Run a Redis that stores nothing on disk; yield its URL."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    async with _running(port, program_of("redis-server"), *options, "--loglevel", "warning"):
        yield f"redis://127.0.0.1:{port}/0"


@asynccontextmanager
async def nginx(folder: Path, *servers: int) -> AsyncGenerator[str]:
    """Run nginx with the shipped configuration in front of servers on these ports; yield its base URL."""
    port = free_port()
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    ports = iter(servers)
    text = re.sub(r"server 127\.0\.0\.1:\d+", lambda _: f"server 127.0.0.1:{next(ports)}", text)
    text = re.sub(r"listen 127\.0\.0\.1:\d+", f"listen 127.0.0.1:{port}", text)
    assert next(ports, None) is None
    config = folder / "nginx.conf"
    config.write_text(text)
    async with _running(port, program_of("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(config)):
        yield f"http://127.0.0.1:{port}/v1"
