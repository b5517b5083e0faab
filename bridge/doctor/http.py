"""Sends one HTTP request and notes when each piece of the answer arrives.

It follows no redirects and pools no connections, so that a check sees what the server really sends.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import urlsplit

import anyio
import h11
from anyio.abc import ByteStream
from msgspec import Struct, field

from bridge.settings.certificate import trusting

READ_SIZE = 64 * 1024


class Unreachable(Exception):
    """No answer came; the message says why."""


class Piece(Struct, frozen=True):
    """A part of a body and its arrival time, in seconds since the request was sent."""

    at: float
    data: bytes


class Reply(Struct):
    """An HTTP answer; `cut` when the connection ended before the answer was complete."""

    status: int
    headers: Mapping[str, str]
    pieces: list[Piece] = field(default_factory=list[Piece])
    cut: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(piece.data for piece in self.pieces)


async def fetch(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    *,
    deadline: float = 15,
    certfile: str | None = None,
) -> Reply:
    """Send a request and read the whole answer, all within `deadline` seconds.

    Over HTTPS the server must show the certificate in `certfile`, or, without that, one that this machine trusts.

    Raises:
        Unreachable: there was no answer.
    """
    reply: Reply | None = None
    try:
        with anyio.fail_after(deadline):
            async with _connection(url, certfile) as stream:
                began = anyio.current_time()
                http = h11.Connection(h11.CLIENT)
                await stream.send(_request(http, method, url, headers or {}, body))
                while True:
                    match http.next_event():
                        case h11.Response(status_code=status, headers=fields):
                            named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in fields}
                            reply = Reply(status, named)
                        case h11.Data(data=data):
                            assert reply is not None
                            reply.pieces.append(Piece(anyio.current_time() - began, bytes(data)))
                        case h11.EndOfMessage():
                            assert reply is not None
                            return reply
                        case h11.InformationalResponse():
                            pass
                        case _:
                            http.receive_data(await _receive(stream))
    except (OSError, anyio.BrokenResourceError, h11.RemoteProtocolError) as error:
        if reply is not None:
            reply.cut = True
            return reply
        raise Unreachable(_words(error, deadline)) from error


def _request(http: h11.Connection, method: str, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    all_headers = {"host": parts.netloc, "user-agent": "codex-openai-proxy-doctor", "connection": "close", **headers}
    if body:
        all_headers |= {"content-type": "application/json", "content-length": str(len(body))}
    request = h11.Request(method=method, target=target, headers=list(all_headers.items()))
    return b"".join(http.send(event) or b"" for event in (request, h11.Data(data=body), h11.EndOfMessage()))


@asynccontextmanager
async def _connection(url: str, certfile: str | None) -> AsyncGenerator[ByteStream]:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    stream: ByteStream
    if secure:
        context = trusting(certfile) if certfile else None
        stream = await anyio.connect_tcp(
            parts.hostname or "", port, tls=True, ssl_context=context, tls_standard_compatible=False
        )
    else:
        stream = await anyio.connect_tcp(parts.hostname or "", port)
    try:
        yield stream
    finally:
        await anyio.aclose_forcefully(stream)


async def _receive(stream: ByteStream) -> bytes:
    try:
        return await stream.receive(READ_SIZE)
    except anyio.EndOfStream:
        return b""


def _words(error: BaseException, deadline: float) -> str:
    """Return why no answer came; anyio wraps the reason of a failed connection in another exception."""
    inner: BaseException = error.__cause__ or error
    while isinstance(inner, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", inner).exceptions[0]
    match inner:
        case TimeoutError():
            return f"no answer within {deadline:g} seconds"
        case socket.gaierror():
            return "DNS does not know the name"
        case ssl.SSLError():
            return f"no secure connection: {inner.reason or inner}"
        case ConnectionRefusedError():
            return "nothing listens there"
        case h11.RemoteProtocolError() | anyio.BrokenResourceError() | ConnectionError():
            return "the connection was closed without an answer"
        case _:
            return str(inner) or type(inner).__name__
