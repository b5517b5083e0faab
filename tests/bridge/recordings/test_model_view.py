from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bridge.conversation.prompt import Item, Prompt, function_call, function_call_output, message
from bridge.conversation.thread_params import thread_start_params
from bridge.conversation.tools import Tool, Toolbox
from bridge.recordings import model_view
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


def thread_view(of: Prompt, *items: Any) -> ModelView:
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
def test_a_prompt_and_its_thread_have_the_same_model_view(fields: dict[str, Any]) -> None:
    wanted = prompt(**fields)
    assert model_view.of_view(thread_view(wanted, *wanted.items)) == model_view.of_prompt(wanted)


def test_a_continued_thread_and_its_history_in_one_request_have_the_same_model_view() -> None:
    continued: tuple[Item, ...] = (
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
    one, other = model_view.of_view(thread_view(prompt(), *continued)), model_view.of_prompt(prompt())
    assert one == other
    assert model_view.key(one) == model_view.key(other)


def test_notes_come_first() -> None:
    wanted = prompt(items=(message("user", "hi"),), format_note="Answer in JSON.", choice_note="Call a tool.")
    notes = (message("developer", note) for note in wanted.notes)
    assert model_view.of_prompt(wanted) == model_view.of_view(thread_view(wanted, *notes, *wanted.items))


def test_the_key_depends_on_the_settings_unless_they_are_excluded() -> None:
    one, other = (
        model_view.of_prompt(prompt()),
        model_view.of_prompt(prompt(model="n", effort="high", tier="t", verbosity="low")),
    )
    assert model_view.key(one) != model_view.key(other)
    assert model_view.key(one, settings=False) == model_view.key(other, settings=False)
    assert model_view.key(one, settings=False) != model_view.key(
        model_view.of_prompt(prompt(toolbox=Toolbox())), settings=False
    )


def test_arguments_that_are_not_json_are_compared_as_text() -> None:
    wanted = prompt(items=(function_call("c", "look", "{"),))
    assert model_view.of_prompt(wanted)["items"] == [
        {"answer": "", "calls": [{"id": "c", "name": "look", "arguments": "{"}]}
    ]


def test_an_item_of_another_kind_is_kept_without_its_id_and_status() -> None:
    wanted = prompt(items=({"type": "new", "id": "n", "status": "done", "x": 1},))
    assert model_view.of_prompt(wanted)["items"] == [{"type": "new", "x": 1}]


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
    one = model_view.of_prompt(prompt())
    assert model_view.common_items(one, one) == len(one["items"])
    assert model_view.common_items(one, model_view.of_prompt(prompt(items=HISTORY[:1]))) == 1
    assert model_view.common_items(one, model_view.of_prompt(prompt(items=HISTORY[1:]))) == 0
