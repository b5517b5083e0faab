"""An HTTP client transport that calls an ASGI application in this process and streams the answer.

The client library's own transport collects the whole answer first; with this one a test sees each chunk
when it is sent, and closing the response early acts as a client that disconnects.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx2
from anyio.abc import TaskGroup
from starlette.types import ASGIApp, Message, Scope


class StreamingASGITransport(httpx2.AsyncBaseTransport):
    """Runs each request as a task in `tasks`."""

    def __init__(self, app: ASGIApp, tasks: TaskGroup, peer: str = "127.0.0.1") -> None:
        self._app = app
        self._tasks = tasks
        self._peer = peer

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Start the application; return as soon as it has sent its headers."""
        body = await request.aread()
        sent, received = anyio.create_memory_object_stream[Message](math.inf)
        gone = anyio.Event()
        to_deliver: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if to_deliver:
                return to_deliver.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            await sent.send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                gone.set()  # as ASGI requires

        async def run() -> None:
            with sent:
                await self._app(self._scope(request), receive, send)

        self._tasks.start_soon(run)
        try:
            start = await received.receive()
        except BaseException:
            gone.set()  # the client disconnected before the answer began
            received.close()
            raise
        headers = [(name.decode(), value.decode()) for name, value in start["headers"]]
        return httpx2.Response(start["status"], headers=headers, stream=_Body(received, gone))

    def _scope(self, request: httpx2.Request) -> Scope:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.split(b"?")[0],
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": (self._peer, 50000),
            "server": ("testserver", 80),
        }


class _Body(httpx2.AsyncByteStream):
    def __init__(self, messages: anyio.abc.ObjectReceiveStream[Message], gone: anyio.Event) -> None:
        self._messages = messages
        self._gone = gone

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for message in self._messages:
            yield message.get("body", b"")
            if not message.get("more_body", False):
                break

    async def aclose(self) -> None:
        """Disconnect the client; no effect after a complete answer."""
        self._gone.set()
        await self._messages.aclose()


@asynccontextmanager
async def asgi_client(app: ASGIApp, peer: str = "127.0.0.1") -> AsyncGenerator[httpx2.AsyncClient]:
    """Yield a client of the application; cancel requests that still run at the end."""
    async with anyio.create_task_group() as tasks:
        transport = StreamingASGITransport(app, tasks, peer)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/v1") as client:
            yield client
        tasks.cancel_scope.cancel()
