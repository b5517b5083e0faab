from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from bridge.conversation.events import Finished, ItemDone, ReasoningDelta, ReasoningPart, TextDelta, ToolCall, TurnEvent
from bridge.conversation.expected_history import Dialect, ExpectedHistory
from bridge.conversation.plan import advance
from bridge.conversation.prompt import Item, function_call, message
from bridge.conversation.tools import codex_name, codex_namespace
from bridge.openai.responses.object import ResponseFrame
from bridge.openai.responses.writers import ResponseWhole
from tests.bridge.conversation.turn_events import BOX, message_item, reasoning_item, search_item, sent_back, turns

CALL = ToolCall("c1", "look", "{}")
CALLED = function_call("c1", "look", "{}")


def expected(events: Sequence[TurnEvent], dialect: Dialect = "responses") -> list[Item]:
    """Return the expected history of events that are fed one by one."""
    collected = ExpectedHistory(BOX, dialect)
    for event in events:
        collected.feed([event])
    return collected.items()


@pytest.mark.parametrize(
    ("events", "responses", "chat"),
    [
        ([], [], [message("assistant", "")]),
        ([TextDelta("Hel"), TextDelta("lo"), message_item("Hello")], *[[message("assistant", "Hello")]] * 2),
        ([TextDelta("Hel")], *[[message("assistant", "Hel")]] * 2),
        (
            [TextDelta("a"), message_item("a"), TextDelta("b"), message_item("b")],
            [message("assistant", "a"), message("assistant", "b")],
            [message("assistant", "ab")],
        ),
        ([CALL], *[[CALLED]] * 2),
        (
            [CALL, TextDelta("a"), message_item("a")],
            [CALLED, message("assistant", "a")],
            [message("assistant", "a"), CALLED],
        ),
        (
            [ReasoningPart(), ReasoningDelta("Hm."), reasoning_item("Hm."), search_item(), TextDelta("a")],
            *[[message("assistant", "a")]] * 2,
        ),
        ([message_item("")], [], [message("assistant", "")]),
    ],
)
def test_the_expected_history_has_the_form_of_its_dialect(
    events: list[TurnEvent], responses: list[Item], chat: list[Item]
) -> None:
    assert (expected(events), expected(events, "chat")) == (responses, chat)


def test_expected_calls_have_codexs_names_and_arguments() -> None:
    calls = [
        ToolCall("c1", "edit", "+x", "custom", "web"),
        ToolCall("c2", "exec_command", "{}"),
        ToolCall("c3", "tool_search", '{"query": "x"}', "search"),
    ]
    assert expected(calls) == [
        function_call("c1", "edit", '{"input":"+x"}', codex_namespace("web")),
        function_call("c2", codex_name("exec_command"), "{}"),
        function_call("c3", "tool_search", '{"query": "x"}'),
    ]


@settings(deadline=None)
@given(turns())
def test_the_output_of_a_response_sent_back_is_the_expected_history(events: list[TurnEvent]) -> None:
    """With and without reasoning: it does not change the hash by which the thread is found."""
    for encrypted in (True, False):
        frame = replace(ResponseFrame("0123456789abcdef" * 2, 0, lambda: 0), encrypted=encrypted)
        output: list[Any] = json.loads(ResponseWhole(frame).feed(events))["output"]
        assert advance(b"", sent_back(output)) == advance(b"", expected(events))


def test_events_fed_together_or_one_by_one_give_the_same_history() -> None:
    events = [TextDelta("a"), message_item("a"), CALL, ItemDone({"type": "reasoning"}), Finished("tool_calls")]
    together = ExpectedHistory(BOX, "responses")
    together.feed(events)
    assert together.items() == expected(events)
