"""Decodes JSON values into declared shapes, and says what is wrong with one and where. Knows no dialect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, TypeAlias, TypeVar, cast

from msgspec import Struct, ValidationError, convert, inspect

from bridge.errors import ApiError, invalid_request

Object: TypeAlias = Mapping[str, Any]

LONGEST_QUOTE = 80
"""Characters of a wrong value that an error repeats."""

_WORDS = {
    "str": "a string",
    "int": "an integer",
    "bool": "a boolean",
    "object": "an object",
    "dict": "an object",
    "array": "an array",
    "list": "an array",
    "float": "a number",
    "null": "null",
    "NoneType": "null",
}
"""The names that msgspec gives to types."""

_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


MOST_NAMES = 32
"""Names of fields without effect that a response header lists."""


class Shape(Struct, frozen=True, kw_only=True):
    """A JSON object whose fields are declared; it may have others."""

    silent: ClassVar[frozenset[str]] = frozenset()
    """Fields that are not declared because nothing is lost without them."""

    def without_effect(self) -> Iterable[str]:
        """Return the names of declared fields whose values have no effect."""
        return ()


ShapeT = TypeVar("ShapeT", bound=Shape)


class Refused(ValueError):
    """Raised by a shape's `__post_init__`: the value at `field`, a path inside the shape, cannot be taken.

    In the message, `{where}` stands for the whole path.
    """

    def __init__(self, field: str, message: str, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.field = field
        self.code = code


def missing(field: str) -> Refused:
    """The fault of a shape in which one of several forms of a field had to be there."""
    return Refused(field, "Missing required parameter: '{where}'.", "missing_parameter")


def wrong_type(field: str, value: object, wanted: str) -> Refused:
    """The fault of a shape in which a value has another type than `wanted`, in words."""
    found = _WORDS[type(value).__name__]
    return Refused(field, f"Invalid type for '{{where}}': expected {wanted}, got {found}.", "invalid_type")


def body_object(body: object) -> dict[str, Any]:
    """Return a decoded JSON body if it is an object.

    Raises:
        ApiError: 400, it is none.
    """
    decode(body, Shape)
    return cast("dict[str, Any]", body)


def decode(value: object, shape: type[ShapeT], where: str = "", first: int = 0) -> ShapeT:
    """Return a decoded JSON value as a shape; errors count the elements of an outermost array from `first`.

    Raises:
        ApiError: 400, `param` is the path of the fault, `where` included; `body` for the body itself.
    """
    try:
        return convert(value, shape)
    except ValidationError as error:
        raise _api_error(error, value, shape, where, first) from None


def _api_error(error: ValidationError, value: object, shape: type[Shape], where: str, first: int) -> ApiError:
    """Source of the texts: msgspec's `ValidationError`, which is a text and ends in the path."""
    said, _, inner = str(error).rpartition(" - at `$")
    said, inner = (said, inner[:-1]) if said else (inner, "")

    def path(field: str = "") -> str:
        shifted = re.sub(r"\[(\d+)\]", lambda index: f"[{int(index[1]) + first}]", inner, count=1)
        dot = "." if field and not field.startswith("[") else ""
        return f"{where}{shifted}{dot}{field}".removeprefix(".") or "body"

    match error.__cause__:
        case Refused() as refused:
            param = path(refused.field)
            return invalid_request(str(refused).replace("{where}", param), param, refused.code)
        case _:
            pass
    if absent := re.fullmatch(r"Object missing required field `(\w+)`", said):
        param = path(absent[1])
        return invalid_request(f"Missing required parameter: '{param}'.", param, "missing_parameter")
    if types := re.fullmatch(r"Expected `(.+)`, got `(\w+)`", said):
        wanted = [_WORDS[name] for name in types[1].split(" | ") if name != "null"]
        message = f"Invalid type for '{path()}': expected {_either(wanted)}, got {_WORDS[types[2]]}."
        return invalid_request(message, path(), "invalid_type")
    if said.startswith("Invalid "):
        found = repr(_found(value, inner))
        quoted = found if len(found) <= LONGEST_QUOTE else found[:LONGEST_QUOTE] + "…"
        message = f"Invalid value for '{path()}': {quoted}; use {_either(_choices(shape, inner))}."
        return invalid_request(message, path(), "invalid_value")
    bound = re.sub(r"Expected `(\w+)`", lambda name: f"expected {_WORDS[name[1]]}", said)
    return invalid_request(f"Invalid value for '{path()}': {bound}.", path(), "invalid_value")


