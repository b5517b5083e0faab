"""The format that a request wants its answer in: a strict schema for codex, or words for the model.

Source: the OpenAI API reference, `response_format` and `text.format`; "Structured model outputs", supported schemas.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import orjson

from bridge.json_values import is_deeper_than
from bridge.openai.shapes import Object, Refused, Shape, missing

JSON_OBJECT = "Answer with one valid JSON object and nothing else."
BY_INSTRUCTION = "Answer with one valid JSON value that conforms to this JSON Schema, and nothing else:\n"

_NOT_STRICT = frozenset(
    {"allOf", "not", "oneOf", "if", "then", "else", "dependentRequired", "dependentSchemas", "definitions"}
)
"""Keywords that the upstream refuses in a strict schema, or that this check does not follow."""

DEEPEST = 90
"""Objects and arrays inside each other; codex never answers when they are not many more."""


class JsonSchema(Shape, frozen=True):
    """A schema with its name, as Chat nests it and Responses has it flat."""

    schema: dict[str, Any]
    name: str | None = None
    description: str | None = None
    strict: bool | None = None

    def __post_init__(self) -> None:
        if is_deeper_than(self.schema, DEEPEST):
            raise Refused("schema", f"'{{where}}' nests more than {DEEPEST} objects and arrays inside each other.")


class TextFormat(Shape, tag_field="type", tag="text", frozen=True):
    """The default."""


class JsonObjectFormat(Shape, tag_field="type", tag="json_object", frozen=True):
    """Any JSON object."""


class JsonSchemaFormat(Shape, tag_field="type", tag="json_schema", frozen=True):
    json_schema: JsonSchema | None = None
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None

    def __post_init__(self) -> None:
        if self.json_schema is None:
            if self.schema is None:
                raise missing("schema")
            self.wanted.__post_init__()

    @property
    def wanted(self) -> JsonSchema:
        """The schema, whichever form it has."""
        flat = JsonSchema(schema=self.schema or {}, name=self.name, description=self.description, strict=self.strict)
        return self.json_schema or flat


Format: TypeAlias = TextFormat | JsonObjectFormat | JsonSchemaFormat


def for_codex(form: Format | None) -> tuple[Object | None, str | None]:
    """Return the schema for codex, or the note for the model, or neither.

    Codex sends each schema as strict; one that strict mode cannot take goes by instruction.
    """
    match form:
        case None | TextFormat():
            return None, None
        case JsonObjectFormat():
            return None, JSON_OBJECT
        case JsonSchemaFormat(wanted=JsonSchema(schema=schema, strict=strict)):
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
