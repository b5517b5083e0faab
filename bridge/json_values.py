"""Decodes JSON request bodies into values that can be passed to codex."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn, cast

import orjson

from bridge.errors import invalid_request

DEEPEST = 128
"""Largest nesting depth of objects and arrays. Codex accepts less; its input is checked again when it is written."""

LONGEST = 20_000
"""Largest array, in values. That many messages take a second to process and exceed every context window."""

_NESTED = (dict, list)
"""The types of values with others inside. (A test of the exact type is three times as fast as `isinstance`.)"""


def decode_json(body: bytes) -> Any:
    """Decode a body; an unpaired surrogate, which JavaScript leaves when it cuts a string, becomes U+FFFD.

    Raises:
        ApiError: 400, the body is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        reason = str(error)
    try:
        lenient = json.loads(body, parse_constant=_reject_constant)
        text = json.dumps(lenient, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return orjson.loads(text)
    except (ValueError, RecursionError):
        raise invalid_request(f"The request body is not valid JSON: {reason}.", code="invalid_json") from None


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


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
