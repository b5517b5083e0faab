"""Server-sent events as bytes. Source: the WHATWG HTML standard, section "Server-sent events"."""

from __future__ import annotations

from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"
"""What ends every stream of the OpenAI API."""

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment; clients skip it, tunnels see that the stream lives."""

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
"""Headers with which proxies on the way neither buffer nor change the stream."""


def data(value: Any) -> bytes:
    """Return one event without a name."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def named(name: str, value: Any) -> bytes:
    """Return one event with a name."""
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"
