"""The tools that a request declares become a toolbox, whatever dialect they speak.

One array may mix the nested form of Chat Completions, the flat form of Responses and the bare form of the old
`functions`; Cursor does. Namespaces and the client's tool search are the Codex CLI's.

Source: the OpenAI API reference, "Create chat completion" and "Create a model response".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias, cast

from msgspec import Meta, Struct
from msgspec.structs import replace

from bridge.conversation.tools import Grammar, Tool, Toolbox
from bridge.errors import invalid_request
from bridge.json_values import is_deeper_than
from bridge.openai.shapes import Object, Refused, Shape, decode, lost, missing

MAX_NAME_LENGTH = 256

MOST_TOOLS = 1024
"""Eight times as many as the OpenAI API takes."""

WEB_SEARCH = "web_search"
"""How the types of the upstream's own search begin; some carry a date."""

MAX_SCHEMA_DEPTH = 60
"""Objects and arrays inside each other; twice as many and codex never answers."""

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)]


_SCHEMAS = ("parameters", "input_schema", "inputSchema")


class Function(Shape, frozen=True):
    """Without a schema it takes no arguments; MCP and Anthropic call the schema by other names."""

    silent = frozenset({"type", "function"})

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    input_schema: dict[str, Any] | None = None
    inputSchema: dict[str, Any] | None = None  # noqa: N815 - as MCP writes it
    strict: bool | None = None

    def __post_init__(self) -> None:
        for field in _SCHEMAS:
            _check_parameters(getattr(self, field), field)

    @property
    def schema(self) -> dict[str, Any] | None:
        """The schema of the arguments, under the first name that has one."""
        if self.parameters is not None:
            return self.parameters
        return self.inputSchema if self.input_schema is None else self.input_schema

    def without_effect(self) -> Iterable[str]:
        """Codex has no place for `strict`."""
        schema = self.schema
        others = [field for field in _SCHEMAS[1:] if getattr(self, field) not in (None, schema)]
        return [*others, "strict"] if self.strict else others


class TextFormat(Shape, frozen=True, tag_field="type", tag="text"):
    pass


class GrammarFormat(Shape, frozen=True, tag_field="type", tag="grammar"):
    """Chat Completions nests the grammar, Responses has it flat."""

    grammar: Grammar | None = None
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = None

    def __post_init__(self) -> None:
        for field in ("syntax", "definition"):
            if self.grammar is None and getattr(self, field) is None:
                raise missing(field)


class Custom(Shape, frozen=True):
    """A tool that takes raw text."""

    silent = frozenset({"type", "custom"})

    name: Name
    description: str | None = None
    format: TextFormat | GrammarFormat | None = None

    @property
    def grammar(self) -> Grammar | None:
        """What the text must look like."""
        match self.format:
            case GrammarFormat(Grammar() as grammar):
                return grammar
            case GrammarFormat(None, syntax, definition):
                return Grammar(syntax or "lark", definition or "")
            case _:
                return None


class ToolSearch(Shape, frozen=True):
    """The client's own search for tools that it has not declared yet."""

    silent = frozenset({"type"})

    execution: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.execution != "client":
            message = "'{where}' is 'tool_search', which is supported with the execution 'client' only."
            raise Refused("type", message, "unsupported_value")
        _check_parameters(self.parameters, "parameters")


class Filters(Shape, frozen=True):
    allowed_domains: list[str] | None = None


class Place(Shape, frozen=True):
    type: str | None = None
    country: str | None = None
    region: str | None = None
    city: str | None = None
    timezone: str | None = None


class WebSearch(Shape, frozen=True):
    """The upstream's own search."""

    type: str
    external_web_access: bool | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    filters: Filters | None = None
    user_location: Place | None = None


class Namespace(Shape, frozen=True):
    """A group of tools; an empty one, which codex refuses, is no tools."""

    silent = frozenset({"type"})

    name: Name
    tools: list[Any]
    """Objects, and once they are read entries."""
    description: str | None = None


class Mcp(Shape, frozen=True):
    """Codex itself as a server of tools: by it a client says that it answers an agent's requests for approval."""

    silent = frozenset({"type"})

    server_label: Literal["codex"]
    server_url: str | None = None
    server_description: str | None = None
    require_approval: Literal["always", "never"] | dict[str, Any] | None = None

    @property
    def asks(self) -> bool:
        """Whether the client wants to be asked, as it does by the API's default."""
        return self.require_approval != "never"

    def without_effect(self) -> Iterable[str]:
        """A filter by tool has no effect: what needs an approval is decided by codex."""
        return ["require_approval"] if isinstance(self.require_approval, dict) else []


DeclaredTool: TypeAlias = Function | Custom | ToolSearch | WebSearch | Namespace | Mcp
"""An entry of the field `tools`, in its flat form."""


