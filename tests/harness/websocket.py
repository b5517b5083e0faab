"""A WebSocket client of an ASGI application in this process, whose reading the test controls."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import orjson
from starlette.types import ASGIApp, Message, Scope

TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})
"""The types of the events that end a turn."""


class WebSocket:
    """One connection, or the refusal of one."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        """The headers of the handshake's response."""
        self.status: int | None = None
        """The status of a refusal; None if the connection was accepted."""
        self.refusal = b""
        self.close_code: int | None = None
        self.ended = anyio.Event()
        """Set when the application has ended."""
        self._to_app, self._app_receives = anyio.create_memory_object_stream[Message](math.inf)
        self._app_sends, self._from_app = anyio.create_memory_object_stream[Message](math.inf)
        self._reading = anyio.Event()
        self._reading.set()
        self._begun = anyio.Event()

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Be the server of one connection to the application."""
        self._to_app.send_nowait({"type": "websocket.connect"})
        with self._app_sends, self._app_receives:
            await app(scope, self._app_receives.receive, self._take)
        self._begun.set()
        self.ended.set()

    async def _take(self, message: Message) -> None:
        match message["type"]:
            case "websocket.accept" | "websocket.http.response.start":
                self.headers = {name.decode(): value.decode() for name, value in message.get("headers", ())}
                self.status = message.get("status")
                if self.status is None:
                    self._begun.set()
            case "websocket.http.response.body":
                self.refusal += message.get("body", b"")
            case "websocket.close":
                self.close_code = message["code"]
                self.leave()
            case "websocket.send":
                await self._reading.wait()
                self._app_sends.send_nowait(message)
            case other:
                raise AssertionError(f"unexpected {other}")

    async def begun(self) -> WebSocket:
        """Wait until the handshake is accepted or refused."""
        await self._begun.wait()
        return self

    def stop_reading(self) -> None:
        """Let every further frame to the client wait."""
        self._reading = anyio.Event()

    def send_text(self, text: str) -> None:
        self._to_app.send_nowait({"type": "websocket.receive", "text": text, "bytes": None})

    def send(self, kind: str, **fields: Any) -> None:
        """Send one event."""
        self.send_text(orjson.dumps({"type": kind, **fields}).decode())

    async def receive(self) -> dict[str, Any]:
        """Return the next event."""
        return orjson.loads((await self._from_app.receive())["text"])

    async def turn(self) -> list[dict[str, Any]]:
        """Return the events of the next turn."""
        events: list[dict[str, Any]] = []
        while not events or events[-1]["type"] not in TERMINAL:
            events.append(await self.receive())
        return events

    async def create(self, **fields: Any) -> dict[str, Any]:
        """Request a response and return the last event of its turn."""
        self.send("response.create", **fields)
        return (await self.turn())[-1]

    def leave(self) -> None:
        """Disconnect."""
        if not self.ended.is_set():
            self._to_app.send_nowait({"type": "websocket.disconnect", "code": 1006})

    def close(self) -> None:
        """Free what the connection holds."""
        self._to_app.close()
        self._from_app.close()


@asynccontextmanager
async def websocket(
    app: ASGIApp, path: str = "/v1/responses", headers: Mapping[str, str] | None = None, peer: str = "127.0.0.1"
) -> AsyncGenerator[WebSocket]:
    """Connect to the application for the length of the block; then disconnect and wait for its end.

    The client sends the key `any`, which a server without keys ignores.
    """
    sent = {"host": "localhost", "authorization": "Bearer any", **(headers or {})}
    scope: Scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": (peer, 50000),
        "server": ("testserver", 80),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
    socket = WebSocket()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(socket.run, app, scope)
        yield await socket.begun()
        socket.leave()
        await socket.ended.wait()
        socket.close()
