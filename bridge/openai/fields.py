"""Reads fields of a JSON body, naming what is wrong and where. Knows no dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar, cast

from bridge.errors import ApiError, invalid_request

Object: TypeAlias = Mapping[str, Any]
T = TypeVar("T")

_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "an integer",
    bool: "a boolean",
    dict: "an object",
    list: "an array",
    float: "a number",
    type(None): "null",
}


def wrong_type(value: object, wanted: str, where: str) -> ApiError:
    """The error for a value of another type than `wanted`, at the path `where`."""
    found = _NAMES.get(type(value), type(value).__name__)
    return invalid_request(f"Invalid type for '{where}': expected {wanted}, got {found}.", where, "invalid_type")


def expect(value: object, kind: type[T], where: str) -> T:
    """Return `value` if it is of the kind.

    Raises:
        ApiError: 400 naming `where` and both types.
    """
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise wrong_type(value, _NAMES[kind], where)


def expect_object(value: object, where: str) -> Object:
    """Return `value` if it is an object.

    Raises:
        ApiError: 400 naming `where`.
    """
    return cast("Object", expect(value, dict, where))


def optional_object(body: Object, name: str) -> Object:
    """Return the field, empty if it is missing or null.

    Raises:
        ApiError: 400, it is no object.
    """
    return cast("Object", optional(body, name, dict) or {})


def optional(body: Object, name: str, kind: type[T], where: str = "") -> T | None:
    """Return the field if it is there and not null.

    Raises:
        ApiError: 400, it has another type.
    """
    value = body.get(name)
    return None if value is None else expect(value, kind, where or name)


def required_list(body: Object, name: str) -> list[Any]:
    """Return the field.

    Raises:
        ApiError: 400, it is missing or no array.
    """
    return cast("list[Any]", required(body, name, list))


def required(body: Object, name: str, kind: type[T], where: str = "") -> T:
    """Return the field.

    Raises:
        ApiError: 400, it is missing or has another type.
    """
    if name not in body:
        raise invalid_request(f"Missing required parameter: '{where or name}'.", where or name, "missing_parameter")
    return expect(body[name], kind, where or name)
