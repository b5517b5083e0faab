from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import ApiError
from bridge.openai.answer_format import BY_INSTRUCTION, DEEPEST, JSON_OBJECT, Format, for_codex
from bridge.openai.shapes import Shape, decode


class Holder(Shape, frozen=True):
    f: Format | None = None


def parse_format(value: object) -> tuple[Any, str | None]:
    return for_codex(decode({"f": value}, Holder).f)


def closed(**properties: Any) -> dict[str, Any]:
    """An object as strict mode wants it."""
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def wrapped(schema: object, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, **more}}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = closed()
    for _ in range(levels - 1):
        schema = closed(a=schema)
    return schema


TEXT = {"type": "string"}
OPEN = {"type": "object", "properties": {"a": TEXT}}

STRICT = {
    "empty": closed(),
    "flat": closed(a=TEXT, b={"type": ["integer", "null"]}),
    "required in another order": {**closed(a=TEXT, b=TEXT), "required": ["b", "a"]},
    "nested": closed(a=closed(b=TEXT)),
    "array": closed(a={"type": "array", "items": closed(b=TEXT)}),
    "anyOf": closed(a={"anyOf": [TEXT, closed(b=TEXT)]}),
    "definitions": {**closed(a={"$ref": "#/$defs/b"}), "$defs": {"b": closed(c=TEXT)}},
    "recursion": closed(a={"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
    "a property that is called like a keyword": closed(oneOf=TEXT, **{"not": TEXT, "if": TEXT}),
    "deep": nested(DEEPEST // 2),
}

NOT_STRICT = {
    "open": OPEN,
    "no properties": {"type": "object"},
    "no object": {"type": "array", "items": closed()},
    "anyOf alone": {"anyOf": [closed()]},
    "not required": {**closed(a=TEXT, b=TEXT), "required": ["a"]},
    "required but unknown": {**closed(a=TEXT), "required": ["a", "b"]},
    "additional properties": {**closed(a=TEXT), "additionalProperties": True},
    "typed additional properties": {**closed(a=TEXT), "additionalProperties": TEXT},
    "open inside": closed(a=OPEN),
    "open in an array": closed(a={"type": "array", "items": OPEN}),
    "open in anyOf": closed(a={"anyOf": [TEXT, OPEN]}),
    "open in $defs": {**closed(), "$defs": {"a": OPEN}},
    "definitions, which are not followed": {**closed(), "definitions": {"a": closed()}},
    "open without a type": closed(a={"properties": {"b": TEXT}}),
    "true": closed(a=True),
    "a tuple": closed(a={"type": "array", "items": [TEXT]}),
    **{
        keyword: closed(a={keyword: [TEXT]})
        for keyword in ("allOf", "not", "oneOf", "if", "then", "else", "dependentRequired", "dependentSchemas")
    },
}


@pytest.mark.parametrize("strict", [{}, {"strict": True}, {"strict": None}], ids=str)
@pytest.mark.parametrize("schema", STRICT.values(), ids=STRICT)
def test_a_strict_schema_goes_to_codex(schema: dict[str, Any], strict: dict[str, Any]) -> None:
    assert parse_format(wrapped(schema, **strict)) == (schema, None)
    assert parse_format({"type": "json_schema", "name": "x", "schema": schema, **strict}) == (schema, None)


@pytest.mark.parametrize("schema", NOT_STRICT.values(), ids=NOT_STRICT)
def test_any_other_schema_goes_by_instruction(schema: dict[str, Any]) -> None:
    assert parse_format(wrapped(schema, strict=True)) == (None, BY_INSTRUCTION + orjson.dumps(schema).decode())


def test_a_schema_that_the_client_does_not_want_strict_goes_by_instruction() -> None:
    assert parse_format(wrapped(closed(), strict=False)) == (
        None,
        BY_INSTRUCTION + orjson.dumps(closed()).decode(),
    )


def test_an_object_that_may_be_null_is_an_object() -> None:
    assert parse_format(wrapped(closed(a={"type": ["object", "null"]})))[0] is None


@pytest.mark.parametrize(
    ("value", "found"),
    [(None, (None, None)), ({"type": "text"}, (None, None)), ({"type": "json_object"}, (None, JSON_OBJECT))],
    ids=str,
)
def test_formats_without_a_schema(value: Any, found: Any) -> None:
    assert parse_format(value) == found


@pytest.mark.parametrize(
    ("value", "param", "code"),
    [
        ("json_object", "f", "invalid_type"),
        ({}, "f.type", "missing_parameter"),
        ({"type": None}, "f.type", "invalid_type"),
        ({"type": "xml"}, "f.type", "invalid_value"),
        ({"type": "json_schema"}, "f.schema", "missing_parameter"),
        ({"type": "json_schema", "json_schema": None}, "f.schema", "missing_parameter"),
        ({"type": "json_schema", "json_schema": {}}, "f.json_schema.schema", "missing_parameter"),
        ({"type": "json_schema", "schema": True}, "f.schema", "invalid_type"),
        (
            wrapped(closed(a={"type": "array", "items": nested(DEEPEST // 2 - 1)})),
            "f.json_schema.schema",
            "invalid_value",
        ),
        (wrapped(closed(), strict="yes"), "f.json_schema.strict", "invalid_type"),
    ],
)
def test_what_is_wrong_is_named(value: Any, param: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_format(value)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)


EMPTY: dict[str, Any] = {}
VALUES: st.SearchStrategy[Any] = st.sampled_from([5, "a", ["a"], {"a": TEXT}, None, [EMPTY], False, EMPTY])
KEYWORDS = st.sampled_from(["properties", "required", "additionalProperties", "$defs", "definitions", "anyOf", "items"])


@given(st.dictionaries(KEYWORDS, VALUES))
@settings(deadline=None)
def test_a_schema_that_is_none_is_no_failure_of_ours(keywords: dict[str, Any]) -> None:
    schema = {"type": "object", "additionalProperties": False, **keywords}
    with suppress(ApiError):
        found = parse_format(wrapped(schema))
        assert found in [(schema, None), (None, BY_INSTRUCTION + orjson.dumps(schema).decode())]
