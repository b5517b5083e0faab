"""The field `tool_choice`, whatever dialect it speaks.

Source: the OpenAI API reference, "Create chat completion" and "Create a model response".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from bridge.conversation.tools import Toolbox
from bridge.errors import invalid_request
from bridge.openai.shapes import Object, Shape, decode
from bridge.openai.tool_specs import WEB_SEARCH, Name, nested


class ToolChoice(Struct, frozen=True):
    """Which tools the model is to call: as it likes, none, at least one, or the one of this name."""

    mode: Literal["auto", "none", "required", "named"] = "auto"
    name: str | None = None


Mode: TypeAlias = Literal["auto", "none", "required", "any"]


class _Typed(Shape, frozen=True):
    type: str | None = None


class _Named(Shape, frozen=True):
    name: Name


class _AllowedTools(Shape, frozen=True):
    mode: Mode | None = None


_MODES: Mapping[str, ToolChoice] = {
    "auto": ToolChoice("auto"),
    "none": ToolChoice("none"),
    "required": ToolChoice("required"),
    "any": ToolChoice("required"),
}


def read_tool_choice(value: str | Object | None, toolbox: Toolbox, where: str = "tool_choice") -> ToolChoice:
    """Read the field, or the old `function_call`; null is `auto`.

    Of `allowed_tools` only the mode is honoured: the model keeps all tools, which are fixed for a Codex thread.

    Raises:
        ApiError: 400, malformed, or a call is demanded of a tool that is not declared.
    """
    choice = _mode(value or "auto", where) if not isinstance(value, Mapping) else _choice(value, where)
    if choice.mode == "required" and toolbox == Toolbox():
        raise invalid_request(f"'{where}' demands a tool call, but no tools are declared.", where, "invalid_value")
    names = [tool.name for tool in toolbox.tools] + ([WEB_SEARCH] if toolbox.web_search is not None else [])
    if choice.name is not None and choice.name not in names:
        message = f"'{where}' names the tool {choice.name!r}, which is not declared in 'tools'."
        raise invalid_request(message, where, "invalid_value")
    return choice


def _mode(mode: str, where: str) -> ToolChoice:
    if mode not in _MODES:
        message = f"Invalid value for '{where}': {mode!r}; use {', '.join(_MODES)} or an object that names a tool."
        raise invalid_request(message, where, "invalid_value")
    return _MODES[mode]


def _choice(value: Object, where: str) -> ToolChoice:
    kind = decode(value, _Typed, where).type or "function"
    fields, path = nested(value, kind, where)
    match kind:
        case "function" | "custom":
            return ToolChoice("named", decode(fields, _Named, path).name)
        case "allowed_tools":
            return _MODES[decode(fields, _AllowedTools, path).mode or "auto"]
        case "auto" | "none" | "required" | "any":
            return _MODES[kind]
        case _ if kind.startswith(WEB_SEARCH):
            return ToolChoice("named", WEB_SEARCH)
        case _:
            message = f"'{where}' has the type {kind!r}; only a function, a custom tool or web_search can be named."
            raise invalid_request(message, f"{where}.type", "unsupported_value")


def repeated(choice: str | Object | None) -> str | Object:
    """Return the field as a response repeats it: flat, and with its type."""
    fields: Object = choice if isinstance(choice, Mapping) else {"type": choice or "auto"}
    kind: str = fields.get("type") or "function"
    if kind in _MODES:
        return _MODES[kind].mode
    flat: Any = fields.get(kind) or fields
    return {**flat, "type": kind}
