from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.conversation.prompt import Item, function_call, function_call_output, message
from bridge.errors import ApiError, invalid_request
from bridge.openai.history import LONGEST_ID, settled, short_id, with_ids

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
    assert settled(items, (), "messages") == (items, False)


OTHER = function_call_output("c1", "something else")


@pytest.mark.parametrize(
    ("known", "new", "kept", "differs"),
    [
        ([], [CALL, OUT, OUT], [CALL, OUT], False),
        ([], [CALL, CALL2, OUT, OUT, OUT2, Q, OUT], [CALL, CALL2, OUT, OUT2, Q], False),
        ([], [CALL, OUT, OTHER, Q], [CALL, OUT, Q], True),
        ([], [CALL, CALL, OUT], [CALL, OUT], False),
        ([CALL, OUT], [OUT, Q], [Q], False),
        ([CALL, OUT], [Q, OTHER], [Q], True),
        ([CALL, OTHER, CALL, OUT], [OUT, Q], [Q], False),
        ([CALL, OUT, A, CALL2, OUT2], [Q, OUT], [Q], False),
    ],
)
def test_what_is_repeated_is_left_out_and_the_first_output_counts(
    known: list[Item], new: list[Item], kept: list[Item], differs: bool
) -> None:
    assert settled(new, known, "messages") == (kept, differs)


def test_calls_and_outputs_without_an_id_are_given_one_in_their_order() -> None:
    nameless = [(1, function_call("", "look", "{}")), (1, CALL), (2, function_call_output("", "seen")), (3, Q)]
    assert list(with_ids(nameless)) == [
        function_call("call_1_0", "look", "{}"),
        CALL,
        function_call_output("call_1_0", "seen"),
        Q,
    ]


NO_CALL = "There is no open tool call with the id 'c1' before this tool result."


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([OUT], NO_CALL),
        ([OUT, CALL], NO_CALL),
        ([CALL2, OUT, OUT2], NO_CALL),
        ([CALL, function_call("c1", "look", '{"at": 1}'), OUT], "Two tool calls have the id 'c1'."),
        ([CALL, CALL, Q], "Tool calls without a result: 'c1'."),
        ([CALL, Q], "Tool calls without a result: 'c1'."),
        ([CALL, CALL2], "Tool calls without a result: 'c1', 'c2'."),
        ([CALL, CALL2, OUT], "Tool calls without a result: 'c2'."),
    ],
)
def test_a_history_that_codex_would_mend_is_refused(items: list[Item], message: str) -> None:
    with pytest.raises(ApiError) as caught:
        settled(items, [CALL2, OUT2], "input")
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
