"""The field `tool_choice`, whatever dialect it speaks.

Source: the OpenAI API reference, "Create chat completion" and "Create a model response".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from bridge.conversation.tools import Toolbox
from bridge.errors import invalid_request
from bridge.openai.shapes import Object, Shape, decode
from bridge.openai.tool_specs import WEB_SEARCH, Name, nested

Mode: TypeAlias = Literal["auto", "none", "required", "any"]


class ToolChoice(Struct, frozen=True):
    """Which tools the model has, and which it is to call: as it likes, at least one, or the one of this name."""

    toolbox: Toolbox
    mode: Literal["auto", "required", "named"] = "auto"
    name: str | None = None


class _Typed(Shape, frozen=True):
    type: str | None = None


class _Named(Shape, frozen=True):
    name: Name


class _AllowedTools(Shape, frozen=True):
    tools: list[dict[str, Any]]
    mode: Mode | None = None


_MODES: Mapping[str, Literal["auto", "none", "required"]] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
    "any": "required",
}


def read_tool_choice(value: str | Object | None, toolbox: Toolbox, where: str = "tool_choice") -> ToolChoice:
    """Read the field; null is `auto`. A tool that may not be called is not declared: codex knows no other way.

    Raises:
        ApiError: 400, malformed, a tool is named that is not declared, or a call is demanded and there are no tools.
    """
    if not isinstance(value, Mapping):
        return _of_mode(value or "auto", toolbox, where)
    kind = decode(value, _Typed, where).type or "function"
    if kind in _MODES:
        return _of_mode(kind, toolbox, where)
    if kind == "allowed_tools":
        fields, path = nested(value, kind, where)
        allowed = decode(fields, _AllowedTools, path)
        return _of_mode(allowed.mode or "auto", _allowed(allowed.tools, toolbox, f"{path}.tools"), where)
    name, _ = _named(value, toolbox, where)
    return ToolChoice(toolbox, "named", name)


def _of_mode(mode: str, toolbox: Toolbox, where: str) -> ToolChoice:
    match _MODES.get(mode):
        case None:
            message = f"Invalid value for '{where}': {mode!r}; use {', '.join(_MODES)} or an object that names a tool."
            raise invalid_request(message, where, "invalid_value")
        case "none":
            return ToolChoice(Toolbox())
        case "required" if toolbox == Toolbox():
            message = f"'{where}' demands a tool call, but there is no tool to call."
            raise invalid_request(message, where, "invalid_value")
        case known:
            return ToolChoice(toolbox, known)


def _allowed(references: Sequence[Object], toolbox: Toolbox, where: str) -> Toolbox:
    """The tools that are referred to, in the order in which they are declared."""
    parts = [_named(one, toolbox, f"{where}[{number}]")[1] for number, one in enumerate(references)]
    tools = [tool for tool in toolbox.tools if any(tool in part.tools for part in parts)]
    searches = any(part.web_search is not None for part in parts)
    return Toolbox(tuple(tools), toolbox.web_search if searches else None)


def _named(reference: Object, toolbox: Toolbox, where: str) -> tuple[str, Toolbox]:
    """The name in a reference to a tool or a namespace, and the tools of that name."""
    kind = decode(reference, _Typed, where).type or "function"
    fields, path = nested(reference, kind, where)
    match kind:
        case "function" | "custom":
            name = decode(fields, _Named, path).name
            part = Toolbox(tuple(tool for tool in toolbox.tools if tool.name == name))
        case "namespace":
            name = decode(fields, _Named, path).name
            part = Toolbox(tuple(tool for tool in toolbox.tools if tool.path[0] == name))
        case "tool_search":
            name, part = kind, Toolbox(tuple(tool for tool in toolbox.tools if tool.kind == "search"))
        case _ if kind.startswith(WEB_SEARCH):
            name, part = WEB_SEARCH, Toolbox((), toolbox.web_search)
        case _:
            message = f"'{where}' has the type {kind!r}; use function, custom, namespace, tool_search or web_search."
            raise invalid_request(message, f"{where}.type", "unsupported_value")
    if part == Toolbox():
        message = f"'{where}' names the tool {name!r}, which is not declared in 'tools'."
        raise invalid_request(message, where, "invalid_value")
    return name, part


def repeated(choice: str | Object | None) -> str | Object:
    """Return the field as a response repeats it: flat, and with its type."""
    fields: Object = choice if isinstance(choice, Mapping) else {"type": choice or "auto"}
    kind: str = fields.get("type") or "function"
    if kind in _MODES:
        return _MODES[kind]
    flat: Any = fields.get(kind) or fields
    return {**flat, "type": kind}
