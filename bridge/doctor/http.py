"""Sends one HTTP request and notes when each piece of the answer arrives.

It follows no redirects, uses no proxy and pools no connections, so that a check sees what the server really sends.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import cast

import anyio
from msgspec import Struct, field

from bridge.settings.certificate import trusting

CLOSED = "the connection was closed without an answer"
HEADERS = {"user-agent": "codex-openai-proxy-doctor", "accept-encoding": "identity", "connection": "close"}


class Unreachable(Exception):
    """No answer came; the message says why."""


class Piece(Struct, frozen=True):
    """A part of a body and its arrival time, in seconds since the request began."""

    at: float
    data: bytes


class Reply(Struct):
    """An HTTP answer; `cut` when the connection ended before the answer was complete."""

    status: int
    headers: Mapping[str, str]
    """The names are in lower case."""
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
    import httpx2  # noqa: PLC0415 - help and completion of the commands, and most servers, send no request

    all_headers = {**HEADERS, **({"content-type": "application/json"} if body else {}), **(headers or {})}
    reply: Reply | None = None
    began = anyio.current_time()
    try:
        with anyio.fail_after(deadline):
            async with (
                httpx2.AsyncClient(verify=_trust(url, certfile), trust_env=False, timeout=None) as client,
                client.stream(method, url, headers=all_headers, content=body) as response,
            ):
                reply = Reply(response.status_code, dict(response.headers))
                async for data in response.aiter_raw():
                    reply.pieces.append(Piece(anyio.current_time() - began, data))
                return reply
    # anyio raises a group when it did not expect the exception: for example for a port of 99999.
    except (httpx2.TransportError, httpx2.InvalidURL, TimeoutError, ExceptionGroup) as error:
        if reply is not None:
            reply.cut = True
            return reply
        broken = isinstance(error, httpx2.RemoteProtocolError)
        raise Unreachable(CLOSED if broken else _words(error, deadline)) from error


def _trust(url: str, certfile: str | None) -> ssl.SSLContext:
    if certfile:
        return trusting(certfile)
    # Loading the machine's certificates takes longer than a request to this machine.
    return ssl.create_default_context() if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _words(error: Exception, deadline: float) -> str:
    """Return why no answer came; httpx and anyio wrap the reason in several other exceptions."""
    reason: BaseException = error
    while inner := _inside(reason):
        reason = inner
    match reason:
        case TimeoutError():
            return f"no answer within {deadline:g} seconds"
        case socket.gaierror():
            return "DNS does not know the name"
        case ssl.SSLError():
            return f"no secure connection: {reason.reason or reason}"
        case ConnectionRefusedError():
            return "nothing listens there"
        case ConnectionError() | anyio.BrokenResourceError() | anyio.EndOfStream():
            return CLOSED
        case _:
            return str(reason) or type(reason).__name__


def _inside(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    # httpcore removes the cause of its exceptions, whose argument it is.
    return error.__cause__ or next((one for one in error.args if isinstance(one, BaseException)), None)