def _check_parameters(schema: Mapping[str, Any] | None, field: str) -> None:
    """Accept the schema of an object that codex can read; null is none."""
    if is_deeper_than(schema, MAX_SCHEMA_DEPTH):
        message = f"'{{where}}' nests more than {MAX_SCHEMA_DEPTH} objects and arrays inside each other."
        raise Refused(field, message, "invalid_function_parameters")
    kind: object = (schema or {}).get("type")
    if kind not in ("object", None) and not (isinstance(kind, list) and "object" in cast("list[object]", kind)):
        message = f"'{{where}}' must be 'object', because the arguments of a tool are one; it is {kind!r}."
        raise Refused(f"{field}.type", message, "invalid_function_parameters")


# ── The field ────────────────────────────────────────────────────────────────────────────────────────────────────────

_IN_NAMESPACES: Mapping[str, type[DeclaredTool]] = {"function": Function, "custom": Custom, "tool_search": ToolSearch}
ENTRIES: Mapping[str, type[DeclaredTool]] = {**_IN_NAMESPACES, "namespace": Namespace, WEB_SEARCH: WebSearch}
ENTRIES_FOR_AGENTS: Mapping[str, type[DeclaredTool]] = {**ENTRIES, "mcp": Mcp}
"""The types of tools in a request to an agent."""


class _Typed(Shape, frozen=True):
    type: str | None = None


class Tools(Struct, frozen=True):
    """The field `tools` as it was read."""

    entries: list[DeclaredTool]
    lost: list[str]
    """The paths of what has no effect."""


def read_tools(
    tools: Sequence[Object] | None, where: str = "tools", shapes: Mapping[str, type[DeclaredTool]] = ENTRIES
) -> Tools:
    """Read the field; null is no tools.

    Raises:
        ApiError: 400, `param` names the place: malformed, of a type that codex has no place for (`unsupported_value`),
            a schema that is not an object's or too deep, too many.
    """
    if tools and len(tools) > MOST_TOOLS:
        raise invalid_request(f"'{where}' has {len(tools)} tools; the limit is {MOST_TOOLS}.", where, "array_too_long")
    read = Tools([], [])
    for number, tool in enumerate(tools or ()):
        read.entries.append(_read(tool, f"{where}[{number}]", shapes, read.lost))
    return read


def _read(tool: Object, where: str, shapes: Mapping[str, type[DeclaredTool]], lost_paths: list[str]) -> DeclaredTool:
    # Careless clients leave the type out.
    kind = decode(tool, _Typed, where).type or ("function" if tool.get("custom") is None else "custom")
    shape = shapes.get(WEB_SEARCH if kind.startswith(WEB_SEARCH) else kind)
    if shape is None:
        message = f"'{where}' has the type {kind!r}; use {', '.join(shapes)}."
        raise invalid_request(message, f"{where}.type", "unsupported_value")
    fields, path = nested(tool, kind, where)
    entry = decode(fields, shape, path)
    lost_paths += lost(fields, entry, path)
    if fields is not tool:
        lost_paths += [f"{where}.{name}" for name in tool.keys() - {"type", kind} if tool[name] is not None]
    if isinstance(entry, Namespace):
        inside = read_tools(entry.tools, f"{where}.tools", _IN_NAMESPACES)
        lost_paths += inside.lost
        return replace(entry, tools=inside.entries)
    return entry


def nested(fields: Object, kind: str, where: str) -> tuple[Object, str]:
    """Return what Chat nests in a field that is called like its type, and the path of it; if it is flat, all of it."""
    return (fields, where) if fields.get(kind) is None else (fields[kind], f"{where}.{kind}")


def toolbox_of(entries: Iterable[DeclaredTool], where: str = "tools") -> Toolbox:
    """Return the tools of a request; a tool that is declared twice alike is one.

    Raises:
        ApiError: 400, one name for two tools.
    """
    tools: dict[tuple[str | None, str], Tool] = {}
    web_search: Object | None = None
    for number, entry in enumerate(entries):
        if isinstance(entry, WebSearch):
            web_search = _search_settings(entry)
        for tool in _declared(entry):
            if tools.setdefault(tool.path, tool) != tool:
                path = f"{where}[{number}]"
                raise invalid_request(f"'{path}' is another tool with the name {tool.name!r}.", path, "invalid_value")
    return Toolbox(tuple(tools.values()), web_search)


def _declared(entry: DeclaredTool) -> Iterator[Tool]:
    match entry:
        case Function(name, description):
            yield Tool.function(name, description or "", entry.schema or {})
        case Custom(name, description):
            yield Tool.custom(name, description or "", entry.grammar)
        case ToolSearch(_, description, parameters):
            yield Tool.search(description or "", parameters or {})
        case Namespace(name, entries, description):
            for tool in (tool for entry in entries for tool in _declared(entry)):
                yield tool.in_namespace(name, description or "")
        case WebSearch() | Mcp():
            pass


def _search_settings(search: WebSearch) -> Object:
    """The settings of codex's own search, under codex's names."""
    place = search.user_location or Place()
    location = {name: getattr(place, name) for name in ("country", "region", "city", "timezone")}
    settings = {
        "mode": "cached" if search.external_web_access is False else "live",
        "context_size": search.search_context_size,
        "allowed_domains": search.filters and search.filters.allowed_domains,
        "location": {name: value for name, value in location.items() if value},
    }
    return {name: value for name, value in settings.items() if value}
