"""Reads the body of a request, up to a limit."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from bridge.errors import body_too_large
from bridge.json_body import decode_json


async def read_json(request: Request, limit: int) -> Any:
    """Read to the end, up to `limit` bytes, and decode; Starlette's own limit would answer in plain text.

    Raises:
        ApiError: 413, it is larger; 400, it is not JSON.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise body_too_large(limit)
    return decode_json(bytes(body))
