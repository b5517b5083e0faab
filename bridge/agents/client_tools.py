"""The client's own tools, which an agent has beside those of Codex: how Codex gets them, and their open calls.

1. They are in namespaces of their own, because Codex hides a tool that has the name of one of its own.
2. Models that call tools from scripts call these directly. From a script, the model would be asked again while no
   client is there: Codex stops waiting for a script after half a minute.
3. Codex fixes the tools of a thread when it starts. A request can use a thread that has its tools and more.
4. The model may use a call id twice, so the client gets ids that no other call has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Set
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from bridge.conversation.events import APPROVAL, ToolCall
from bridge.conversation.prompt import Item
from bridge.conversation.tools import Namespace, Tool, Toolbox, codex_namespace
from codex_rpc.wire.calls import Params
from codex_rpc.wire.events import ToolCallAsked
from codex_rpc.wire.messages import Request
from codex_rpc.wire.protocol import tool_call_failure, tool_call_result

NAMESPACE = "client"
"""The namespace of tools that the client declares without one; a namespace of the client follows it."""

DESCRIPTION = "Tools of the client, the program by which the user talks to you. The client runs them, not this machine."

NO_OUTPUT = "The client gave no output."


class ClientTools(Struct, frozen=True):
    """The tools of one request, as the client declares them."""

    tools: tuple[Tool, ...] = ()

    @classmethod
    def of(cls, toolbox: Toolbox) -> ClientTools:
        """Return the client's tools without the function by which it is asked for approvals."""
        return cls(tuple(tool for tool in toolbox.tools if tool.path != (None, APPROVAL)))

    def specs(self) -> list[dict[str, Any]]:
        """Return the value of `dynamicTools` in `thread/start`."""
        return Toolbox(tuple(map(_ours, self.tools))).specs()

    def namespaces(self) -> list[str]:
        """Return codex's names of the namespaces."""
        return [spec["name"] for spec in self.specs()]

    def digests(self) -> tuple[str, ...]:
        """Return a digest of each tool."""
        return tuple(_digest(_ours(tool)) for tool in self.tools)

    def call(self, asked: ToolCallAsked) -> ToolCall | None:
        """Return a call as the client reads it; None if the request does not declare the tool."""
        for tool in self.tools:
            called = Toolbox((_ours(tool),)).call_to_client(asked.tool, asked.arguments, asked.namespace)
            if called is not None:
                namespace, name = tool.path
                return ToolCall(asked.unique_id, name, called[1], tool.kind, namespace)
        return None


class OpenCalls:
    """The calls of one turn that wait for the client's outputs."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[ToolCallAsked, ToolCall]] = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def names(self) -> tuple[str, ...]:
        """The client's names of the tools that were called."""
        return tuple(call.name for _, call in self._open.values())

    def add(self, asked: ToolCallAsked, call: ToolCall) -> None:
        """Keep a call that was passed on to the client."""
        self._open[asked.unique_id] = asked, call

    def knows_any(self, ids: Set[str]) -> bool:
        """Return whether one of these calls waits for its output."""
        return not self._open.keys().isdisjoint(ids)

    def settle(self, outputs: Mapping[str, Any]) -> list[tuple[Request, Params]]:
        """Return codex's requests, each with its result; a call without an output has failed. None waits after it.

        An output is a text, or the parts of a function_call_output item.
        """
        asked, self._open = self._open, {}
        return [
            (one.request, tool_call_result(outputs[call_id]) if call_id in outputs else tool_call_failure(NO_OUTPUT))
            for call_id, (one, _) in asked.items()
        ]


def refused(asked: ToolCallAsked) -> tuple[Request, Params]:
    """Return codex's request for a call of a tool that the client does not have, with its result."""
    return asked.request, tool_call_failure(f"The client has no tool {asked.tool}.")


def in_thread(item: Item) -> Item:
    """Return a call of the client's history as the model would have written it on an agent's thread."""
    if item["type"] != "function_call":
        return item
    return {**item, "namespace": codex_namespace(_namespace(item.get("namespace")))}


def _ours(tool: Tool) -> Tool:
    """Return a tool in the namespace that it has on a thread."""
    given = tool.namespace
    named = _namespace(given.name if given else None)
    return replace(tool, namespace=Namespace(named, given.description if given else DESCRIPTION))


def _namespace(given: str | None) -> str:
    return NAMESPACE if given is None else f"{NAMESPACE}__{given}"


def _digest(tool: Tool) -> str:
    assert tool.namespace is not None
    told = [tool.namespace.name, tool.kind, tool.spec()]
    return hashlib.blake2b(orjson.dumps(told, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()
