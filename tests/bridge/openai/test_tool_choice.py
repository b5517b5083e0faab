from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.conversation.tools import Tool, Toolbox
from bridge.errors import ApiError
from bridge.openai.model_settings import SharedFields
from bridge.openai.shapes import decode
from bridge.openai.tool_choice import ToolChoice, read_tool_choice

LOOK = Tool.function("look", "Looks.", {})
PATCH = Tool.custom("ApplyPatch", "Edits.", None)
BOX = Toolbox((LOOK, PATCH))
READ, WRITE = (Tool.function(name, "", {}).in_namespace("files", "") for name in ("read", "write"))
FIND = Tool.search("Finds.", {})
FULL = Toolbox((LOOK, READ, WRITE, PATCH, FIND), {"mode": "live"})


def parse_tool_choice(value: object, box: Toolbox) -> ToolChoice:
    return read_tool_choice(decode({"model": "", "tool_choice": value}, SharedFields).tool_choice, box)


def allowed(*tools: Any, mode: str = "auto") -> dict[str, Any]:
    return {"type": "allowed_tools", "mode": mode, "tools": [*tools]}


def nested_allowed(*tools: Any, mode: str = "auto") -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [*tools]}}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (allowed({"type": "function", "name": "look"}), ToolChoice(Toolbox((LOOK,)))),
        (nested_allowed({"type": "function", "function": {"name": "look"}}), ToolChoice(Toolbox((LOOK,)))),
        (nested_allowed({"name": "ApplyPatch"}, {"name": "look"}), ToolChoice(BOX)),
        (allowed({"type": "custom", "custom": {"name": "ApplyPatch"}}), ToolChoice(Toolbox((PATCH,)))),
        (allowed({"name": "look"}, mode="required"), ToolChoice(Toolbox((LOOK,)), "required")),
        (allowed({"type": "namespace", "name": "files"}), ToolChoice(Toolbox((READ, WRITE)))),
        (allowed({"type": "web_search_2025_08_26"}), ToolChoice(Toolbox((), {"mode": "live"}))),
        (allowed({"type": "tool_search"}, {"name": "read"}), ToolChoice(Toolbox((READ, FIND)))),
        (allowed({"name": "look"}, mode="none"), ToolChoice(Toolbox())),
        ({"type": "allowed_tools", "tools": []}, ToolChoice(Toolbox())),
    ],
    ids=str,
)
def test_only_the_tools_that_are_allowed_are_declared(choice: dict[str, Any], expected: ToolChoice) -> None:
    assert parse_tool_choice(choice, FULL) == expected


@pytest.mark.parametrize(
    ("value", "choice"),
    [
        (None, ToolChoice(BOX)),
        ("auto", ToolChoice(BOX)),
        ("none", ToolChoice(Toolbox())),
        ("required", ToolChoice(BOX, "required")),
        ("any", ToolChoice(BOX, "required")),
        ({"type": "auto"}, ToolChoice(BOX)),
        ({"type": "none"}, ToolChoice(Toolbox())),
        ({"type": "required"}, ToolChoice(BOX, "required")),
        ({"type": "any"}, ToolChoice(BOX, "required")),
        ({"type": "function", "function": {"name": "look"}}, ToolChoice(BOX, "named", "look")),
        ({"type": "function", "name": "look"}, ToolChoice(BOX, "named", "look")),
        ({"type": "function", "function": None, "name": "look"}, ToolChoice(BOX, "named", "look")),
        ({"type": "custom", "custom": {"name": "ApplyPatch"}}, ToolChoice(BOX, "named", "ApplyPatch")),
        ({"type": "custom", "name": "ApplyPatch"}, ToolChoice(BOX, "named", "ApplyPatch")),
        ({"type": "function", "name": "ApplyPatch"}, ToolChoice(BOX, "named", "ApplyPatch")),
        ({"name": "look"}, ToolChoice(BOX, "named", "look")),
    ],
    ids=str,
)
def test_a_choice_is_read(value: object, choice: ToolChoice) -> None:
    assert parse_tool_choice(value, BOX) == choice


@pytest.mark.parametrize(
    ("value", "param", "code"),
    [
        (5, "tool_choice", "invalid_type"),
        (["auto"], "tool_choice", "invalid_type"),
        ("look", "tool_choice", "invalid_value"),
        ({}, "tool_choice.name", "missing_parameter"),
        ({"type": 5}, "tool_choice.type", "invalid_type"),
        ({"type": "function", "function": "look"}, "tool_choice.function", "invalid_type"),
        ({"type": "function", "function": {}}, "tool_choice.function.name", "missing_parameter"),
        ({"type": "function", "name": ""}, "tool_choice.name", "invalid_value"),
        ({"type": "function", "name": "undeclared"}, "tool_choice", "invalid_value"),
        ({"type": "custom", "custom": {"name": "undeclared"}}, "tool_choice", "invalid_value"),
        ({"type": "web_search"}, "tool_choice", "invalid_value"),
        ({"type": "file_search"}, "tool_choice.type", "unsupported_value"),
        (allowed(mode="some"), "tool_choice.mode", "invalid_value"),
        (nested_allowed(mode="some"), "tool_choice.allowed_tools.mode", "invalid_value"),
        ({"type": "allowed_tools", "mode": "auto"}, "tool_choice.tools", "missing_parameter"),
        (allowed("look"), "tool_choice.tools[0]", "invalid_type"),
        (allowed({"name": "look"}, {"type": "function"}), "tool_choice.tools[1].name", "missing_parameter"),
        (nested_allowed({"name": "undeclared"}), "tool_choice.allowed_tools.tools[0]", "invalid_value"),
        (allowed({"type": "web_search"}), "tool_choice.tools[0]", "invalid_value"),
        (allowed({"type": "namespace", "name": "files"}), "tool_choice.tools[0]", "invalid_value"),
        (allowed({"type": "mcp", "server_label": "x"}), "tool_choice.tools[0].type", "unsupported_value"),
        (allowed(mode="required"), "tool_choice", "invalid_value"),
    ],
    ids=str,
)
def test_a_malformed_choice_is_refused_where_it_is(value: object, param: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_tool_choice(value, BOX)
    error = caught.value
    assert (error.status, error.type, error.param, error.code) == (400, "invalid_request_error", param, code)


@pytest.mark.parametrize("value", ["required", {"type": "any"}, allowed(mode="required")], ids=str)
def test_a_call_cannot_be_demanded_where_no_tool_is_declared(value: object) -> None:
    with pytest.raises(ApiError) as caught:
        parse_tool_choice(value, Toolbox())
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, "tool_choice", "invalid_value")


@pytest.mark.parametrize("value", [None, "auto", "none"])
def test_a_choice_that_demands_nothing_needs_no_tools(value: str | None) -> None:
    assert parse_tool_choice(value, Toolbox()) == ToolChoice(Toolbox())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["function", "custom", "grammar", "look", "object"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "name", "function", "custom", "parameters", "format", "syntax", "mode"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON) | JSON)
def test_garbage_gives_a_choice_or_an_error_of_ours(value: object) -> None:
    with suppress(ApiError):
        parse_tool_choice(value, BOX)
