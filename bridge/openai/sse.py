"""Server-sent events as bytes. Source: the WHATWG HTML standard, section "Server-sent events"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"
"""What ends every stream of the OpenAI API."""

KEEP_ALIVE = b": keep-alive\n"
"""A comment; clients skip it, and tunnels see that the stream is alive.

It has no empty line: that would end an event, and openai-go before 3.43 fails on an event without data.
"""

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
"""Headers with which proxies on the way neither buffer nor change the stream."""

LONGEST_PIECE = 8000
"""Bytes of JSON for the text of one delta. Some clients cannot read lines of 64 kB."""

_LONGEST_CHARACTER = 6
"""Bytes of JSON for one character, at most: a control character is written as six."""

_LINE_ENDS = {"\u0085".encode(): b"\\u0085", "\u2028".encode(): b"\\u2028", "\u2029".encode(): b"\\u2029"}
_LINE_END = re.compile(b"|".join(_LINE_ENDS))
_NEXT_LINE, _LINE_SEPARATOR, _PARAGRAPH_SEPARATOR = _LINE_ENDS


def data(value: Any) -> bytes:
    """Return one event without a name."""
    return b"data: " + json_line(value) + b"\n\n"


def named(name: str, value: Any) -> bytes:
    """Return one event with a name."""
    return b"event: " + name.encode() + b"\ndata: " + json_line(value) + b"\n\n"


def json_line(value: Any) -> bytes:
    """Return JSON without any character that some clients take for the end of a line, as Python's `splitlines` does."""
    text = orjson.dumps(value)
    return text if text.isascii() or not _has_line_end(text) else _escaped(text)


def _has_line_end(text: bytes) -> bool:
    """A search for one byte is a hundred times as fast as one for several, and most scripts have neither byte."""
    return (b"\xe2" in text and (_LINE_SEPARATOR in text or _PARAGRAPH_SEPARATOR in text)) or (
        b"\xc2" in text and _NEXT_LINE in text
    )


def _escaped(text: bytes) -> bytes:
    return _LINE_END.sub(lambda found: _LINE_ENDS[found[0]], text)


def pieces(text: str) -> Sequence[str]:
    """Cut a text so that no part takes more than `LONGEST_PIECE` bytes as JSON; an empty text is one part."""
    if len(text) * _LONGEST_CHARACTER <= LONGEST_PIECE or len(json_line(text)) <= LONGEST_PIECE:
        return (text,)
    middle = len(text) // 2
    return (*pieces(text[:middle]), *pieces(text[middle:]))
