from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel

from bridge.openai.strict_schema import DEEPEST, is_strict


def closed(**properties: Any) -> dict[str, Any]:
    """An object as strict mode wants it."""
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = closed()
    for _ in range(levels - 1):
        schema = closed(a=schema)
    return schema


TEXT = {"type": "string"}
NULL = {"type": "null"}
OPEN = {"type": "object", "properties": {"a": TEXT}}

STRICT: dict[str, dict[str, Any]] = {
    "empty": closed(),
    "flat": closed(a=TEXT, b={"type": ["integer", "null"]}),
    "required in another order": {**closed(a=TEXT, b=TEXT), "required": ["b", "a"]},
    "nested": closed(a=closed(b=TEXT)),
    "array": closed(a={"type": "array", "items": closed(b=TEXT)}),
    "anyOf": closed(a={"anyOf": [TEXT, closed(b=TEXT)]}),
    "definitions": {**closed(a={"$ref": "#/$defs/b"}), "$defs": {"b": closed(c=TEXT)}},
    "recursion": closed(a={"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
    "reference to a definition": {**closed(a={"type": "array", "items": {"$ref": "#/$defs/b"}}), "$defs": {"b": TEXT}},
    "titles and descriptions": {
        **closed(a={**TEXT, "title": "A", "description": "b"}, c={"anyOf": [TEXT, NULL], "description": "d"}),
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "T",
    },
    "bounds": closed(
        a={"type": "integer", "minimum": 0, "maximum": 9, "multipleOf": 3},
        b={"type": ["number", "null"], "exclusiveMinimum": 0.5, "exclusiveMaximum": 1},
        c={**TEXT, "pattern": "^(?:a|b)$", "format": "date"},
        d={"type": "array", "items": TEXT, "minItems": 1, "maxItems": 2},
    ),
    "values": closed(
        a={**TEXT, "enum": ["a"]}, b={"type": ["integer", "null"], "enum": [1, None]}, c={**TEXT, "const": "c"}
    ),
    "a property that is called like a keyword": closed(oneOf=TEXT, **{"not": TEXT, "if": TEXT}),
    "deep": nested(DEEPEST),
}

NOT_STRICT: dict[str, dict[str, Any]] = {
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
    "reference with a description": {**closed(a={"$ref": "#", "description": "b"})},
    "reference to nothing": closed(a={"$ref": "#/$defs/b"}),
    "reference to somewhere else": closed(a={"$ref": "https://x.test/schema"}),
    "reference to a property": closed(a=TEXT, b={"$ref": "#/properties/a"}),
    "format": closed(a={**TEXT, "format": "uri"}),
    "anything": closed(a={}),
    "array of anything": closed(a={"type": "array"}),
    "array of old tuples": closed(a={"type": "array", "items": TEXT, "prefixItems": [TEXT]}),
    "patternProperties": closed(a={**closed(), "patternProperties": {"^b": TEXT}}),
    "default": closed(a={**TEXT, "default": "b"}),
    "lengths": closed(a={**TEXT, "minLength": 1}),
    "keyword of another type": closed(a={**TEXT, "minimum": 1}),
    "look-ahead": closed(a={**TEXT, "pattern": "^(?!b)"}),
    "enumeration without a type": closed(a={"enum": ["b"]}),
    "enumeration of another type": closed(a={**TEXT, "enum": ["b", 1]}),
    "a boolean as a number": closed(a={"type": "integer", "enum": [True]}),
    "a boolean as a length": closed(a={"type": "array", "items": TEXT, "minItems": True}),
    "empty enumeration": closed(a={**TEXT, "enum": []}),
    "no alternatives": closed(a={"anyOf": []}),
    "alternatives with a type": closed(a={**TEXT, "anyOf": [TEXT]}),
    "unknown type": closed(a={"type": "date"}),
    "a type twice": closed(a={"type": ["string", "string"]}),
    "no type": closed(a={"type": []}),
    "a property required twice": {**closed(a=TEXT), "required": ["a", "a"]},
    "a description that is none": closed(a={**TEXT, "description": 5}),
    "definitions inside": closed(a={**closed(), "$defs": {}}),
    "too deep": nested(DEEPEST + 1),
    "too many properties": closed(**{f"p{number}": TEXT for number in range(5001)}),
    "too many values": closed(a={**TEXT, "enum": [str(number) for number in range(1001)]}),
    "an object or an array of anything": closed(a={**closed(b=TEXT), "type": ["object", "array"], "items": {}}),
    "definitions that are none": {**closed(), "$defs": [TEXT]},
    "true": closed(a=True),
    "a tuple": closed(a={"type": "array", "items": [TEXT]}),
    **{
        keyword: closed(a={keyword: [TEXT]})
        for keyword in ("allOf", "not", "oneOf", "if", "then", "else", "dependentRequired", "dependentSchemas")
    },
}


@pytest.mark.parametrize("schema", STRICT.values(), ids=STRICT)
def test_a_schema_of_known_keywords_is_strict(schema: dict[str, Any]) -> None:
    assert is_strict(schema)


@pytest.mark.parametrize("schema", NOT_STRICT.values(), ids=NOT_STRICT)
def test_any_other_schema_is_not_strict(schema: dict[str, Any]) -> None:
    assert not is_strict(schema)


class Step(BaseModel):
    explanation: str
    output: str | None
    parts: list[Step]


class Answer(BaseModel):
    """An answer."""

    steps: list[Step]
    final: int


def test_what_the_official_client_makes_of_a_model_is_strict() -> None:
    assert is_strict(to_strict_json_schema(Answer))


KEYWORDS = st.sampled_from(
    [
        *("type", "properties", "required", "additionalProperties", "$defs", "anyOf", "items", "enum", "const", "$ref"),
        *("pattern", "format", "minItems", "description"),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "string", "array", "#", "a", "(?="])
VALUES = st.recursive(
    LEAVES, lambda some: st.lists(some, max_size=3) | st.dictionaries(KEYWORDS, some, max_size=4), max_leaves=12
)


@given(st.dictionaries(KEYWORDS, VALUES))
@settings(deadline=None)
def test_a_schema_that_is_none_is_no_failure_of_ours(keywords: dict[str, Any]) -> None:
    assert is_strict({"type": "object", "additionalProperties": False, **keywords}) in {True, False}
