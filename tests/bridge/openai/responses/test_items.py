from __future__ import annotations

from typing import Any

import pytest

from bridge.conversation.prompt import Item, function_call, function_call_output, message
from bridge.conversation.tools import Tool, Toolbox, codex_name
from bridge.errors import ApiError
from bridge.openai.history import short_id
from bridge.openai.responses.items import read_input
from bridge.openai.responses.object import ResponseFrame


def items(wire: list[Any]) -> list[Item]:
    return [item for one in read_input(wire) if (item := one.item.item(BOX)) is not None]


BOX = Toolbox((Tool.custom("patch", "", None), Tool.function("exec_command", "", {})))
EMPTY: dict[str, Any] = {}
NONE: list[Any] = []
LONG = "c" * 65
KEY = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("wire", "item"),
    [
        ({"role": "user", "content": "Hi."}, message("user", "Hi.")),
        ({"type": "message", "role": "system", "content": "Be."}, message("developer", "Be.")),
        ({"type": None, "role": "developer", "content": "Be."}, message("developer", "Be.")),
        (
            {"type": "message", "id": "m", "status": "completed", "role": "assistant", "content": "Hi."},
            message("assistant", "Hi."),
        ),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, function_call("c", "f", "{}")),
        (
            {"type": "function_call", "id": "fc", "call_id": LONG, "name": "exec_command", "arguments": "{}"},
            function_call(short_id(LONG), codex_name("exec_command"), "{}"),
        ),
        (
            {"type": "function_call", "call_id": "c", "name": "patch", "arguments": "+x"},
            function_call("c", "patch", '{"input":"+x"}'),
        ),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "+x"},
            function_call("c", "patch", '{"input":"+x"}'),
        ),
        ({"type": "function_call_output", "call_id": LONG, "output": "x"}, function_call_output(short_id(LONG), "x")),
        (
            {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "output_text", "text": "x"}]},
            function_call_output("c", [{"type": "input_text", "text": "x"}]),
        ),
        ({"type": "function_call_output", "call_id": "c"}, function_call_output("c", "")),
        (
            {
                "type": "reasoning",
                "id": "r",
                "encrypted_content": "e",
                "summary": [{"text": "s", "x": 1}],
                "status": "completed",
            },
            {
                "type": "reasoning",
                "id": "r",
                "encrypted_content": "e",
                "summary": [{"type": "summary_text", "text": "s"}],
            },
        ),
    ],
)
def test_an_item_becomes_one_that_codex_takes(wire: dict[str, Any], item: Item) -> None:
    assert items([wire]) == [item]


def test_reasoning_goes_back_under_the_upstreams_own_id() -> None:
    """The upstream has bound what it encrypted to the item's id."""
    frame = ResponseFrame(KEY, 0, lambda: 0)
    given = ["rs_68b5f0", frame.item_id("rs", "rs_68b5f0"), frame.item_id("rs", "item_7"), frame.item_id("rs", 3), None]
    wire = [{"type": "reasoning", "id": one, "encrypted_content": "e"} for one in given]
    ids = [item.get("id") for item in items(wire)]
    assert ids == ["rs_68b5f0", "rs_68b5f0", "item_7", None, None]


@pytest.mark.parametrize("fields", [{"id": "rs_1"}, {"encrypted_content": None}, {"encrypted_content": ""}])
def test_reasoning_that_cannot_be_read_again_is_left_out(fields: dict[str, Any]) -> None:
    wire = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}], **fields}
    assert items([wire, {"role": "user", "content": "Hi."}]) == [message("user", "Hi.")]


@pytest.mark.parametrize(
    "fields", [{"content": []}, {"content": None}, {}, {"content": [], "phase": "commentary"}], ids=str
)
def test_an_assistant_item_without_content_leaves_no_trace(fields: dict[str, Any]) -> None:
    said = {"type": "message", "role": "assistant", "id": "msg_1", "status": "incomplete", **fields}
    assert items([{"role": "user", "content": "a"}, said]) == [message("user", "a")]


AGENT_ITEMS: list[dict[str, Any]] = [
    {
        "type": "mcp_call",
        "id": "mcp_1",
        "status": "completed",
        "server_label": "codex",
        "name": "shell",
        "arguments": "{}",
        "output": "a",
        "error": None,
        "approval_request_id": None,
    },
    {
        "type": "mcp_call",
        "server_label": "s",
        "name": "n",
        "arguments": "{}",
        "error": {"type": "mcp_tool_execution_error", "content": []},
    },
    {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "codex", "tools": [], "error": "none"},
    {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "codex", "name": "shell", "arguments": "{}"},
    {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": False, "reason": "no"},
]


@pytest.mark.parametrize("wire", AGENT_ITEMS, ids=str)
def test_what_an_agent_has_done_is_accepted_and_not_shown_to_the_model(wire: dict[str, Any]) -> None:
    (read,) = read_input([wire])

    assert read.item.item(BOX) is None
    assert read.lost == []


def test_items_keep_their_order() -> None:
    texts = [{"role": "user", "content": text} for text in "abc"]
    assert items(texts) == [message("user", text) for text in "abc"]


@pytest.mark.parametrize(
    ("value", "param", "code"),
    [
        ([{"role": "user", "content": "Hi."}, "Hi."], "input[1]", "invalid_type"),
        ([EMPTY], "input[0].role", "missing_parameter"),
        ([{"role": "tool", "content": "x"}], "input[0].role", "invalid_value"),
        ([{"role": "user", "content": [{"type": "video"}]}], "input[0].content[0].type", "invalid_value"),
        ([{"type": "function_call", "name": "f", "arguments": "{}"}], "input[0].call_id", "missing_parameter"),
        ([{"type": "function_call", "call_id": "c", "arguments": "{}"}], "input[0].name", "missing_parameter"),
        (
            [{"type": "function_call", "call_id": "c", "name": "f", "arguments": EMPTY}],
            "input[0].arguments",
            "invalid_type",
        ),
        ([{"type": "custom_tool_call", "call_id": "c", "name": "f"}], "input[0].input", "missing_parameter"),
        ([{"type": "function_call_output", "output": "x"}], "input[0].call_id", "missing_parameter"),
        ([{"type": "function_call_output", "call_id": "c", "output": 5}], "input[0].output", "invalid_type"),
        ([{"role": "user", "content": None}], "input[0].content", "missing_content"),
        ([{"role": "user", "content": NONE}], "input[0].content", "missing_content"),
        ([{"role": "system"}], "input[0].content", "missing_content"),
        ([{"type": "reasoning", "encrypted_content": 5}], "input[0].encrypted_content", "invalid_type"),
        ([{"type": "reasoning", "encrypted_content": "e", "id": 5}], "input[0].id", "invalid_type"),
        ([{"type": "reasoning", "summary": "s"}], "input[0].summary", "invalid_type"),
        ([{"type": "reasoning", "summary": [EMPTY]}], "input[0].summary[0].text", "missing_parameter"),
        ([{"type": "mcp_approval_response", "approve": True}], "input[0].approval_request_id", "missing_parameter"),
        (
            [{"type": "mcp_approval_response", "approval_request_id": "a", "approve": 1}],
            "input[0].approve",
            "invalid_type",
        ),
        ([{"type": "item_reference", "id": "x"}], "input[0].type", "unsupported_content"),
        ([{"type": 5}], "input[0].type", "unsupported_content"),
    ],
)
def test_what_is_wrong_is_named(value: Any, param: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        items(value)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)
