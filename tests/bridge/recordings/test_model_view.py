from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bridge.conversation.prompt import Item, Prompt, function_call, function_call_output, message
from bridge.conversation.thread_params import thread_start_params
from bridge.conversation.tools import Tool, Toolbox
from bridge.recordings import model_view as seen
from bridge.recordings.model_view import Difference, first_difference
from codex_rpc.recording.steps import ModelView

LOOK = Tool.function("look", "Looks.", {"type": "object", "properties": {}})
FAR = Tool.function("far", "Looks far.", {"type": "object", "properties": {}}).in_namespace("eyes", "All eyes.")
BOX = Toolbox((LOOK, FAR), {"mode": "live", "search_context_size": "low"})
HISTORY = (
    message("developer", "Be brief."),
    message("user", "Look around."),
    message("assistant", "I look.  "),
    function_call("c1", "look", '{"a": 1, "b": 2}'),
    function_call("c2", "far", "{}", "eyes"),
    function_call_output("c1", "a tree"),
    function_call_output("c2", [{"type": "input_text", "text": "a hill"}]),
    message("user", "And now?"),
)


def prompt(**fields: Any) -> Prompt:
    return replace(Prompt("m", HISTORY, BOX), **fields)


def view(of: Prompt, *items: Any) -> ModelView:
    turn = {} if of.schema is None else {"outputSchema": of.schema}
    return ModelView(thread_start_params(of, "/cwd"), turn, items)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"toolbox": Toolbox((LOOK, FAR))},
        {"effort": "high", "tier": "priority", "summary": "auto", "verbosity": "low"},
        {"schema": {"type": "object"}},
    ],
)
def test_a_prompt_and_the_thread_that_carries_it_look_alike(fields: dict[str, Any]) -> None:
    asked = prompt(**fields)
    assert seen.of_view(view(asked, *asked.items)) == seen.of_prompt(asked)


def test_a_thread_that_lived_looks_like_its_history_told_anew() -> None:
    lived: tuple[Item, ...] = (
        *HISTORY[:2],
        {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "secret"},
        {"type": "message", "id": "m1", "role": "assistant", "content": [{"type": "output_text", "text": "I "}]},
        {"type": "message", "id": "m2", "role": "assistant", "content": [{"type": "output_text", "text": "look."}]},
        function_call("x", "undeclared", "{}", "functions"),
        function_call_output("x", "there is no such tool"),
        function_call("c1", "look", namespace="functions", arguments='{"b":2,"a":1}'),
        function_call("c2", "far", "{ }", "eyes"),
        function_call_output("c2", [{"type": "input_text", "text": "a hill"}]),
        function_call_output("c1", [{"type": "input_text", "text": "a tree"}]),
        HISTORY[-1],
    )
    one, other = seen.of_view(view(prompt(), *lived)), seen.of_prompt(prompt())
    assert one == other
    assert seen.key(one) == seen.key(other)


def test_notes_come_first() -> None:
    asked = prompt(items=(message("user", "hi"),), format_note="Answer in JSON.", choice_note="Call a tool.")
    notes = (message("developer", note) for note in asked.notes)
    assert seen.of_prompt(asked) == seen.of_view(view(asked, *notes, *asked.items))


def test_how_the_model_is_run_matters_unless_it_is_not_to() -> None:
    one, other = seen.of_prompt(prompt()), seen.of_prompt(prompt(model="n", effort="high", tier="t", verbosity="low"))
    assert seen.key(one) != seen.key(other)
    assert seen.key(one, settings=False) == seen.key(other, settings=False)
    assert seen.key(one, settings=False) != seen.key(seen.of_prompt(prompt(toolbox=Toolbox())), settings=False)


def test_arguments_that_are_no_json_are_compared_as_the_text_that_they_are() -> None:
    asked = prompt(items=(function_call("c", "look", "{"),))
    assert seen.of_prompt(asked)["items"] == [{"answer": "", "calls": [{"id": "c", "name": "look", "arguments": "{"}]}]


def test_an_item_of_another_kind_is_taken_as_it_is_without_its_id() -> None:
    asked = prompt(items=({"type": "new", "id": "n", "status": "done", "x": 1},))
    assert seen.of_prompt(asked)["items"] == [{"type": "new", "x": 1}]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, None),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, Difference("a[1].b", "2", "3")),
        ({"a": [1]}, {"a": [1, 2]}, Difference("a[1]", "(nothing)", "2")),
        ({"a": 1}, {"b": 1}, Difference("a", "1", "(nothing)")),
        ({"a": "x" * 300 + "y"}, {"a": "x" * 300 + "z"}, Difference("a", f'"…{"x" * 30}y"', f'"…{"x" * 30}z"')),
        ({"a": {"b": "c" * 300}}, {"a": 1}, Difference("a", '{"b":"' + "c" * 114 + "…", "1")),
        ("abc", "abcd", Difference("", '"abc"', '"abcd"')),
    ],
)
def test_the_first_difference_is_shown_from_where_it_begins(one: Any, other: Any, expected: Difference | None) -> None:
    assert first_difference(one, other) == expected


def test_common_items_are_counted_from_the_beginning() -> None:
    one = seen.of_prompt(prompt())
    assert seen.common_items(one, one) == len(one["items"])
    assert seen.common_items(one, seen.of_prompt(prompt(items=HISTORY[:1]))) == 1
    assert seen.common_items(one, seen.of_prompt(prompt(items=HISTORY[1:]))) == 0
