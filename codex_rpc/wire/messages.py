"""Converts between a line on the wire and a message: JSON-RPC without its version field. Knows no method.

Source: `codex app-server generate-json-schema`, `JSONRPCMessage.json`.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias, cast

import orjson
from msgspec import Struct

from codex_rpc.errors import ProtocolError, UnsendableError

MAX_DEPTH = 100
"""codex's parser gives up at 128 levels and then never answers; the message around a value takes some of them."""

MALFORMED = -32603
"""The code that we give to an answer that cannot be read, so that its caller fails at once."""

RequestId: TypeAlias = int | str


class Request(Struct, frozen=True):
    """A call that must be answered."""

    id: RequestId
    method: str
    params: Any


class Notification(Struct, frozen=True):
    """A message that is not answered."""

    method: str
    params: Any


class Response(Struct, frozen=True):
    """The result of the call with this id."""

    id: RequestId
    result: Any


class ErrorResponse(Struct, frozen=True):
    """The failure of the call with this id."""

    id: RequestId
    code: int
    message: str
    data: Any = None


Message: TypeAlias = Request | Notification | Response | ErrorResponse


def decode(line: bytes) -> Message:
    """Read one line.

    Raises:
        ProtocolError: the line is not JSON or not a JSON-RPC message.
    """
    try:
        wire: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        wire = _decode_leniently(line, error)
    match wire:
        case {"method": str(method), "id": int() | str() as request_id}:
            return Request(request_id, method, wire.get("params"))
        case {"method": str(method)}:
            return Notification(method, wire.get("params"))
        case {"id": int() | str() as request_id, "error": {"code": int(code), "message": str(message)}}:
            return ErrorResponse(request_id, code, message, wire["error"].get("data"))
        case {"id": int() | str() as request_id, "result": result}:
            return Response(request_id, result)
        case {"id": int() | str() as request_id}:
            return ErrorResponse(request_id, MALFORMED, "the answer is neither a result nor an error")
        case _:
            raise ProtocolError("codex sent a line that is not a JSON-RPC message")


def _decode_leniently(line: bytes, refusal: orjson.JSONDecodeError) -> Any:
    """The standard library accepts numbers of any size, which codex passes on as the model wrote them."""
    try:
        value = json.loads(line)
        json.dumps(value, ensure_ascii=False).encode()  # rejects half a surrogate pair
    except (ValueError, RecursionError):
        raise ProtocolError(f"codex sent a line that is not JSON: {refusal}") from None
    return value


def encode(message: Message) -> bytes:
    """Write one line, newline included.

    Raises:
        UnsendableError: codex could not parse the line and would never answer it.
    """
    match message:
        case Request(request_id, method, params):
            wire: dict[str, Any] = {"id": request_id, "method": method, "params": params}
        case Notification(method, None):
            wire = {"method": method}
        case Notification(method, params):
            wire = {"method": method, "params": params}
        case Response(request_id, result):
            wire = {"id": request_id, "result": result}
        case ErrorResponse(request_id, code, text, data):
            wire = {"id": request_id, "error": {"code": code, "message": text, "data": data}}
    if is_deeper_than(wire, MAX_DEPTH):
        raise UnsendableError(f"the value is nested more than {MAX_DEPTH} levels deep")
    try:
        return orjson.dumps(wire, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError as error:  # orjson.JSONEncodeError is an alias of it
        raise UnsendableError(f"the value cannot be written as JSON: {error}") from None


def is_deeper_than(value: object, limit: int) -> bool:
    """Return whether objects and arrays are nested more than `limit` levels deep."""
    level = [value]
    for _ in range(limit):
        below: list[object] = []
        for one in level:
            if isinstance(one, dict):
                below.extend(cast("dict[str, object]", one).values())
            elif isinstance(one, list | tuple):
                below.extend(cast("list[object]", one))
        if not below:
            return False
        level = below
    return any(isinstance(one, dict | list | tuple) for one in level)
