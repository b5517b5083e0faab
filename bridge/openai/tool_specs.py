"""The fields `tools`, `functions` and `tool_choice` become a toolbox and a choice, whatever dialect they speak.

One array may mix the nested form of Chat Completions, the flat form of Responses and the bare form of the old
`functions`; Cursor does. Namespaces and the client's tool search are the Codex CLI's.

Source: the OpenAI API reference, "Create chat completion" and "Create a model response".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from msgspec import Struct

from bridge.errors import invalid_request
from bridge.json_body import is_deeper_than
from bridge.openai.fields import Object, expect, expect_object, optional, required
from bridge.tools import Grammar, Kind, Tool, Toolbox

MAX_NAME_LENGTH = 256

MOST_TOOLS = 1024
"""Eight times as many as the OpenAI API takes."""

WEB_SEARCH = "web_search"
"""How the types of the upstream's own search begin; some carry a date."""
SEARCH_SIZES = ("low", "medium", "high")

MAX_SCHEMA_DEPTH = 60
"""Objects and arrays inside each other; twice as many and codex never answers."""


class ToolChoice(Struct, frozen=True):
    """Which tools the model is to call: as it likes, none, at least one, or the one of this name."""

    mode: Literal["auto", "none", "required", "named"] = "auto"
    name: str | None = None


def parse_tools(value: object, where: str = "tools") -> Toolbox:
    """Read the field; null is no tools, and a tool that is declared twice alike is one.

    Raises:
        ApiError: 400, `param` names the place: malformed, of a type that codex has no place for (`unsupported_value`),
            one name for two tools, a schema that is not an object's or too deep.
    """
    if value is None:
        return Toolbox()
    entries = cast("list[object]", expect(value, list, where))
    if len(entries) > MOST_TOOLS:
        raise invalid_request(
            f"'{where}' has {len(entries)} tools; {MOST_TOOLS} are the most.", where, "array_too_long"
        )
    tools: dict[tuple[str | None, str], Tool] = {}
    web_search: Object | None = None
    for number, entry in enumerate(entries):
        path = f"{where}[{number}]"
        fields = expect_object(entry, path)
        kind = optional(fields, "type", str, f"{path}.type")
        if kind is not None and kind.startswith(WEB_SEARCH):
            web_search = _web_search(fields, path)
            continue
        for tool in _namespace(fields, path) if kind == "namespace" else [_tool(fields, path)]:
            if tools.setdefault(tool.path, tool) != tool:
                raise invalid_request(f"'{path}' is another tool with the name {tool.name!r}.", path, "invalid_value")
    return Toolbox(tuple(tools.values()), web_search)


def parse_tool_choice(value: object, toolbox: Toolbox, where: str = "tool_choice") -> ToolChoice:
    """Read the field, or the old `function_call`; null is `auto`.

    Of `allowed_tools` only the mode is honoured: the model keeps all tools, which are fixed for a Codex thread.

    Raises:
        ApiError: 400, malformed, or a call is demanded of a tool that is not declared.
    """
    if value is None:
        return ToolChoice()
    choice = _mode(value, where) if isinstance(value, str) else _choice(expect_object(value, where), where)
    if choice.mode == "required" and toolbox == Toolbox():
        raise invalid_request(f"'{where}' demands a tool call, but no tools are declared.", where, "invalid_value")
    names = [tool.name for tool in toolbox.tools] + ([WEB_SEARCH] if toolbox.web_search is not None else [])
    if choice.name is not None and choice.name not in names:
        message = f"'{where}' names the tool {choice.name!r}, which is not declared in 'tools'."
        raise invalid_request(message, where, "invalid_value")
    return choice


def _namespace(entry: Object, where: str) -> list[Tool]:
    """The tools of a namespace; an empty one, which codex refuses, is no tools."""
    name = _name(entry, where)
    description = optional(entry, "description", str, f"{where}.description") or ""
    tools = cast("list[object]", required(entry, "tools", list, f"{where}.tools"))
    paths = [f"{where}.tools[{number}]" for number in range(len(tools))]
    found = (_tool(expect_object(tool, path), path) for tool, path in zip(tools, paths, strict=True))
    return [tool.in_namespace(name, description) for tool in found]


def _web_search(entry: Object, where: str) -> Object:
    """The settings of codex's own search, under codex's names."""
    live = optional(entry, "external_web_access", bool, f"{where}.external_web_access") is not False
    settings: dict[str, Any] = {"mode": "live" if live else "cached"}
    if size := optional(entry, "search_context_size", str, f"{where}.search_context_size"):
        if size not in SEARCH_SIZES:
            message = f"Invalid value for '{where}.search_context_size': {size!r}; use {', '.join(SEARCH_SIZES)}."
            raise invalid_request(message, f"{where}.search_context_size", "invalid_value")
        settings["context_size"] = size
    filters = expect_object(entry.get("filters") or {}, f"{where}.filters")
    if domains := cast("list[Any]", optional(filters, "allowed_domains", list, f"{where}.filters.allowed_domains")):
        allowed = enumerate(domains)
        settings["allowed_domains"] = [expect(one, str, f"{where}.filters.allowed_domains[{n}]") for n, one in allowed]
    place = expect_object(entry.get("user_location") or {}, f"{where}.user_location")
    names = ("country", "region", "city", "timezone")
    known = {name: expect(place[name], str, f"{where}.user_location.{name}") for name in names if place.get(name)}
    return {**settings, "location": known} if known else settings


