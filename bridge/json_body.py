"""JSON bodies as values that codex can be given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn, cast

import orjson

from bridge.errors import invalid_request


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


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
