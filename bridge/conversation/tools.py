"""A client's tools, and how they and their calls are translated for codex.

1. Codex accepts fewer names than clients use: `codex_name` maps each name independently of the other tools, so that a
   call in an old history still refers to the same tool.
2. Codex has no custom (grammar) tools: they become functions whose only argument `input` is the raw text.
3. Codex rewrites schemas; `tool_schema` ensures that nothing is lost except `strict`.
4. Codex has namespaces of tools, but refuses some names. `functions` is the upstream's name for no namespace.
5. Codex has no client-side tool search: it becomes a function, and the tools that it finds are declared from then on.

Measured on codex 0.163.0 and 0.169.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal, TypeAlias, cast

import orjson
from msgspec import Struct
from msgspec.structs import replace

from bridge.conversation.tool_schema import LIMIT, compact, for_codex
from bridge.json_values import json_object

_PLAIN = re.compile(r"(?!(exec_command|shell_command|mcp|mcp__.*|x_.*_[0-9a-f]{8})$)[a-zA-Z0-9_-]{1,128}")
"""Names that need no mapping: codex accepts their characters, does not hide them from the model as its own
(`…_command`), and does not refuse them (`mcp…`, with -32600); and they do not look like a mapped name."""

_PLAIN_NAMESPACE = re.compile(
    r"(?!(api_tool|browser|computer|container|file_search|functions|image_gen|multi_tool_use|python"
    r"|python_user_visible|submodel_delegator|terminal|tool_search|web|mcp|mcp__.*|x_.*_[0-9a-f]{8})$)[a-zA-Z0-9_-]{1,64}"
)
"""The same for namespaces; codex refuses those of the upstream's own tools."""

_LONGEST_NAME, _LONGEST_NAMESPACE = 128, 64

NO_NAMESPACE = "functions"
"""The upstream's name for tools without a namespace. Responses-Lite models use it in their calls."""

TOOL_SEARCH = "tool_search"

Kind: TypeAlias = Literal["function", "custom", "search"]


class Grammar(Struct, frozen=True):
    """The grammar that the raw text of a custom tool must match."""

    syntax: Literal["lark", "regex"]
    definition: str


class Namespace(Struct, frozen=True):
    """A group of tools; `name` is the client's."""

    name: str
    description: str


class Tool(Struct, frozen=True):
    """A tool under the client's name; `description` and `schema` are those sent to codex."""

    name: str
    kind: Kind
    description: str
    schema: Mapping[str, Any]
    codex_name: str
    namespace: Namespace | None = None

    @classmethod
    def function(cls, name: str, description: str, parameters: Mapping[str, Any]) -> Tool:
        """Return a tool whose arguments are a JSON object; `parameters` is the JSON schema of that object.

        A schema that codex would cut is repeated in the description, which has no limit: a schema that is too large,
        or one with a reference inside a description, because codex removes definitions that only texts refer to.
        """
        schema = cast("dict[str, Any]", for_codex({**parameters, "type": "object"}, name))
        text = orjson.dumps(schema)
        if len(text) > LIMIT or rb"\"$ref\":" in text:
            description = _join(description, f"The arguments must match this JSON schema:\n{compact(parameters)}")
        return cls(name, "function", description, schema, codex_name(name))

    @classmethod
    def custom(cls, name: str, description: str, grammar: Grammar | None) -> Tool:
        """Return a tool that takes raw text, which a grammar may restrict."""
        note = "`input` is the raw text that this tool takes, as it is: not JSON, no fence around it."
        if grammar:
            note += f" It must match this {grammar.syntax} grammar:\n{grammar.definition}"
        schema = {
            "type": "object",
            "properties": {"input": {"type": "string", "description": "The raw text."}},
            "required": ["input"],
            "additionalProperties": False,
        }
        return cls(name, "custom", _join(description, note), schema, codex_name(name))

    @classmethod
    def search(cls, description: str, parameters: Mapping[str, Any]) -> Tool:
        """Return the client's search for tools that it has not declared yet."""
        return replace(cls.function(TOOL_SEARCH, description, parameters), kind="search")

    def in_namespace(self, name: str, description: str) -> Tool:
        """Return the same tool inside a namespace of the client."""
        return self if without_namespace(name) is None else replace(self, namespace=Namespace(name, description))

    @property
    def path(self) -> tuple[str | None, str]:
        """The client's namespace and name; unique among the tools of a request."""
        return self.namespace.name if self.namespace else None, self.name

    def spec(self) -> dict[str, Any]:
        """Return the tool as an element of `dynamicTools` in `thread/start`, or of a namespace there."""
        return {
            "type": "function",
            "name": self.codex_name,
            "description": self.description,
            "inputSchema": self.schema,
        }


