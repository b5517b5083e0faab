"""Most expected values were passed on unchanged by codex 0.163.0 and 0.169.0."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.conversation.tool_schema import KEPT, for_codex

ANY: dict[str, Any] = {
    "type": ["null", "boolean", "number", "string", "array", "object"],
    "items": {},
    "properties": {},
}

LOST: list[tuple[dict[str, Any], str]] = [
    ({"type": "string", "description": "City.", "minLength": 1, "pattern": "^[A-Z]"}, "minLength: 1; pattern: ^[A-Z]"),
    ({"type": "string", "maxLength": 5}, "maxLength: 5"),
    ({"type": "string", "format": "date-time"}, "format: date-time"),
    ({"type": "string", "default": "1"}, 'default: "1"'),
    ({"type": "integer", "default": 1}, "default: 1"),
    ({"type": "string", "default": None}, "default: null"),
    ({"type": "string", "examples": ["a", "b"]}, 'examples: ["a","b"]'),
    ({"type": "integer", "minimum": 0, "maximum": 9}, "minimum: 0; maximum: 9"),
    ({"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5}, "exclusiveMinimum: 0; multipleOf: 0.5"),
    ({"type": "array", "items": {}, "uniqueItems": True, "maxItems": 3}, "uniqueItems: true; maxItems: 3"),
    ({"type": "object", "properties": {}, "minProperties": 1}, "minProperties: 1"),
    ({"type": "object", "properties": {}, "patternProperties": {"^x": {}}}, 'patternProperties: {"^x":{}}'),
    ({"type": "string", "not": {"enum": ["x"]}}, 'not: {"enum":["x"]}'),
    ({"type": "string", "nullable": True}, "nullable: true"),
    ({"type": "string", "minItems": 1}, "minItems: 1"),
    ({"type": "string", "x-unit": "km"}, "x-unit: km"),
]


@pytest.mark.parametrize(("schema", "words"), LOST, ids=[words for _, words in LOST])
def test_a_keyword_that_codex_drops_is_written_in_the_description(schema: dict[str, Any], words: str) -> None:
    kept = {key: value for key, value in schema.items() if key in KEPT - {"minItems"}}
    description = f"{schema['description']} ({words})" if "description" in schema else f"({words})"
    assert for_codex(schema) == {**kept, "description": description}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "string", "description": "City."},
        {"type": "string", "description": ""},
        {"type": "string", "enum": ["a", "b"]},
        {"type": ["string", "null"]},
        {"type": "array", "items": {"type": "string"}, "minItems": 2},
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False},
        {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}},
        {"$ref": "#/$defs/Q", "description": "Not this one."},
        {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "Either."},
        {"oneOf": [{"type": "string"}], "allOf": [{"$ref": "#"}]},
    ],
    ids=str,
)
def test_a_schema_that_codex_keeps_whole_is_unchanged(schema: dict[str, Any]) -> None:
    assert for_codex(schema) == schema


GUESSED: list[tuple[object, object]] = [
    ({"const": "a"}, {"enum": ["a"], "type": "string"}),
    ({"const": 5}, {"enum": [5], "type": "integer"}),
    ({"const": None}, {"enum": [None], "type": "null"}),
    ({"const": True, "enum": [True, False]}, {"enum": [True], "type": "boolean"}),
    ({"type": "number", "const": 1}, {"type": "number", "enum": [1]}),
    ({"enum": ["a", 1, None]}, {"enum": ["a", 1, None], "type": ["null", "integer", "string"]}),
    ({"enum": [{"k": 1}]}, {"enum": [{"k": 1}], "type": "object", "properties": {}}),
    (True, {}),
    (False, {**ANY, "description": "No value is allowed."}),
    ({"description": "Whatever."}, {**ANY, "description": "Whatever."}),
    ({"minimum": 1}, {**ANY, "description": "(minimum: 1)"}),
    ({"type": "float"}, {**ANY, "description": "(type: float)"}),
    ({"type": ["string", "any"]}, {"type": "string", "description": '(type: ["string","any"])'}),
    ({"type": ["integer"]}, {"type": "integer"}),
    ({"type": "array"}, {"type": "array", "items": {}}),
    ({"type": "array", "items": True}, {"type": "array", "items": {}}),
    ({"type": "object"}, {"type": "object", "properties": {}}),
    ({"items": {"type": "string"}}, {"type": "array", "items": {"type": "string"}}),
    ({"properties": {}}, {"type": "object", "properties": {}}),
    ({"required": ["a"]}, {"type": "object", "properties": {}, "required": ["a"]}),
    (
        {"type": "array", "items": [{"type": "string"}, {"type": "integer"}]},
        {"type": "array", "items": {}, "description": '(items: [{"type":"string"},{"type":"integer"}])'},
    ),
    (
        {"type": "object", "properties": None, "required": None, "description": None, "minItems": None},
        {"type": "object", "properties": {}},
    ),
    ({"$schema": "s", "$id": "i", "$comment": "c", "$anchor": "a", "type": "string"}, {"type": "string"}),
]


@pytest.mark.parametrize(("schema", "sent"), GUESSED, ids=str)
def test_types_that_codex_would_guess_are_written_out(schema: object, sent: object) -> None:
    assert for_codex(schema) == sent


SHORT = {"type": "string", "minLength": 1}
DESCRIBED = {"type": "string", "description": "(minLength: 1)"}


def inside(keyword: str, inner: dict[str, Any]) -> dict[str, Any]:
    """A schema that holds another under a keyword."""
    held: dict[str, Any] = {
        "properties": {"type": "object", "properties": {"a": inner}},
        "items": {"type": "array", "items": inner},
        "additionalProperties": {"type": "object", "properties": {}, "additionalProperties": inner},
        "anyOf": {"anyOf": [{"type": "null"}, inner]},
        "oneOf": {"oneOf": [inner]},
        "allOf": {"allOf": [inner]},
        "$defs": {"$ref": "#/$defs/Q", "$defs": {"Q": inner}},
        "definitions": {"$ref": "#/definitions/Q", "definitions": {"Q": inner}},
    }
    return held[keyword]


@pytest.mark.parametrize(
    "keyword",
    ["properties", "items", "additionalProperties", "anyOf", "oneOf", "allOf", "$defs", "definitions"],
)
def test_keywords_lost_deep_inside_are_described_there(keyword: str) -> None:
    assert for_codex(inside(keyword, SHORT)) == inside(keyword, DESCRIBED)
    assert for_codex(inside(keyword, inside("anyOf", SHORT))) == inside(keyword, inside("anyOf", DESCRIBED))


def test_a_property_may_be_named_like_a_keyword() -> None:
    properties = {name: {"type": "string"} for name in ("title", "type", "items", "properties", "const", "$ref")}
    schema = {"type": "object", "properties": properties}
    assert for_codex(schema) == schema


def test_a_title_is_described_unless_it_only_repeats_the_name() -> None:
    schema = {
        "type": "object",
        "properties": {"home_town": {"type": "string", "title": "Home Town"}, "b": {"type": "string", "title": "Age"}},
    }
    assert for_codex(schema) == {
        "type": "object",
        "properties": {"home_town": {"type": "string"}, "b": {"type": "string", "description": "(title: Age)"}},
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": []},
        {"type": "object", "properties": {}, "required": True},
        {"type": "string", "description": 5, "minLength": 1},
        {"anyOf": {}},
    ],
    ids=str,
)
def test_a_malformed_schema_is_left_for_codex_to_refuse(schema: dict[str, Any]) -> None:
    assert for_codex(schema) == {key: value for key, value in schema.items() if key in KEPT}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["string", "object", "array", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(KEPT | {"const", "title", "minLength", "not"})), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(JSON)
def test_rewriting_a_rewritten_schema_changes_nothing(schema: object) -> None:
    once = for_codex(schema)
    assert for_codex(once) == once
