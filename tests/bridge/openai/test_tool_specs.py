from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.conversation.tools import Grammar, Tool, Toolbox
from bridge.errors import ApiError
from bridge.openai.model_settings import SharedFields
from bridge.openai.shapes import decode
from bridge.openai.tool_choice import ToolChoice, read_tool_choice
from bridge.openai.tool_specs import read_tools, toolbox_of


def parse_tools(value: object) -> Toolbox:
    return toolbox_of(read_tools(decode({"model": "", "tools": value}, SharedFields).tools))


def parse_tool_choice(value: object, box: Toolbox) -> ToolChoice:
    return read_tool_choice(decode({"model": "", "tool_choice": value}, SharedFields).tool_choice, box)


SCHEMA = {"type": "object", "properties": {"at": {"type": "string", "minLength": 1}}}
LOOK = Tool.function("look", "Looks.", SCHEMA)
LOOK_FIELDS: dict[str, Any] = {"name": "look", "description": "Looks.", "parameters": SCHEMA}
LARK: dict[str, Any] = {"syntax": "lark", "definition": "start: /x/"}
PATCH = Tool.custom("ApplyPatch", "Edits.", Grammar("lark", "start: /x/"))
PATCH_FIELDS: dict[str, Any] = {"name": "ApplyPatch", "description": "Edits."}
BOX = Toolbox((LOOK, PATCH))

FORMS: list[tuple[str, dict[str, Any], Tool]] = [
    ("nested function", {"type": "function", "function": {**LOOK_FIELDS, "strict": True}}, LOOK),
    ("flat function", {"type": "function", **LOOK_FIELDS, "strict": None}, LOOK),
    ("flat function beside a null", {"type": "function", "function": None, **LOOK_FIELDS}, LOOK),
    ("nested function without a type", {"function": LOOK_FIELDS}, LOOK),
    ("bare function", LOOK_FIELDS, LOOK),
    ("function of a name alone", {"type": "function", "function": {"name": "f"}}, Tool.function("f", "", {})),
    ("nulls", {"type": "function", "name": "f", "description": None, "parameters": None}, Tool.function("f", "", {})),
    ("empty schema", {"name": "f", "parameters": {}}, Tool.function("f", "", {})),
    ("object or null", {"name": "f", "parameters": {"type": ["object", "null"]}}, Tool.function("f", "", {})),
    ("flat custom", {"type": "custom", **PATCH_FIELDS, "format": {"type": "grammar", **LARK}}, PATCH),
    (
        "nested custom",
        {"type": "custom", "custom": {**PATCH_FIELDS, "format": {"type": "grammar", "grammar": LARK}}},
        PATCH,
    ),
    (
        "nested custom without a type",
        {"custom": {**PATCH_FIELDS, "format": {"type": "grammar", "grammar": LARK}}},
        PATCH,
    ),
    ("custom text", {"type": "custom", "name": "t", "format": {"type": "text"}}, Tool.custom("t", "", None)),
    ("custom without a format", {"type": "custom", "name": "t", "format": None}, Tool.custom("t", "", None)),
    ("longest name", {"name": "n" * 256}, Tool.function("n" * 256, "", {})),
]


def nested(depth: int) -> dict[str, Any]:
    """A schema of so many objects and arrays inside each other."""
    schema: Any = {} if depth % 2 else []
    while depth > 1:
        depth -= 1
        schema = {"items": schema} if depth % 2 else [schema]
    return schema


MALFORMED: list[tuple[Any, str, str]] = [
    ("look", "tools", "invalid_type"),
    ({}, "tools", "invalid_type"),
    ([None], "tools[0]", "invalid_type"),
    ([LOOK_FIELDS, {}], "tools[1].name", "missing_parameter"),
    ([{"type": "function"}], "tools[0].name", "missing_parameter"),
    ([{"type": 5}], "tools[0].type", "invalid_type"),
    ([{"type": "function", "function": "look"}], "tools[0].function", "invalid_type"),
    ([{"type": "function", "function": {}}], "tools[0].function.name", "missing_parameter"),
    ([{"type": "function", "function": {"name": ""}}], "tools[0].function.name", "invalid_value"),
    ([{"name": "n" * 257}], "tools[0].name", "invalid_value"),
    ([{"name": 5}], "tools[0].name", "invalid_type"),
    ([{"function": {"name": "f", "description": 5}}], "tools[0].function.description", "invalid_type"),
    ([{"function": {"name": "f", "parameters": []}}], "tools[0].function.parameters", "invalid_type"),
    (
        [{"name": "f", "parameters": {"type": "string"}}],
        "tools[0].parameters.type",
        "invalid_function_parameters",
    ),
    (
        [{"name": "f", "parameters": {"type": ["null"]}}],
        "tools[0].parameters.type",
        "invalid_function_parameters",
    ),
    (
        [{"name": "f", "parameters": nested(61)}],
        "tools[0].parameters",
        "invalid_function_parameters",
    ),
    ([{"type": "custom", "custom": {"description": "Edits."}}], "tools[0].custom.name", "missing_parameter"),
    ([{"type": "custom", "name": "c", "format": "text"}], "tools[0].format", "invalid_type"),
    ([{"type": "custom", "name": "c", "format": {}}], "tools[0].format.type", "missing_parameter"),
    ([{"type": "custom", "name": "c", "format": {"type": "json"}}], "tools[0].format.type", "invalid_value"),
    (
        [{"type": "custom", "name": "c", "format": {"type": "grammar", **LARK, "syntax": "ebnf"}}],
        "tools[0].format.syntax",
        "invalid_value",
    ),
    (
        [{"custom": {"name": "c", "format": {"type": "grammar", "grammar": {"syntax": "regex"}}}}],
        "tools[0].custom.format.grammar.definition",
        "missing_parameter",
    ),
    ([LOOK_FIELDS, {**LOOK_FIELDS, "description": "Other."}], "tools[1]", "invalid_value"),
    ([{"name": "f"}, {"type": "custom", "name": "f"}], "tools[1]", "invalid_value"),
]


