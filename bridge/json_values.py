"""Decodes JSON request bodies into values that can be passed to codex."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, cast

import orjson

from bridge.errors import ApiError, invalid_request, too_many_values

DEEPEST = 128
"""Largest nesting depth of objects and arrays. Codex accepts less; its input is checked again when it is written."""

LONGEST = 10_000
"""Largest array, in values. That many messages exceed every context window, and take a fifth of a second to read, in
which nothing else runs."""

MOST_VALUES = 150_000
"""Most members of arrays and objects in a body. Decoding that many takes some hundredths of a second, in which nothing
else runs; the largest conversations have a fraction of it."""

COUNTED = 64 * 1024
"""Bytes of a text whose values are counted at once."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

_NESTED = (dict, list)
"""The types of values with others inside. (A test of the exact type is three times as fast as `isinstance`.)"""


class ValueCounter:
    """Counts the members of all arrays and objects of a JSON text that comes in pieces, without decoding it."""

    def __init__(self) -> None:
        self.count = 0
        """The members so far; an empty array or object counts as one more."""
        self._in_string = False
        self._escape = b""
        """A backslash at the end of the last piece, which belongs to the next character."""

    def feed(self, piece: bytes) -> None:
        """Count the members in the next piece; invalid JSON gives any number."""
        piece = (self._escape + piece).replace(rb"\\", b"")
        self._escape = b"\\" if piece.endswith(b"\\") else b""
        parts = piece.removesuffix(b"\\").replace(rb"\"", b"").split(b'"')
        outside = b"".join(parts[int(self._in_string) :: 2])
        self.count += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        self._in_string ^= len(parts) % 2 == 0


def count_values(body: bytes | bytearray) -> Iterator[None]:
    """Check the number of values in a JSON text before it is decoded; yield after each part, for other work.

    Raises:
        ApiError: 400, there are more than `MOST_VALUES`.
    """
    if len(body) <= 2 * MOST_VALUES:
        return  # a value and its comma take two bytes
    counter = ValueCounter()
    for start in range(0, len(body), COUNTED):
        counter.feed(bytes(body[start : start + COUNTED]))
        if counter.count > MOST_VALUES:
            raise too_many_values(MOST_VALUES)
        yield


def decode_json(body: bytes | bytearray) -> Any:
    """Decode a body; an unpaired surrogate, which JavaScript leaves when it cuts a string, becomes U+FFFD.

    Raises:
        ApiError: 400, the body is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        reason = str(error)
    if not _SURROGATE.search(body):
        raise _invalid_json(reason)
    try:
        lenient = json.loads(body, parse_constant=_reject_constant)
        text = json.dumps(lenient, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return orjson.loads(text)
    except (ValueError, RecursionError):
        raise _invalid_json(reason) from None


def json_object(text: str) -> Mapping[str, Any]:
    """Parse a text as a JSON object; return an empty one if it is not."""
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def is_deeper_than(value: object, levels: int) -> bool:
    """Return whether objects and arrays are nested more than `levels` deep."""
    if isinstance(value, dict):
        inner = cast("dict[str, object]", value).values()
    elif isinstance(value, list):
        inner = cast("list[object]", value)
    else:
        return False
    return levels == 0 or any(is_deeper_than(one, levels - 1) for one in inner if type(one) in _NESTED)


def check_size(value: object) -> None:
    """Check nesting depth and array lengths of a part of the body, without recursion.

    Raises:
        ApiError: 400, it is nested too deeply, or an array is too long.
    """
    level = [value]
    for _ in range(DEEPEST):
        below: list[object] = []
        for one in level:
            if isinstance(one, dict):
                below += [inner for inner in cast("dict[str, object]", one).values() if type(inner) in _NESTED]
            elif isinstance(one, list):
                many = cast("list[object]", one)
                if len(many) > LONGEST:
                    message = f"The request body has an array of {len(many)} values; the limit is {LONGEST}."
                    raise invalid_request(message, code="too_many_values")
                below += [inner for inner in many if type(inner) in _NESTED]
        if not below:
            return
        level = below
    message = f"The request body nests objects and arrays more than {DEEPEST} levels deep."
    raise invalid_request(message, code="too_deep")


def memory_of(values: Sequence[object]) -> int:
    """Return about how many bytes JSON values hold in memory. Keys of objects are not counted: decoders share them."""
    total, level = sys.getsizeof(values), list(values)
    while level:
        total += sum(map(sys.getsizeof, level))
        below: list[object] = []
        for one in level:
            if isinstance(one, dict):
                below += cast("dict[str, object]", one).values()
            elif isinstance(one, list | tuple):
                below += cast("list[object]", one)
        level = below
    return total


def _invalid_json(reason: str) -> ApiError:
    return invalid_request(f"The request body is not valid JSON: {reason}.", code="invalid_json")


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
