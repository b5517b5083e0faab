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


@pytest.mark.parametrize("strict", [{}, {"strict": True}, {"strict": None}], ids=str)
def test_a_strict_schema_goes_to_codex(strict: dict[str, Any]) -> None:
    schema = closed(a=TEXT)
    assert parse_format(wrapped(schema, **strict)) == (schema, None)
    assert parse_format({"type": "json_schema", "name": "x", "schema": schema, **strict}) == (schema, None)


@pytest.mark.parametrize("strict", [{}, {"strict": True}], ids=str)
def test_any_other_schema_goes_by_instruction(strict: dict[str, Any]) -> None:
    assert parse_format(wrapped(OPEN, **strict)) == (None, BY_INSTRUCTION + orjson.dumps(OPEN).decode())


def test_a_schema_that_the_client_does_not_want_strict_goes_by_instruction() -> None:
    assert parse_format(wrapped(closed(), strict=False)) == (
        None,
        BY_INSTRUCTION + orjson.dumps(closed()).decode(),
    )


@pytest.mark.parametrize("told", [None, "Own."])
def test_the_description_of_a_schema_reaches_the_model(told: str | None) -> None:
    strict = {**closed(), **({"description": told} if told else {})}
    both = "About.\n\nOwn." if told else "About."
    assert parse_format(wrapped(strict, description="About.")) == ({**strict, "description": both}, None)
    flat = {"type": "json_schema", "name": "x", "schema": OPEN, "description": "About."}
    assert parse_format(flat) == (None, "About.\n\n" + BY_INSTRUCTION + orjson.dumps(OPEN).decode())


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