@pytest.mark.parametrize("value", [None, []])
def test_no_tools_are_an_empty_toolbox(value: object) -> None:
    assert parse_tools(value) == Toolbox()


@pytest.mark.parametrize(("entry", "tool"), [form[1:] for form in FORMS], ids=[form[0] for form in FORMS])
def test_every_form_of_a_tool_is_read(entry: dict[str, Any], tool: Tool) -> None:
    assert parse_tools([entry]) == Toolbox((tool,))


def test_forms_mix_in_their_order_and_a_tool_declared_twice_alike_is_one() -> None:
    mixed = [entry for _, entry, tool in reversed(FORMS) if tool in (LOOK, PATCH)]
    assert len(mixed) > 4
    assert parse_tools([*mixed, {"name": "f"}]) == Toolbox((PATCH, LOOK, Tool.function("f", "", {})))


@pytest.mark.parametrize(("tools", "param", "code"), MALFORMED)
def test_a_malformed_tool_is_refused_where_it_is(tools: object, param: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_tools(tools)
    error = caught.value
    assert (error.status, error.type, error.param, error.code) == (400, "invalid_request_error", param, code)
    assert param.removesuffix(".parameters.type") in error.message


@pytest.mark.parametrize("kind", ["mcp", "file_search", "tool_search"])
def test_a_tool_that_codex_has_no_place_for_is_refused_by_its_type(kind: str) -> None:
    with pytest.raises(ApiError, match=kind) as caught:
        parse_tools([LOOK_FIELDS, {"type": kind}])
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, "tools[1].type", "unsupported_value")


def test_the_deepest_schema_is_taken() -> None:
    assert parse_tools([{"name": "f", "parameters": nested(60)}]).find("f")


def test_a_schema_far_too_deep_is_refused_without_exhausting_the_stack() -> None:
    with pytest.raises(ApiError):
        parse_tools([{"name": "f", "parameters": nested(5001)}])


def test_old_functions_are_tools_and_errors_name_their_field() -> None:
    assert toolbox_of(read_tools([LOOK_FIELDS], "functions"), "functions") == Toolbox((LOOK,))
    with pytest.raises(ApiError) as caught:
        read_tools([{"description": "Nameless."}], "functions")
    assert caught.value.param == "functions[0].name"


@pytest.mark.parametrize(
    ("value", "choice"),
    [
        (None, ToolChoice("auto")),
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("any", ToolChoice("required")),
        ({"type": "auto"}, ToolChoice("auto")),
        ({"type": "none"}, ToolChoice("none")),
        ({"type": "required"}, ToolChoice("required")),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "function", "function": {"name": "look"}}, ToolChoice("named", "look")),
        ({"type": "function", "name": "look"}, ToolChoice("named", "look")),
        ({"type": "function", "function": None, "name": "look"}, ToolChoice("named", "look")),
        ({"type": "custom", "custom": {"name": "ApplyPatch"}}, ToolChoice("named", "ApplyPatch")),
        ({"type": "custom", "name": "ApplyPatch"}, ToolChoice("named", "ApplyPatch")),
        ({"type": "function", "name": "ApplyPatch"}, ToolChoice("named", "ApplyPatch")),
        ({"name": "look"}, ToolChoice("named", "look")),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"name": "look"}]}, ToolChoice("required")),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}}, ToolChoice("required")),
        ({"type": "allowed_tools", "allowed_tools": {"tools": []}}, ToolChoice("auto")),
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
        ({"type": "function", "name": "nobody"}, "tool_choice", "invalid_value"),
        ({"type": "custom", "custom": {"name": "nobody"}}, "tool_choice", "invalid_value"),
        ({"type": "web_search"}, "tool_choice", "invalid_value"),
        ({"type": "allowed_tools", "mode": "some"}, "tool_choice.mode", "invalid_value"),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "some"}},
            "tool_choice.allowed_tools.mode",
            "invalid_value",
        ),
    ],
    ids=str,
)
def test_a_malformed_choice_is_refused_where_it_is(value: object, param: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_tool_choice(value, BOX)
    error = caught.value
    assert (error.status, error.type, error.param, error.code) == (400, "invalid_request_error", param, code)


@pytest.mark.parametrize("value", ["required", {"type": "any"}, {"type": "allowed_tools", "mode": "required"}], ids=str)
def test_a_call_cannot_be_demanded_where_no_tool_is_declared(value: object) -> None:
    with pytest.raises(ApiError) as caught:
        parse_tool_choice(value, Toolbox())
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, "tool_choice", "invalid_value")


@pytest.mark.parametrize("value", [None, "auto", "none"])
def test_a_choice_that_demands_nothing_needs_no_tools(value: str | None) -> None:
    assert parse_tool_choice(value, Toolbox()) == ToolChoice("none" if value == "none" else "auto")


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
def test_garbage_gives_tools_or_an_error_of_ours(value: object) -> None:
    with suppress(ApiError):
        parse_tools(value)
    with suppress(ApiError):
        parse_tool_choice(value, BOX)