class Toolbox(Struct, frozen=True):
    """The tools of one request, in the client's order and with unique names."""

    tools: tuple[Tool, ...] = ()
    web_search: Mapping[str, Any] | None = None
    """The settings of codex's web search (`mode`, and those of its `tools.web_search`); None if it is off."""

    def specs(self) -> list[dict[str, Any]]:
        """Return the value of `dynamicTools` in `thread/start`."""
        specs: list[dict[str, Any]] = []
        groups: dict[Namespace, list[dict[str, Any]]] = {}
        for tool in self.tools:
            if tool.namespace is None:
                specs.append(tool.spec())
                continue
            if tool.namespace not in groups:
                groups[tool.namespace] = []
                name, description = codex_namespace(tool.namespace.name), tool.namespace.description
                tools = groups[tool.namespace]
                specs.append({"type": "namespace", "name": name, "description": description, "tools": tools})
            groups[tool.namespace].append(tool.spec())
        return specs

    def joined(self, other: Toolbox) -> Toolbox:
        """Return a toolbox with the tools of both; of two tools with the same name, it has `other`'s."""
        tools = {tool.path: tool for tool in (*self.tools, *other.tools)}
        return Toolbox(tuple(tools.values()), other.web_search or self.web_search)

    def find(self, name: str, namespace: str | None = None) -> Tool | None:
        """Return the tool that the client declared under a name; None if there is none."""
        return next((tool for tool in self.tools if tool.path == (namespace, name)), None)

    def call_to_client(self, name: str, arguments: str, namespace: str | None = None) -> tuple[Tool, str] | None:
        """Return the tool that the model called and the arguments for the client; None for a tool that is not declared.

        The arguments of a custom tool are its raw text, or the model's text if it is not an object with a string
        `input`. A call without arguments gets an empty object. A namespace equal to the tool's name means no namespace.
        """
        namespace = without_namespace(namespace)
        tool = self._declared(name, namespace) or (self._declared(name, None) if namespace == name else None)
        if tool is None:
            return None
        text = json_object(arguments).get("input") if tool.kind == "custom" else None
        return tool, text if isinstance(text, str) else arguments if arguments.strip() else "{}"

    def _declared(self, codex_name: str, namespace: str | None) -> Tool | None:
        path = namespace, codex_name
        return next((tool for tool in self.tools if (_codex_namespace(tool), tool.codex_name) == path), None)

    def call_to_codex(self, name: str, arguments: str, namespace: str | None = None) -> tuple[str, str, str | None]:
        """Return the name, the arguments and the namespace that the model wrote, for a call in the client's history.

        For a call of a custom tool, clients send either the raw text or the object with `input` alone.
        """
        namespace = without_namespace(namespace)
        tool = self.find(name, namespace)
        if tool and tool.kind == "custom" and not _is_wrapped(json_object(arguments)):
            arguments = compact({"input": arguments})
        return codex_name(name), arguments, None if namespace is None else codex_namespace(namespace)


def without_namespace(namespace: str | None) -> str | None:
    """Return the namespace; None for the upstream's names for no namespace."""
    return None if namespace in {"", NO_NAMESPACE} else namespace


def codex_name(name: str) -> str:
    """Return codex's name for a client's tool: the same name if codex accepts it, else a mapped name with a hash.

    Different names have different results; for this reason a name that looks like a mapped one is mapped too.
    """
    return name if _PLAIN.fullmatch(name) else _mapped(name, _LONGEST_NAME)


def codex_namespace(name: str) -> str:
    """Return codex's name for a client's namespace, by the rules of `codex_name`."""
    return name if _PLAIN_NAMESPACE.fullmatch(name) else _mapped(name, _LONGEST_NAMESPACE)


def _mapped(name: str, longest: int) -> str:
    digest = sha256(name.encode()).hexdigest()[:8]
    return f"x_{re.sub('[^a-zA-Z0-9_-]', '_', name)[: longest - len('x__') - len(digest)]}_{digest}"


def _codex_namespace(tool: Tool) -> str | None:
    return codex_namespace(tool.namespace.name) if tool.namespace else None


def _join(description: str, note: str) -> str:
    return f"{description}\n\n{note}" if description else note


def _is_wrapped(fields: Mapping[str, Any]) -> bool:
    return len(fields) == 1 and isinstance(fields.get("input"), str)
