"""How fast 20,000 deltas of one stream arrive through the proxy, beside a bare reader of codex's stdout.

Both are measured in turn, in one run, on the same codex and the same upstream; only their ratio means anything.
`make bench` prints it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import orjson

from bridge.launch import Launcher, launcher
from bridge.plain_model import thread_start_params
from bridge.prompt import Prompt, message
from codex_rpc.calls import Call, initialize, thread_inject_items, thread_start, turn_start
from codex_rpc.framing import LineSplitter
from codex_rpc.peer import Peer
from codex_rpc.process import CodexProcess
from codex_rpc.protocol import UNWANTED
from tests.harness.codex_home import write_home
from tests.harness.proxy import MODEL, user
from tests.harness.script import Text, reply
from tests.harness.upstream import scripted_upstream

DELTAS = 20_000


@asynccontextmanager
async def bare_codex(launch: Launcher) -> AsyncGenerator[CodexProcess]:
    """Start codex as the proxy does, and shake hands with nothing but two lines."""
    async with launch.open_process() as codex:
        handshake = initialize("bare", "0", UNWANTED)
        await codex.send(Peer().call(handshake.method, handshake.params)[1])
        await codex.receive()
        await codex.send(Peer().notify("initialized"))
        yield codex


async def bare(codex: CodexProcess, cwd: str) -> float:
    """Return the deltas a second that arrive when nothing is done with them but finding the line ends."""
    lines = LineSplitter()
    peer = Peer()

    async def until(mark: bytes) -> bytes:
        while True:
            for line in lines.feed(await codex.receive()):
                if mark in line:
                    return line

    async def call(call: Call[Any]) -> Any:
        await codex.send(peer.call(call.method, call.params)[1])
        return call.read(orjson.loads(await until(b'"result":'))["result"])

    prompt = Prompt("gpt-5.2-codex", (message("user", "count"),))
    thread_id = await call(thread_start(thread_start_params(prompt, cwd, ())))
    await call(thread_inject_items(thread_id, prompt.items))
    started = turn_start(thread_id)
    await codex.send(peer.call(started.method, started.params)[1])
    deltas, first, over = 0, 0.0, False
    while not over:
        for line in lines.feed(await codex.receive()):
            if b'"item/agentMessage/delta"' in line:
                first = first or time.perf_counter()
                deltas += 1
            over |= b'"turn/completed"' in line
    assert deltas == DELTAS
    return DELTAS / (time.perf_counter() - first)


async def proxied(client: httpx2.AsyncClient) -> float:
    """Return the deltas a second that a client of the proxy gets."""
    body = {"model": MODEL, "stream": True, "messages": [user("count")]}
    first, received = 0.0, bytearray()
    async with client.stream("POST", "/chat/completions", json=body) as response:
        async for chunk in response.aiter_raw():
            first = first or time.perf_counter()
            received += chunk
    assert received.endswith(b"data: [DONE]\n\n")
    assert received.count(b"w ") == DELTAS
    return DELTAS / (time.perf_counter() - first)


async def main(rounds: int) -> None:
    """Measure, print a table."""
    with tempfile.TemporaryDirectory() as folder:
        async with scripted_upstream() as upstream:
            said = reply(Text(("w ",) * DELTAS))
            upstream.respond = lambda _: said
            write_home(Path(folder) / "home", upstream.base_url)
            os.environ |= {"CODEX_HOME": f"{folder}/home", "SCRIPTED_KEY": "made-up"}
            command = [sys.executable, "-m", "bridge", "serve", "--addr", "127.0.0.1:11499", "--log-level", "error"]
            async with (
                await anyio.open_process(command, stdin=subprocess.DEVNULL, stderr=None) as server,
                launcher(None) as launch,
                bare_codex(launch) as codex,
                httpx2.AsyncClient(base_url="http://127.0.0.1:11499/v1", timeout=60) as web,
            ):
                await anyio.sleep(1)
                rates = [(await bare(codex, str(launch.cwd)), await proxied(web)) for _ in range(rounds)]
                server.terminate()
    reader, proxy = (statistics.median(column) for column in zip(*rates, strict=True))
    print(f"{DELTAS} deltas in one stream, median of {rounds} rounds")  # noqa: T201
    print(f"  bare reader {reader:10,.0f} deltas/s")  # noqa: T201
    print(f"  proxy       {proxy:10,.0f} deltas/s   ratio {proxy / reader:.2f}")  # noqa: T201


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    anyio.run(main, arguments.parse_args().rounds)
