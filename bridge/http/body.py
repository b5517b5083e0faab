"""Reads request bodies, up to a size limit."""

from __future__ import annotations

import logging
from typing import Any

import anyio
from starlette.requests import ClientDisconnect, Request

from bridge.config import Settings
from bridge.errors import body_too_large, body_too_slow
from bridge.json_values import decode_json
from bridge.telemetry.ledger import entry_of

logger = logging.getLogger(__name__)

BODY_PATIENCE = 30.0
"""Seconds within which the next part of a request body has to arrive."""


async def read_json(request: Request, settings: Settings) -> Any:
    """Read and decode the body of a request. (Starlette's own size limit would answer in plain text.)

    Raises:
        ApiError: 413, the body is too large; 408, its next part does not arrive in time; 400, it is not JSON.
        ClientDisconnect: the client left.
    """
    chunks, size, limit, more = list[bytes](), 0, settings.max_body, True
    while more:
        with anyio.move_on_after(BODY_PATIENCE):
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > limit:
                raise body_too_large(limit)
            more = message.get("more_body", False)
            continue
        raise body_too_slow(BODY_PATIENCE)
    body = b"".join(chunks)
    if settings.log_requests:
        logger.info("%s request body: %r", entry_of(request.scope).id, body.decode(errors="replace"))
    return decode_json(body)