def _either(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _found(value: Any, path: str) -> object:
    for name, index in _STEP.findall(path):
        value = value[name] if name else value[int(index)]
    return value


def _choices(shape: type[Shape], path: str) -> list[str]:
    """The values that are allowed at a path: those of a literal, or the tags of the shapes there."""
    kinds: list[inspect.Type] = [inspect.type_info(shape)]
    tags = dict[str, None]()
    for name, _ in _STEP.findall(path):
        structs = [kind for kind in _members(kinds) if isinstance(kind, inspect.StructType)]
        if name:
            tags = {str(kind.tag): None for kind in structs if kind.tag_field == name}
            kinds = [field.type for kind in structs for field in kind.fields if field.encode_name == name]
        else:
            kinds = [kind.item_type for kind in _members(kinds) if isinstance(kind, inspect.ListType)]
    values = [str(one) for kind in _members(kinds) if isinstance(kind, inspect.LiteralType) for one in kind.values]
    return values or list(tags)


def _members(kinds: list[inspect.Type]) -> Iterator[inspect.Type]:
    for kind in kinds:
        yield from kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def lost(value: Object, shape: Shape, where: str = "") -> list[str]:
    """Return the paths of all that has no effect in a value: fields that its shape does not declare, unless they are
    null, and those of which the shape says so. A place in an array inside the shape is `[]`.
    """
    paths = _lost(value, shape)
    return [f"{where}.{path}" for path in paths] if where and paths else paths


def _lost(value: Object, shape: Shape) -> list[str]:
    known, nested, judges = _fields_of(type(shape))
    paths = [] if value.keys() <= known else [name for name in value if name not in known and value[name] is not None]
    if judges:
        paths += shape.without_effect()
    for name in nested:
        inner: object = getattr(shape, name)
        if inner is None or isinstance(inner, str):
            continue
        if isinstance(inner, list):
            each = zip(value[name], cast("list[Shape]", inner), strict=True)
            paths += [f"{name}[].{path}" for one, shape_of_it in each for path in _lost(one, shape_of_it)]
        else:
            paths += [f"{name}.{path}" for path in _lost(value[name], cast("Shape", inner))]
    return paths


@cache
def _fields_of(kind: type[Shape]) -> tuple[frozenset[str], tuple[str, ...], bool]:
    """The fields that a shape declares or passes over, those that hold shapes, and whether it names any itself."""
    struct = inspect.type_info(kind)
    assert isinstance(struct, inspect.StructType)
    tag = [struct.tag_field] if struct.tag_field else []
    nested = tuple(field.name for field in struct.fields if _holds_shapes(field.type))
    judges = kind.without_effect is not Shape.without_effect
    return frozenset({*kind.__struct_fields__, *kind.silent, *tag}), nested, judges


def _holds_shapes(kind: inspect.Type) -> bool:
    kinds = [one.item_type if isinstance(one, inspect.ListType) else one for one in _members([kind])]
    return any(isinstance(one, inspect.StructType) and issubclass(one.cls, Shape) for one in _members(kinds))


def listed(paths: Sequence[str]) -> tuple[str, ...]:
    """Return paths as a header can list them: without indexes, each once, in order, few, of plain characters."""
    if not paths:
        return ()
    without_indexes = {re.sub(r"\[\d+\]", "[]", path) for path in paths}
    names = sorted({re.sub(r"[^\w.\[\]-]", "?", path, flags=re.ASCII)[:LONGEST_QUOTE] for path in without_indexes})
    more = len(names) - MOST_NAMES
    return (*names[:MOST_NAMES], *([f"and {more} more"] if more > 0 else ()))
