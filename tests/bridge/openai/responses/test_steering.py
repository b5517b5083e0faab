from __future__ import annotations

from typing import Any

import pytest

from bridge.openai.responses import steering
from bridge.openai.responses.client_events import Create, Steer
from bridge.openai.responses.steering import MOST_HELD, MOST_PENDING, Steering

REQUEST = Create({"model": "m", "input": "Hi.", "store": False}, "lane")
FRENCH = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "In French."}]}
CALLS: list[dict[str, Any]] = [
    {"type": "function_call", "call_id": "c1", "name": "look"},
    {"type": "custom_tool_call", "call_id": "c2", "name": "edit"},
    {"type": "tool_search_call", "call_id": "c3"},
]


def steer(text: str = "In French.", response_id: str = "r", size: int = 1) -> Steer:
    return Steer(response_id, text, size)


def response(status: str = "completed", output: Any = ()) -> dict[str, Any]:
    return {"id": "r", "status": status, "output": [{"type": "message"}, *output]}


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_a_successor_has_the_settings_of_the_response_and_all_steering_input(status: str) -> None:
    some = Steering()
    assert [some.take(steer(), "r")["type"] for _ in range(2)] == ["response.steer.accepted"] * 2
    events, successor = some.settle(REQUEST, "r", response(status))
    assert events == []
    assert successor == Create(
        {"model": "m", "store": False, "input": [FRENCH, FRENCH], "previous_response_id": "r"}, "lane"
    )
    assert some.settle(REQUEST, "r", response()) == ([], None)


def test_input_that_waits_for_results_of_calls_is_placed_after_them() -> None:
    some = Steering()
    some.take(steer(), "r")
    [pending], successor = some.settle(REQUEST, "r", response(output=CALLS))
    assert successor is None
    assert pending["required_input"] == [
        {"type": "function_call_output", "call_id": "c1", "name": "look"},
        {"type": "custom_tool_call_output", "call_id": "c2"},
        {"type": "tool_search_output", "call_id": "c3", "execution": "client"},
    ]
    results = [{"type": one["type"], "call_id": one["call_id"]} for one in pending["required_input"]]
    other = Create({"input": "x", "previous_response_id": "other"})
    assert some.with_held_input(other) is other
    asked = Create({"input": [*results, {"role": "user", "content": "More."}], "previous_response_id": "r"})
    assert some.with_held_input(asked).body["input"] == [*results, FRENCH, {"role": "user", "content": "More."}]
    assert some.with_held_input(asked) is asked


@pytest.mark.parametrize("end", [None, response("failed"), response("cancelled")])
def test_input_is_given_back_when_there_is_nothing_to_continue(end: dict[str, Any] | None) -> None:
    some = Steering()
    some.take(steer(), "r")
    [failed], successor = some.settle(REQUEST, "r", end)
    assert successor is None
    assert failed["error"]["code"] == "successor_creation_failed"
    assert failed["steer"] == {"id": "steer_1", "input": "In French.", "previous_response_id": "r"}


def test_input_for_another_response_or_too_much_of_it_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    some = Steering()
    codes = [some.take(steer(), running).get("error", {}).get("code") for running in ("other", None)]
    assert codes == ["response_not_active"] * 2
    taken = [some.take(steer(), "r").get("error", {}).get("code") for _ in range(MOST_PENDING + 1)]
    assert taken == [None] * MOST_PENDING + ["too_many_pending_steers"]
    monkeypatch.setattr(steering, "MOST_BYTES", 10)
    other = Steering()
    assert [other.take(steer(size=size), "r")["type"].rpartition(".")[2] for size in (8, 3, 2)] == [
        "accepted",
        "failed",
        "accepted",
    ]


def test_input_that_waited_longest_for_results_is_dropped_first() -> None:
    some = Steering()
    for number in range(MOST_HELD + 1):
        some.take(steer(response_id=f"r{number}"), f"r{number}")
        some.settle(REQUEST, f"r{number}", response(output=CALLS[:1]))
    first, second = (Create({"previous_response_id": f"r{number}"}) for number in range(2))
    assert some.with_held_input(first) is first
    assert some.with_held_input(second) is not second


def test_events_are_numbered() -> None:
    some = Steering()
    assert [some.take(steer(), "r")["sequence_number"] for _ in range(3)] == [0, 1, 2]
