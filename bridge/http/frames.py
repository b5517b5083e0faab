"""The HTTP exchange of a request that arrived in a WebSocket frame: what is sent in answer becomes frames."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import orjson
from starlette.types import Message

from bridge.errors import ApiError

REPEATED_HEADERS = ("retry-after", "x-codex-", "x-ratelimit-", "x-request-id")
"""Beginnings of the names of response headers that an error frame repeats; the Codex CLI reads `retry-after`."""


def error_frame(status: int, body: Mapping[str, Any], headers: Mapping[str, str], stream_id: str | None) -> bytes:
    """Return the frame of an error. Clients need its nested form and a code: the Codex CLI ignores any other."""
    error = body["error"]
    repeated = {name: value for name, value in headers.items() if name.startswith(REPEATED_HEADERS)}
    frame = {"type": "error", "status": status, "error": {**error, "code": error["code"] or error["type"]}}
    lane = {} if stream_id is None else {"stream_id": stream_id}
    return orjson.dumps({**frame, "headers": repeated, **lane})


def frame_of(error: ApiError, stream_id: str | None = None) -> bytes:
    """Return the frame of an error that has no HTTP response."""
    return error_frame(error.status, error.body(), error.headers, stream_id)


class FrameExchange:
    """One request and its response. The body of a response with the status 200 has one event per line."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]], stream_id: str | None) -> None:
        """`send` sends one frame."""
        self._send = send
        self._stream_id = stream_id
        self._received = False
        self._ended = anyio.Event()
        self._headers: dict[str, str] = {}
        self._error = b""
        self.status = 0
        """The status of the response; 0 before it starts."""

    async def receive(self) -> Message:
        """Return the request, whose body is empty here; then wait for the end of the response, as ASGI requires."""
        if not self._received:
            self._received = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._ended.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Send a part of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            return
        body, is_last = message.get("body", b""), not message.get("more_body", False)
        if self.status == 200:
            for line in body.splitlines():
                await self._send(line)
        else:
            self._error += body
            if is_last:
                await self._send(error_frame(self.status, orjson.loads(self._error), self._headers, self._stream_id))
        if is_last:
            self._ended.set()
