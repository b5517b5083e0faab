"""Reads the events that a client sends over a WebSocket.

Source: the OpenAI API reference, "Responses client events"; the Open Responses specification, "WebSocket Transport".
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct

from bridge.errors import invalid_request
from bridge.json_values import check_size, count_values, decode_json
from bridge.openai.shapes import Shape, body_object, decode

LONGEST_STREAM_ID = 256
"""Most characters of a `stream_id`, which every event of its response repeats."""


class _Event(Shape, frozen=True):
    type: str
    stream_id: Annotated[str, Meta(max_length=LONGEST_STREAM_ID)] | None = None


class _SteerFields(Shape, frozen=True):
    previous_response_id: str
    input: Any = None


class Create(Struct, frozen=True):
    """A request for a response; `body` is as the body of `POST /responses`."""

    body: dict[str, Any]
    stream_id: str | None = None
    """The client's name for a conversation; every event of the response repeats it."""


class Steer(Struct, frozen=True):
    """More input for the response that is being generated."""

    response_id: str
    input: Any
    size: int
    """Bytes of its frame."""


ClientEvent: TypeAlias = Create | Steer


def read_client_event(data: bytes) -> ClientEvent:
    """Read one frame.

    Raises:
        ApiError: 400, `param` names the field.
    """
    for _ in count_values(data):
        pass  # at most 16 MB, whose values are counted in some hundredths of a second
    raw = body_object(decode_json(data))
    check_size(raw)  # steering input is sent back, and JSON that is nested deeper cannot be encoded
    event = decode(raw, _Event)
    match event.type:
        case "response.create":
            return Create({name: raw[name] for name in raw if name not in {"type", "stream_id"}}, event.stream_id)
        case "response.steer":
            steer = decode(raw, _SteerFields)
            return Steer(steer.previous_response_id, steer.input, len(data))
        case unknown:
            message = f"Unknown event {unknown!r}; send 'response.create'."
            raise invalid_request(message, "type", "invalid_value")
