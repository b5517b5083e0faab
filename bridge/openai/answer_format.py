"""The format that a request wants its answer in: a strict schema for codex, or words for the model.

Source: the OpenAI API reference, `response_format` and `text.format`; "Structured model outputs", supported schemas.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import orjson

from bridge.json_values import is_deeper_than
from bridge.openai.shapes import Object, Refused, Shape, missing
from bridge.openai.strict_schema import is_strict

JSON_OBJECT = "Answer with one valid JSON object and nothing else."
BY_INSTRUCTION = "Answer with one valid JSON value that conforms to this JSON Schema, and nothing else:\n"

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

    @property
    def for_codex(self) -> tuple[Object | None, str | None]:
        """The schema for codex if strict mode can take it, else the note for the model, each with the description."""
        if self.strict is not False and is_strict(self.schema):
            said = [text for text in (self.description, self.schema.get("description")) if isinstance(text, str)]
            return ({**self.schema, "description": "\n\n".join(said)} if self.description else self.schema), None
        about = f"{self.description}\n\n" if self.description else ""
        return None, about + BY_INSTRUCTION + orjson.dumps(self.schema).decode()

    def without_effect(self) -> Iterable[str]:
        return ("strict",) if self.strict and self.for_codex[0] is None else ()


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

    def without_effect(self) -> Iterable[str]:
        return self.wanted.without_effect() if self.json_schema is None else ()

    @property
    def wanted(self) -> JsonSchema:
        """The schema, whichever form it has."""
        flat = JsonSchema(schema=self.schema or {}, name=self.name, description=self.description, strict=self.strict)
        return self.json_schema or flat


Format: TypeAlias = TextFormat | JsonObjectFormat | JsonSchemaFormat


def for_codex(form: Format | None) -> tuple[Object | None, str | None]:
    """Return the schema for codex, which sends each as strict, or the note for the model, or neither."""
    match form:
        case None | TextFormat():
            return None, None
        case JsonObjectFormat():
            return None, JSON_OBJECT
        case JsonSchemaFormat():
            return form.wanted.for_codex
