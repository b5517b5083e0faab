"""JSON bodies as values that codex can be given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn, cast

import orjson

from bridge.errors import invalid_request

DEEPEST = 128
"""Objects and arrays inside each other. Codex takes fewer; what it is given is checked once more when it is written."""

LONGEST = 20_000
"""Values in one array. So many messages are a second's work, and beyond every context."""

_NESTED = (dict, list)
"""The types of values with others inside. (A test of the exact type is three times as fast as `isinstance`.)"""


def decode_json(body: bytes) -> Any:
    """Decode a body; half of a surrogate pair, as cutting a string in JavaScript leaves it, becomes U+FFFD.

    Raises:
        ApiError: 400, it is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        reason = str(error)
    try:
        lenient = json.loads(body, parse_constant=_refuse)
        text = json.dumps(lenient, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return orjson.loads(text)
    except (ValueError, RecursionError):
        raise invalid_request(f"The request body is not valid JSON: {reason}.", code="invalid_json") from None


def json_object(text: str) -> Mapping[str, Any]:
    """Return the object that a text is as JSON; an empty one if it is none."""
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def is_deeper_than(value: object, levels: int) -> bool:
    """Tell whether more objects and arrays than `levels` stand inside each other."""
    match value:
        case dict():
            inner = list(cast("dict[str, object]", value).values())
        case list():
            inner = cast("list[object]", value)
        case _:
            return False
    return levels == 0 or any(is_deeper_than(one, levels - 1) for one in inner)


def check_size(value: object) -> None:
    """Look at a part of the body level by level, so that no depth is too much for the looking.

    Raises:
        ApiError: 400, it is nested too deeply, or has too long an array.
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
                    message = f"The request body has an array of {len(many)} values; {LONGEST} are the most."
                    raise invalid_request(message, code="too_many_values")
                below += [inner for inner in many if type(inner) in _NESTED]
        if not below:
            return
        level = below
    message = f"The request body nests more than {DEEPEST} objects and arrays inside each other."
    raise invalid_request(message, code="too_deep")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
