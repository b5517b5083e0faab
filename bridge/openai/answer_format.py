"""The format that a request wants its answer in: a strict schema for codex, or words for the model.

Source: the OpenAI API reference, `response_format` and `text.format`; "Structured model outputs", supported schemas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson

from bridge.errors import invalid_request
from bridge.json_body import is_deeper_than
from bridge.openai.fields import Object, expect_object, optional, required

Format = tuple[Mapping[str, Any] | None, str | None]

JSON_OBJECT = "Answer with one valid JSON object and nothing else."
BY_INSTRUCTION = "Answer with one valid JSON value that conforms to this JSON Schema, and nothing else:\n"

_NOT_STRICT = frozenset(
    {"allOf", "not", "oneOf", "if", "then", "else", "dependentRequired", "dependentSchemas", "definitions"}
)
"""Keywords that the upstream refuses in a strict schema, or that this check does not follow."""

DEEPEST = 90
"""Objects and arrays inside each other; codex never answers when they are not many more."""


def parse_format(value: object, where: str) -> Format:
    """Return the schema for codex, or the note for the model, or neither.

    Codex sends each schema as strict; one that strict mode cannot take goes by instruction.

    Raises:
        ApiError: 400.
    """
    if value is None:
        return None, None
    wanted = expect_object(value, where)
    kind = required(wanted, "type", str, f"{where}.type")
    match kind:
        case "text":
            return None, None
        case "json_object":
            return None, JSON_OBJECT
        case "json_schema":
            return _schema(wanted, where)
        case _:
            message = f"Invalid value for '{where}.type': {kind!r}; use text, json_object or json_schema."
            raise invalid_request(message, f"{where}.type", "invalid_value")


def _schema(wanted: Object, where: str) -> Format:
    """Chat nests the schema in `json_schema`, Responses has it flat."""
    if "json_schema" in wanted:
        where = f"{where}.json_schema"
        wanted = expect_object(wanted["json_schema"], where)
    schema = cast("Object", required(wanted, "schema", dict, f"{where}.schema"))
    if is_deeper_than(schema, DEEPEST):
        message = f"'{where}.schema' nests more than {DEEPEST} objects and arrays inside each other."
        raise invalid_request(message, f"{where}.schema", "invalid_value")
    strict = optional(wanted, "strict", bool, f"{where}.strict")
    if strict is not False and schema.get("type") == "object" and _is_strict(schema):
        return schema, None
    return None, BY_INSTRUCTION + orjson.dumps(schema).decode()


def _is_strict(schema: object) -> bool:
    """Whether strict mode takes a schema; one that is malformed is left to the model to make sense of."""
    match schema:
        case dict():
            here = cast("dict[str, Any]", schema)
        case _:
            return False
    properties, definitions = here.get("properties", {}), here.get("$defs", {})
    either, needed = here.get("anyOf", []), here.get("required", [])
    well_formed = isinstance(properties, dict) and isinstance(definitions, dict) and isinstance(either, list)
    if not well_formed or not isinstance(needed, list) or not _NOT_STRICT.isdisjoint(here):
        return False
    names = set(cast("dict[str, Any]", properties))
    kind = here.get("type")
    if names or kind == "object" or (isinstance(kind, list) and "object" in kind):
        closed = here.get("additionalProperties") is False
        if not closed or sorted(map(str, cast("list[Any]", needed))) != sorted(names):
            return False
    below = [*cast("dict[str, Any]", properties).values(), *cast("dict[str, Any]", definitions).values()]
    below += cast("list[Any]", either)
    below += [here["items"]] if "items" in here else []
    return all(map(_is_strict, below))
