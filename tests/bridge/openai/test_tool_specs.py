from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.conversation.tools import Grammar, Tool, Toolbox
from bridge.errors import ApiError
from bridge.openai.model_settings import SharedFields
from bridge.openai.shapes import decode, listed
from bridge.openai.tool_specs import read_tools, toolbox_of


def parse_tools(value: object) -> Toolbox:
    return toolbox_of(read_tools(decode({"model": "", "tools": value}, SharedFields).tools).entries)


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
    ("schema of Anthropic", {"name": "look", "description": "Looks.", "input_schema": SCHEMA}, LOOK),
    ("schema of MCP", {"function": {"name": "look", "description": "Looks.", "inputSchema": SCHEMA}}, LOOK),
    ("one of two schemas", {**LOOK_FIELDS, "inputSchema": {}, "input_schema": None}, LOOK),
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
    ([{"name": "f", "input_schema": []}], "tools[0].input_schema", "invalid_type"),
    (
        [{"function": {"name": "f", "inputSchema": {"type": "array"}}}],
        "tools[0].function.inputSchema.type",
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
    assert parse_tools([*mixed, {"name": "f"}]) == Toolbox((LOOK, PATCH, Tool.function("f", "", {})))


@pytest.mark.parametrize(("tools", "param", "code"), MALFORMED)
def test_a_malformed_tool_is_refused_where_it_is(tools: object, param: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_tools(tools)
    error = caught.value
    assert (error.status, error.type, error.param, error.code) == (400, "invalid_request_error", param, code)
    assert param.removesuffix(".type") in error.message


@pytest.mark.parametrize(
    ("tool", "lost"),
    [
        (LOOK_FIELDS, []),
        ({"type": "function", "function": {**LOOK_FIELDS, "strict": False}, "custom": None}, []),
        ({"type": "function", "function": {**LOOK_FIELDS, "strict": True}}, ["tools[].function.strict"]),
        ({"type": "function", "function": LOOK_FIELDS, "strict": True}, ["tools[].strict"]),
        (
            {**LOOK_FIELDS, "strict": True, "cache_control": {}, "new": None},
            ["tools[].cache_control", "tools[].strict"],
        ),
        ({**LOOK_FIELDS, "input_schema": SCHEMA}, []),
        ({**LOOK_FIELDS, "input_schema": {}, "inputSchema": {}}, ["tools[].inputSchema", "tools[].input_schema"]),
        ({"type": "custom", "name": "t", "format": {"type": "grammar", **LARK, "new": 1}}, ["tools[].format.new"]),
        ({"type": "web_search", "user_location": {"type": "approximate", "zip": "1"}}, ["tools[].user_location.zip"]),
        ({"type": "web_search", "filters": {"blocked_domains": []}}, ["tools[].filters.blocked_domains"]),
        ({"type": "tool_search", "execution": "client", "limit": 5}, ["tools[].limit"]),
        (
            {"type": "namespace", "name": "n", "icon": "x", "tools": [{**LOOK_FIELDS, "strict": True}]},
            ["tools[].icon", "tools[].tools[].strict"],
        ),
    ],
    ids=str,
)
def test_what_has_no_effect_in_a_tool_is_named(tool: dict[str, Any], lost: list[str]) -> None:
    assert list(listed(read_tools([{"name": "f"}, tool]).lost)) == lost


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
    assert toolbox_of(read_tools([LOOK_FIELDS], "functions").entries, "functions") == Toolbox((LOOK,))
    with pytest.raises(ApiError) as caught:
        read_tools([{"description": "Nameless."}], "functions")
    assert caught.value.param == "functions[0].name"


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
