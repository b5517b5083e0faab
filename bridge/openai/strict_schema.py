"""Which JSON schemas the upstream takes as strict: only keywords and values that it is known to take.

1. Every node has a type, or is a reference and nothing else, or has alternatives.
2. Every object is closed, and requires all its properties; every array says what is in it.
3. A keyword belongs to one of the node's types; any other keyword makes a schema that is not strict.

Source: the OpenAI API reference, "Structured model outputs", supported schemas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, cast

DEEPEST = 10
"""Objects and arrays inside each other."""
MOST_PROPERTIES = 5000
MOST_VALUES = 1000
"""Values of all enumerations together."""

_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})

_Node: TypeAlias = Mapping[str, Any]
_NUMBER: Mapping[str, tuple[type, ...]] = dict.fromkeys(
    ("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (int, float)
)
_KEYWORDS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "string": {"pattern": (str,), "format": (str,)},
    "number": _NUMBER,
    "integer": _NUMBER,
    "boolean": {},
    "null": {},
    "array": {"items": (dict,), "minItems": (int,), "maxItems": (int,)},
    "object": {"properties": (dict,), "required": (list,), "additionalProperties": (bool,)},
}
"""The keywords of each type, and the types of their values."""

_ANYWHERE: Mapping[str, tuple[type, ...]] = {"title": (str,), "description": (str,)}
_TYPED: Mapping[str, tuple[type, ...]] = {**_ANYWHERE, "type": (str, list), "enum": (list,), "const": (object,)}
_AT_THE_TOP = frozenset({"$schema", "$defs"})

_VALUES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (),
    "object": (),
}
"""The types of values in an enumeration; none of arrays and objects."""


def is_strict(schema: Mapping[str, Any]) -> bool:
    """Tell whether strict mode is known to take a schema; one that is malformed is not strict."""
    definitions = _dict(schema.get("$defs"))
    if schema.get("type") != "object" or schema.get("$defs", definitions) != definitions:
        return False
    root = {key: value for key, value in schema.items() if key not in _AT_THE_TOP}
    known = {"#", *(f"#/$defs/{name}" for name in definitions)}
    properties = values = 0
    for level, node in _nodes([root, *definitions.values()]):
        if level > DEEPEST or not isinstance(node, dict):
            return False
        here = cast("dict[str, Any]", node)
        if not (_is_reference(here, known) or _is_choice(here) or _is_typed(here)):
            return False
        properties += len(here.get("properties", ()))
        values += len(here.get("enum", ()))
    return properties <= MOST_PROPERTIES and values <= MOST_VALUES


def _nodes(roots: list[object]) -> Iterator[tuple[int, object]]:
    """Yield each schema with its level, one that is malformed without what is in it."""
    waiting = [(1, root) for root in roots]
    while waiting:
        level, node = waiting.pop()
        yield level, node
        here = cast("dict[str, Any]", node) if isinstance(node, dict) else {}
        waiting += [(level + 1, one) for one in _dict(here.get("properties")).values()]
        waiting += [(level, one) for one in _list(here.get("anyOf"))]
        waiting += [(level + 1, here["items"])] if "items" in here else []


def _dict(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _is_reference(node: _Node, known: set[str]) -> bool:
    reference: object = node.get("$ref")
    return len(node) == 1 and isinstance(reference, str) and reference in known


def _is_choice(node: _Node) -> bool:
    return bool(node.get("anyOf")) and _has_only(node, {**_ANYWHERE, "anyOf": (list,)})


def _is_typed(node: _Node) -> bool:
    named: object = node.get("type")
    types = _list(named) or [named]
    kinds = [kind for kind in types if isinstance(kind, str) and kind in _KEYWORDS]
    keywords = {name: kind for one in kinds for name, kind in _KEYWORDS[one].items()}
    return (
        0 < len(kinds) == len(types) == len(set(kinds))
        and _has_only(node, {**_TYPED, **keywords})
        and ("array" not in kinds or "items" in node)
        and ("object" not in kinds or _is_closed(node))
        and node.get("format", "date") in _FORMATS
        and "(?" not in node.get("pattern", "").replace("(?:", "")
        and _are_of(kinds, node)
    )


def _has_only(node: _Node, keywords: Mapping[str, tuple[type, ...]]) -> bool:
    return all(
        key in keywords and isinstance(value, keywords[key]) and (type(value) is not bool or keywords[key] != (int,))
        for key, value in node.items()
    )


def _is_closed(node: _Node) -> bool:
    required: list[object] = node.get("required", [])
    names = sorted(map(str, required))
    return node.get("additionalProperties") is False and names == sorted(node.get("properties", {}))


def _are_of(kinds: list[str], node: _Node) -> bool:
    """Whether an enumeration or a constant has values, and only of the types that the node names."""
    allowed = {kind for one in kinds for kind in _VALUES[one]}
    values: list[object] = [*node.get("enum", ()), *([node["const"]] if "const" in node else ())]
    return node.get("enum", True) != [] and all(type(value) in allowed for value in values)
