"""Reads the body of a request, up to a limit."""

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
"""Seconds in which something more of a request's body must come."""


async def read_json(request: Request, settings: Settings) -> Any:
    """Read to the end, up to the limit, and decode; Starlette's own limit would answer in plain text.

    Raises:
        ApiError: 413, it is larger; 408, it stops coming; 400, it is not JSON, or too deep or long a piece of it.
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
        logger.info("%s asks: %r", entry_of(request.scope).id, body.decode(errors="replace"))
    return decode_json(body)