def _tool(entry: Object, where: str) -> Tool:
    kind = _kind(entry, where)
    if kind == "search":
        description = optional(entry, "description", str, f"{where}.description") or ""
        return Tool.search(description, _parameters(entry, f"{where}.parameters"))
    nested = entry.get(kind) is not None
    fields, path = (expect_object(entry[kind], f"{where}.{kind}"), f"{where}.{kind}") if nested else (entry, where)
    name = _name(fields, path)
    description = optional(fields, "description", str, f"{path}.description") or ""
    if kind == "custom":
        return Tool.custom(name, description, _grammar(fields, f"{path}.format"))
    return Tool.function(name, description, _parameters(fields, f"{path}.parameters"))


def _kind(entry: Object, where: str) -> Kind:
    """The type, which sloppy clients leave out."""
    match optional(entry, "type", str, f"{where}.type"):
        case "custom":
            return "custom"
        case None if entry.get("custom") is not None:
            return "custom"
        case "function" | None:
            return "function"
        case "tool_search" if entry.get("execution") == "client":
            return "search"
        case kind:
            message = (
                f"'{where}' has the type {kind!r}; there are only the types 'function', 'custom', 'namespace', "
                "'web_search', and 'tool_search' with the execution 'client'."
            )
            raise invalid_request(message, f"{where}.type", "unsupported_value")


def _name(fields: Object, where: str) -> str:
    name = required(fields, "name", str, f"{where}.name")
    if not 0 < len(name) <= MAX_NAME_LENGTH:
        message = f"'{where}.name' must have 1 to {MAX_NAME_LENGTH} characters, it has {len(name)}."
        raise invalid_request(message, f"{where}.name", "invalid_value")
    return name


def _parameters(fields: Object, where: str) -> Object:
    """The schema of the arguments; none at all is a function without arguments."""
    given = fields.get("parameters")
    schema: Object = {} if given is None else expect_object(given, where)
    if is_deeper_than(schema, MAX_SCHEMA_DEPTH):
        message = f"'{where}' nests more than {MAX_SCHEMA_DEPTH} objects and arrays inside each other."
        raise invalid_request(message, where, "invalid_function_parameters")
    kind: object = schema.get("type")
    if (
        kind is not None
        and kind != "object"
        and not (isinstance(kind, list) and "object" in cast("list[object]", kind))
    ):
        message = f"'{where}' must be the JSON schema of an object, its type is {kind!r}."
        raise invalid_request(message, f"{where}.type", "invalid_function_parameters")
    return schema


def _grammar(fields: Object, where: str) -> Grammar | None:
    """Chat Completions nests the grammar in the format, Responses has it flat."""
    given = fields.get("format")
    if given is None:
        return None
    form = expect_object(given, where)
    kind = required(form, "type", str, f"{where}.type")
    if kind == "text":
        return None
    if kind != "grammar":
        raise invalid_request(
            f"Invalid value for '{where}.type': {kind!r}; use text or grammar.", f"{where}.type", "invalid_value"
        )
    if form.get("grammar") is not None:
        form, where = expect_object(form["grammar"], f"{where}.grammar"), f"{where}.grammar"
    syntax = required(form, "syntax", str, f"{where}.syntax")
    if syntax not in ("lark", "regex"):
        raise invalid_request(
            f"Invalid value for '{where}.syntax': {syntax!r}; use lark or regex.", f"{where}.syntax", "invalid_value"
        )
    return Grammar(syntax, required(form, "definition", str, f"{where}.definition"))


_MODES: Mapping[str, ToolChoice] = {
    "auto": ToolChoice("auto"),
    "none": ToolChoice("none"),
    "required": ToolChoice("required"),
    "any": ToolChoice("required"),
}


def _mode(mode: str, where: str) -> ToolChoice:
    if mode not in _MODES:
        message = f"Invalid value for '{where}': {mode!r}; use {', '.join(_MODES)} or an object that names a tool."
        raise invalid_request(message, where, "invalid_value")
    return _MODES[mode]


def _choice(value: Object, where: str) -> ToolChoice:
    kind: Any = optional(value, "type", str, f"{where}.type") or "function"
    match kind:
        case "function" | "custom":
            nested = value.get(kind) is not None
            path = f"{where}.{kind}" if nested else where
            return ToolChoice("named", _name(expect_object(value[kind], path) if nested else value, path))
        case "allowed_tools":
            nested = value.get(kind) is not None
            path = f"{where}.{kind}" if nested else where
            allowed = expect_object(value[kind], path) if nested else value
            return _mode(optional(allowed, "mode", str, f"{path}.mode") or "auto", f"{path}.mode")
        case "auto" | "none" | "required" | "any":
            return _MODES[kind]
        case str() if kind.startswith(WEB_SEARCH):
            return ToolChoice("named", WEB_SEARCH)
        case _:
            message = f"'{where}' has the type {kind!r}; only a function, a custom tool or web_search can be named."
            raise invalid_request(message, f"{where}.type", "unsupported_value")
