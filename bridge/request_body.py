"""Reads the body of a request, up to a limit."""

from __future__ import annotations

import logging
from typing import Any

from starlette.requests import Request

from bridge.config import Settings
from bridge.errors import body_too_large
from bridge.json_body import decode_json
from bridge.ledger import entry_of

logger = logging.getLogger(__name__)


async def read_json(request: Request, settings: Settings) -> Any:
    """Read to the end, up to the limit, and decode; Starlette's own limit would answer in plain text.

    Raises:
        ApiError: 413, it is larger; 400, it is not JSON.
    """
    body, limit = bytearray(), settings.max_body
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise body_too_large(limit)
    if settings.log_requests:
        logger.info("%s asks: %r", entry_of(request.scope).id, body.decode(errors="replace"))
    return decode_json(bytes(body))
