from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.conversation.prompt import Item, function_call, function_call_output, message
from bridge.errors import ApiError, invalid_request
from bridge.openai.history import LONGEST_ID, check_calls, short_id

Q, A = message("user", "Go."), message("assistant", "Done.")
CALL, CALL2 = (function_call(name, "look", "{}") for name in ("c1", "c2"))
OUT, OUT2 = (function_call_output(name, "seen") for name in ("c1", "c2"))


@pytest.mark.parametrize(
    "items",
    [
        [],
        [Q, A, Q],
        [Q, CALL, OUT, A],
        [CALL, CALL2, OUT2, OUT],
        [CALL, OUT, CALL2, OUT2],
        [CALL, Q, OUT],
        [CALL, OUT, CALL, OUT],
    ],
)
def test_calls_with_one_output_behind_each_are_accepted(items: list[Item]) -> None:
    check_calls(items, "messages")


NO_CALL = "There is no open tool call with the id 'c1' before this tool result."


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([OUT], NO_CALL),
        ([OUT, CALL], NO_CALL),
        ([CALL, OUT, OUT], NO_CALL),
        ([CALL2, OUT, OUT2], NO_CALL),
        ([CALL, CALL, OUT], "Two tool calls have the id 'c1'."),
        ([CALL, Q], "Tool calls without a result: 'c1'."),
        ([CALL, CALL2], "Tool calls without a result: 'c1', 'c2'."),
        ([CALL, CALL2, OUT], "Tool calls without a result: 'c2'."),
    ],
)
def test_a_history_that_codex_would_mend_is_refused(items: list[Item], message: str) -> None:
    with pytest.raises(ApiError) as caught:
        check_calls(items, "input")
    assert asdict(caught.value) == asdict(invalid_request(message, "input", "invalid_value"))


@given(st.text(max_size=100), st.text(max_size=100))
@settings(deadline=None)
def test_an_id_is_as_short_as_the_upstream_wants_it_and_no_two_become_one(one: str, other: str) -> None:
    for name in (one, one + "x" * 64):
        assert len(short_id(name)) <= LONGEST_ID
        assert (short_id(name) == name) == (len(name) <= LONGEST_ID)
        assert short_id(short_id(name)) == short_id(name)
        assert (short_id(name) == short_id(other)) == (name == other)


def test_a_long_id_is_shortened_alike_in_every_run() -> None:
    assert short_id("x" * 64) == "x" * 64
    assert short_id("x" * 65) == "call_c65cc1fb3d5a25c8a59454831f10b91cd7ff1c74"
