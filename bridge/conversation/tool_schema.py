"""Rewrites a client's JSON schema so that codex passes it on unchanged; what codex would drop is described in words.

Measured on codex 0.163.0 and 0.169.0, which agree:
- It keeps the keywords of `KEPT` and silently drops every other; it keeps `minItems` on arrays only.
- `const` and `enum` without a type become strings whatever their values are, an array without `items` becomes an array
  of strings, the schemas `true` and `false` become strings; an unknown `type` is dropped; a bound or a `format` without
  a type makes a number or a string; the description of a schema without any hint of a type is dropped. Therefore this
  module writes out types and items.
- From a schema over `LIMIT` bytes it drops all descriptions, then the definitions, then deeply nested parts, then
  alternatives, until it fits: such a schema must be repeated elsewhere.
- It keeps `$ref`, `$defs` (those in use), `anyOf`, `oneOf`, `allOf` and arrays of types, and sorts properties by name.
- `thread/start` refuses, with -32600 and the tool's name: a schema that is null, an array or a string;
  `{"type": "null"}` at the top; keywords of a wrong JSON type (`properties: []`, `required: true`, `description: 5`,
  `anyOf: {}`). It never answers if objects and arrays are nested about 124 levels deep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import orjson

KEPT = frozenset(
    {
        "$defs",
        "$ref",
        "additionalProperties",
        "allOf",
        "anyOf",
        "definitions",
        "description",
        "enum",
        "items",
        "minItems",
        "oneOf",
        "properties",
        "required",
        "type",
    }
)
"""The keywords that codex passes on."""

LIMIT = 5000
"""Bytes of compact JSON up to which codex keeps a schema whole."""

_SILENT = frozenset({"$anchor", "$comment", "$id", "$schema", "const"})
"""Keywords that do not restrict values, and `const`, which is expressed by `enum`."""

_DATA = frozenset({"default", "example", "examples"})
"""Keywords whose value is data: the text `1` and the number 1 must look different."""

_TYPES: Mapping[str, type] = {
    "null": type(None),
    "boolean": bool,
    "integer": int,
    "number": float,
    "string": str,
    "array": list,
    "object": dict,
}

_ANY = ["null", "boolean", "number", "string", "array", "object"]
"""All types, written out for a schema without a type, whose description codex would drop."""

_COMPOSED = frozenset({"$ref", "allOf", "anyOf", "oneOf"})
"""With one of these keywords, codex accepts a schema without a type."""

_IMPLIED = {"properties": "object", "required": "object", "additionalProperties": "object", "items": "array"}
"""The type that codex infers from a keyword of a schema without a type."""


def for_codex(schema: object, name: str = "") -> object:
    """Return the schema as codex will pass it on; `name` is that of its tool or property.

    Malformed parts are kept; codex may refuse them.
    """
    match schema:
        case True:
            return {}
        case False:
            return _restated({"description": "No value is allowed."}, name)
        case dict():
            return _restated(cast("dict[str, Any]", schema), name)
        case _:
            return schema


def compact(value: object) -> str:
    """Return the JSON text without white space."""
    return orjson.dumps(value).decode()


def _restated(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    schema = {key: value for key, value in schema.items() if value is not None or key not in KEPT}
    types = _types(schema)
    notes = "; ".join(_lost(schema, types, name))
    if not types and not schema.keys() & _COMPOSED and (notes or "description" in schema):
        types = _ANY
    kept = {key: _keyword(key, value) for key, value in schema.items() if _is_kept(key, value, types)}
    if "const" in schema:
        kept["enum"] = [schema["const"]]
    if types:
        kept["type"] = types[0] if len(types) == 1 else types
    if "array" in types:
        kept.setdefault("items", {})
    if "object" in types:
        kept.setdefault("properties", {})
    description = kept.get("description", "")
    if notes and isinstance(description, str):
        kept["description"] = f"{description} ({notes})".lstrip()
    return kept


def _types(schema: Mapping[str, Any]) -> list[str]:
    """Return the types that a schema names or, where codex would guess, those of its values or implied by keywords."""
    named = schema.get("type")
    types = cast("list[object]", named) if isinstance(named, list) else [named]
    if named_types := [kind for kind in types if isinstance(kind, str) and kind in _TYPES]:
        return named_types
    if "const" in schema:
        return _types_of([schema["const"]])
    if isinstance(schema.get("enum"), list):
        return _types_of(schema["enum"])
    if schema.keys() & _COMPOSED:
        return []
    return [kind for key, kind in _IMPLIED.items() if key in schema][:1]


def _types_of(values: list[object]) -> list[str]:
    return [kind for kind, of in _TYPES.items() if any(type(value) is of for value in values)]


def _is_kept(key: str, value: object, types: list[str]) -> bool:
    match key:
        case "type":
            return False  # `_restated` writes the known types
        case "minItems":
            return "array" in types
        case "items":
            return isinstance(value, dict | bool)  # an array is the old form of `prefixItems`
        case _:
            return key in KEPT


def _keyword(key: str, value: object) -> object:
    match key, value:
        case "items", _:
            return for_codex(value)
        case "additionalProperties", dict():
            return for_codex(cast("object", value))
        case "anyOf" | "oneOf" | "allOf", list():
            return [for_codex(schema) for schema in cast("list[object]", value)]
        case "properties" | "$defs" | "definitions", dict():
            return {name: for_codex(schema, name) for name, schema in cast("dict[str, object]", value).items()}
        case _:
            return value


def _lost(schema: Mapping[str, Any], types: list[str], name: str) -> Iterator[str]:
    """Yield descriptions of what codex would drop, except titles that only repeat the name."""
    for key, value in schema.items():
        if key in _SILENT or _is_kept(key, value, types):
            continue
        if key == "title" and isinstance(value, str) and _letters(value) == _letters(name):
            continue
        if key == "type" and _is_known(value):
            continue
        yield f"{key}: {value if isinstance(value, str) and key not in _DATA else compact(value)}"


def _is_known(named: object) -> bool:
    types = cast("list[object]", named) if isinstance(named, list) else [named]
    return all(isinstance(kind, str) and kind in _TYPES for kind in types)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()
