from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ApiError
from bridge.json_values import MOST_VALUES
from bridge.openai.responses.client_events import Create, Steer, read_client_event


def read(event: Any) -> Create | Steer:
    return read_client_event(json.dumps(event).encode())


def test_a_request_is_its_fields_without_those_of_the_frame() -> None:
    assert read({"type": "response.create", "model": "m", "input": "Hi."}) == Create({"model": "m", "input": "Hi."})
    assert read({"type": "response.create", "stream_id": "a", "stream": True}) == Create({"stream": True}, "a")


def test_steering_input_names_its_response() -> None:
    data = b'{"type": "response.steer", "previous_response_id": "r", "input": "x"}'
    assert read_client_event(data) == Steer("r", "x", len(data))


@pytest.mark.parametrize(
    ("event", "param", "code"),
    [
        ([], "body", "invalid_type"),
        ({}, "type", "missing_parameter"),
        ({"type": 7}, "type", "invalid_type"),
        ({"type": "response.cancel"}, "type", "invalid_value"),
        ({"type": "response.create", "stream_id": 7}, "stream_id", "invalid_type"),
        ({"type": "response.create", "stream_id": "x" * 257}, "stream_id", "invalid_value"),
        ({"type": "response.steer", "input": "x"}, "previous_response_id", "missing_parameter"),
    ],
)
def test_another_frame_is_refused_with_its_fault(event: Any, param: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        read(event)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)


def test_a_frame_of_too_many_values_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(ApiError) as caught:
        read_client_event(b'{"type":"response.create","input":[' + b"1," * MOST_VALUES + b"1]}")
    assert caught.value.code == "too_many_values"


@given(st.binary(max_size=40))
def test_garbage_gives_an_event_or_an_error_of_ours(data: bytes) -> None:
    with suppress(ApiError):
        read_client_event(data)
