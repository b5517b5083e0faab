"""Reads request bodies, up to a size and a number of values.

Only the decoding of the complete text may hold up the event loop: it is bounded by the number of values. Large bodies
are decoded in a thread, so that each step of it holds up the loop separately.
"""

from __future__ import annotations

import logging
from typing import Any

import anyio
import anyio.to_thread
from anyio.lowlevel import checkpoint
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from bridge.config import Settings
from bridge.errors import body_too_large, body_too_slow
from bridge.http.content_coding import decoder_of
from bridge.json_values import count_values, decode_json
from bridge.telemetry.ledger import entry_of

logger = logging.getLogger(__name__)

BODY_PATIENCE = 30.0
"""Seconds within which the next part of a request body has to arrive."""

LARGE = 1024 * 1024
"""Bytes from which on a body is decoded in a thread."""


async def read_json(request: Request, settings: Settings) -> Any:
    """Read and decode the body of a request. (Starlette's own size limit would answer in plain text.)

    Raises:
        ApiError: 413, the body is too large, compressed or not; 408, its next part does not arrive in time; 415, its
            coding is not supported; 400, its data is broken, it is not JSON, or it has too many values.
        ClientDisconnect: the client left.
    """
    body = await _read(request, settings.max_body)
    for _ in count_values(body):
        await checkpoint()
    if settings.log_requests:
        logger.info("%s request body: %r", entry_of(request.scope).id, body.decode(errors="replace"))
    return decode_json(body) if len(body) < LARGE else await anyio.to_thread.run_sync(decode_json, body)


async def _read(request: Request, limit: int) -> bytearray:
    decoder = decoder_of(request.headers.getlist("content-encoding"), limit)
    body, received, more = bytearray(), 0, True
    while more:
        message = await _next_message(request)
        data, more = message.get("body", b""), message.get("more_body", False)
        received += len(data)
        if received > limit:
            raise body_too_large(limit)
        if not decoder:
            body += data
            continue
        for piece in decoder.decode(data):
            body += piece
            await checkpoint()
    decoder.finish()
    return body


async def _next_message(request: Request) -> Message:
    with anyio.move_on_after(BODY_PATIENCE):
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        return message
    raise body_too_slow(BODY_PATIENCE)
