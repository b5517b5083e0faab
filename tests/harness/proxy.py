"""The whole proxy in this process: real codex, scripted upstream, HTTP client, and if needed a port."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import orjson
import psutil
import pytest

from bridge.asgi import Service, service
from bridge.config import Settings
from bridge.http.listeners import listen
from bridge.serve import serve
from codex_rpc.background import running
from tests.harness.asgi import asgi_client
from tests.harness.program import TLS, Server
from tests.harness.upstream import Upstream

MODEL = "xedoc-2.5-tpg"
"""A model whose tools are in the `tools` field and whose calls name no namespace."""

LITE = "los-1.6-tpg"
"""A Responses-Lite model, like all current ones but one: its tools are an item, its calls name a namespace."""

BOTH_KINDS = pytest.mark.parametrize("asked_model", [MODEL, LITE], ids=["direct", "lite"])
"""Runs a test on a model of each kind; by default the direct one over HTTP and the lite one over WebSocket."""

asked = MODEL
"""The model that tests request; the fixture `asked_model` sets it."""


@dataclass
class Proxy:
    """The running proxy, its client and its upstream."""

    upstream: Upstream
    client: httpx2.AsyncClient
    service: Service
    home: Path

    @property
    def model(self) -> str:
        """The model that this test requests."""
        return asked

    async def chat(self, *messages: Mapping[str, Any], **fields: Any) -> httpx2.Response:
        """Send a request that is not streamed."""
        return await self.client.post("/chat/completions", json={"model": asked, "messages": messages, **fields})

    @asynccontextmanager
    async def stream(self, *messages: Mapping[str, Any], **fields: Any) -> AsyncGenerator[Stream]:
        """Send a streamed request; leaving the block early disconnects the client."""
        body = {"model": asked, "stream": True, "messages": messages, **fields}
        async with self.client.stream("POST", "/chat/completions", json=body) as response:
            yield Stream(response)

    def codex_children(self) -> list[psutil.Process]:
        """The running codex processes that this process has started."""
        return [child for child in psutil.Process().children(recursive=True) if _is_codex(child)]

    def kill_codex(self) -> None:
        """Kill every codex process that this process has started."""
        for child in self.codex_children():
            with suppress(psutil.NoSuchProcess):  # it may end with its parent, which is killed first
                child.kill()


def _is_codex(process: psutil.Process) -> bool:
    try:
        return "codex" in process.name()
    except psutil.NoSuchProcess:
        return False


@dataclass
class Stream:
    """A streamed answer, read chunk by chunk."""

    response: httpx2.Response
    comments: int = 0
    done: bool = False
    chunks: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    async def __aiter__(self) -> AsyncGenerator[dict[str, Any]]:
        async for line in self.response.aiter_lines():
            match line.partition(": "):
                case "data", _, "[DONE]":
                    self.done = True
                case "data", _, data:
                    self.chunks.append(orjson.loads(data))
                    yield self.chunks[-1]
                case "", _, _ if line:
                    self.comments += 1
                case _:
                    pass

    async def read(self) -> Stream:
        """Read to the end."""
        async for _ in self:
            pass
        return self

    @property
    def text(self) -> str:
        """The answer text read so far."""
        choices = (choice for chunk in self.chunks for choice in chunk.get("choices", ()))
        return "".join(choice["delta"].get("content") or "" for choice in choices)


@asynccontextmanager
async def proxy(upstream: Upstream, home: Path, **settings: Any) -> AsyncGenerator[Proxy]:
    """Run the proxy on the CODEX_HOME in the environment.

    The variable CODEX_UNDER_TEST may name a codex other than the installed wheel.
    """
    async with service(_settings(settings)) as it, asgi_client(it.app) as client:
        yield Proxy(upstream, client, it, home)


@asynccontextmanager
async def served(*, secure: bool = False, **settings: Any) -> AsyncGenerator[Server]:
    """Serve the proxy on a free port of this machine while the block runs.

    It starts in a fraction of the time that a process of its own takes, which only tests of that process need. If
    `secure`, it uses the certificate `TLS / "server.pem"`.
    """
    if secure:
        settings |= {"certfile": str(TLS / "server.pem"), "keyfile": str(TLS / "server.key")}
    loop = asyncio.get_running_loop()
    report = loop.get_exception_handler()
    begun, left, ended = anyio.Event(), anyio.Event(), anyio.Event()

    async def until_left(stop: anyio.Event) -> None:
        await left.wait()
        stop.set()

    async def run() -> None:
        try:
            await serve(_settings(settings), listeners, begun.set, until_left)
        finally:
            loop.set_exception_handler(report)  # the server has taken away that of the tests
            ended.set()

    with listen("127.0.0.1", 0) as listeners:
        async with running(run):
            await begun.wait()
            try:
                yield Server(port=listeners.port, secure=secure)
            finally:
                left.set()
                with anyio.CancelScope(shield=True):
                    await ended.wait()


def _settings(given: dict[str, Any]) -> Settings:
    defaults: dict[str, Any] = {"codex": os.environ.get("CODEX_UNDER_TEST"), "codex_unchecked": True}
    return Settings(**defaults | given)


def user(content: Any) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": content}
