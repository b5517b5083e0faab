"""Input that a client adds over a WebSocket to a response that the model still writes.

The input waits until the response has ended; then a successor answers it on the same thread. (Codex's `turn/steer` asks
the model at the same moment, but within the same turn, which would hide where the successor begins.) If the response
ends with calls, the input waits for the request that brings their results.

Source: the OpenAI API reference, "Responses client events", `response.steer`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, cast

from msgspec import Struct

from bridge.errors import ApiError, invalid_request
from bridge.openai.responses.client_events import Create, Steer
from bridge.openai.responses.input import input_values
from bridge.openai.responses.items import Message, read_input
from bridge.openai.responses.object import Object
from bridge.openai.responses.output import Event

MOST_PENDING = 16
"""Most steering inputs of one response."""

MOST_HELD = 32
"""Most responses whose steering input waits for results of calls."""

MOST_BYTES = 32 * 1024 * 1024
"""Most bytes of steering input that wait on one WebSocket."""

_OUTPUTS: Mapping[str, str] = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "tool_search_call": "tool_search_output",
}
"""The types of calls that the client answers, and of their results."""


class _Accepted(Struct, frozen=True):
    id: str
    input: Any
    items: Sequence[Object]
    size: int


class Steering:
    """The steering input of one WebSocket, of which one response runs at a time."""

    def __init__(self) -> None:
        self._ids = 0
        self._events = 0
        self._accepted: list[_Accepted] = []
        """The input for the running response."""
        self._held: OrderedDict[str, list[_Accepted]] = OrderedDict()
        """The input that waits for results of calls, by the id of the response that made them."""

    def take(self, steer: Steer, running: str | None) -> Event:
        """Accept or reject input; `running` is the id of the running response. Return the event that says so."""
        try:
            if steer.response_id != running:
                message = f"The response {steer.response_id!r} does not run on this WebSocket."
                raise invalid_request(message, code="response_not_active")
            waiting = chain(self._accepted, *self._held.values())
            if len(self._accepted) >= MOST_PENDING or sum(one.size for one in waiting) + steer.size > MOST_BYTES:
                message = f"At most {MOST_PENDING} steering inputs may wait for a response, and 32 MB on a WebSocket."
                raise invalid_request(message, code="too_many_pending_steers")
            items = _user_messages(steer.input)
        except ApiError as error:
            return self._failed(steer.response_id, {"input": steer.input}, error.code or "", error.message)
        self._ids += 1
        accepted = _Accepted(f"steer_{self._ids}", steer.input, items, steer.size)
        self._accepted.append(accepted)
        named = {"id": accepted.id, "previous_response_id": steer.response_id}
        return self._event("response.steer.accepted", steer=named)

    def settle(
        self, request: Create, response_id: str | None, response: Object | None
    ) -> tuple[list[Event], Create | None]:
        """Return the events for the input that a response leaves, and the request for its successor, if there is one.

        `response` is the response to `request` in its final state; None if it did not get so far.
        """
        accepted, self._accepted = self._accepted, []
        if not accepted:
            return [], None
        previous = response_id or ""
        if response is None or response["status"] not in {"completed", "incomplete"}:
            message = "The response failed, so there is nothing to continue."
            lost = ({"id": one.id, "input": one.input} for one in accepted)
            return [self._failed(previous, one, "successor_creation_failed", message) for one in lost], None
        required = list(_required(response["output"]))
        if not required:
            items = [item for one in accepted for item in one.items]
            return [], Create({**request.body, "input": items, "previous_response_id": previous}, request.stream_id)
        self._held[previous] = accepted
        if len(self._held) > MOST_HELD:
            self._held.popitem(last=False)
        named = ({"id": one.id, "previous_response_id": previous} for one in accepted)
        return [
            self._event(
                "response.steer.pending", steer=one, reason="waiting_for_required_input", required_input=required
            )
            for one in named
        ], None

    def with_held_input(self, request: Create) -> Create:
        """Return a request with the input that waited for it, placed after its results of calls."""
        previous = request.body.get("previous_response_id")
        held = self._held.pop(previous, None) if isinstance(previous, str) else None
        if held is None:
            return request
        items = [item for one in held for item in one.items]
        values = input_values(request.body.get("input"))
        place = next((n for n, value in enumerate(values) if not _is_result(value)), len(values))
        return Create({**request.body, "input": [*values[:place], *items, *values[place:]]}, request.stream_id)

    def _failed(self, previous: str, steer: Object, code: str, message: str) -> Event:
        error = {"type": "invalid_request_error", "code": code, "message": message}
        return self._event("response.steer.failed", steer={**steer, "previous_response_id": previous}, error=error)

    def _event(self, name: str, **fields: Any) -> Event:
        event = {"type": name, "sequence_number": self._events, **fields}
        self._events += 1
        return event


def _user_messages(given: Any) -> Sequence[Object]:
    """Return steering input as items.

    Raises:
        ApiError: 400 `invalid_input`, it is something else than messages of the user.
    """
    values = input_values(cast("str | list[Any]", given)) if isinstance(given, str | list) else []
    try:
        read = [one.item for one in read_input(values)]
    except ApiError as error:
        raise invalid_request(error.message, error.param, "invalid_input") from None
    if not read or not all(isinstance(item, Message) and item.role == "user" for item in read):
        raise invalid_request("Steering input must consist of messages of the user.", "input", "invalid_input")
    return cast("list[Object]", values)


def _required(output: Sequence[Object]) -> Iterator[Object]:
    for item in output:
        kind = item["type"]
        if kind == "function_call":
            yield {"type": _OUTPUTS[kind], "call_id": item["call_id"], "name": item["name"]}
        elif kind == "tool_search_call":
            yield {"type": _OUTPUTS[kind], "call_id": item["call_id"], "execution": "client"}
        elif kind in _OUTPUTS:
            yield {"type": _OUTPUTS[kind], "call_id": item["call_id"]}


def _is_result(value: Any) -> bool:
    return isinstance(value, dict) and cast("Object", value).get("type") in _OUTPUTS.values()
