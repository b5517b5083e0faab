"""The items in the `input` of a Responses request become the items of a prompt.

Source: the OpenAI API reference, "Create a model response"; items that are not in there are the Codex CLI's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson
from msgspec import Struct

from bridge.conversation.prompt import Item, function_call, function_call_output
from bridge.conversation.tools import TOOL_SEARCH, Toolbox
from bridge.errors import invalid_request
from bridge.openai.content import Content, input_parts, output_parts, refuse_images, tool_output
from bridge.openai.history import short_id
from bridge.openai.responses.compaction import TRIGGER, Compacted, Unseal, placeholder
from bridge.openai.responses.object import source_of
from bridge.openai.shapes import Object, Refused, Shape, decode, lost
from bridge.openai.tool_specs import read_tools, toolbox_of


class InputItem(Shape, frozen=True):
    silent = frozenset({"type", "id", "status", "execution"})

    def item(self, toolbox: Toolbox) -> Item | None:
        """Return the item of the prompt; `toolbox` has the tools of the request, and those that items declare."""
        raise NotImplementedError  # each type of item says it; this base is never decoded


class Message(InputItem, frozen=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: Content = None
    phase: str | None = None

    def __post_init__(self) -> None:
        if self.role == "assistant":
            refuse_images(self.content)
        elif not self.content and self.content != "":
            raise Refused("content", "'{where}' must not be empty.", "missing_content")

    def item(self, toolbox: Toolbox) -> Item | None:
        if self.role != "assistant":
            # Codex drops items of the role `system`.
            role = "user" if self.role == "user" else "developer"
            return {"type": "message", "role": role, "content": input_parts(self.content)}
        parts = output_parts(self.content)
        if not parts:
            return None
        said = {"type": "message", "role": "assistant", "content": parts}
        return {**said, "phase": self.phase} if self.phase else said


class FunctionCall(InputItem, frozen=True):
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None

    def item(self, toolbox: Toolbox) -> Item:
        called = toolbox.call_to_codex(self.name, self.arguments, self.namespace)
        return function_call(short_id(self.call_id), *called)


class CustomToolCall(InputItem, frozen=True):
    call_id: str
    name: str
    input: str
    namespace: str | None = None

    def item(self, toolbox: Toolbox) -> Item:
        return function_call(short_id(self.call_id), *toolbox.call_to_codex(self.name, self.input, self.namespace))


class CallOutput(InputItem, frozen=True):
    call_id: str
    output: Content = None

    def item(self, toolbox: Toolbox) -> Item:
        return function_call_output(short_id(self.call_id), tool_output(self.output))


class ToolSearchCall(InputItem, frozen=True):
    call_id: str
    arguments: dict[str, Any]

    def item(self, toolbox: Toolbox) -> Item:
        return function_call(short_id(self.call_id), TOOL_SEARCH, orjson.dumps(self.arguments).decode())


class ToolSearchOutput(InputItem, frozen=True):
    call_id: str
    tools: list[dict[str, Any]]

    def item(self, toolbox: Toolbox) -> Item:
        return function_call_output(short_id(self.call_id), orjson.dumps(self.tools).decode())


class AdditionalTools(InputItem, frozen=True):
    silent = InputItem.silent | {"role"}

    tools: list[dict[str, Any]] | None = None

    def item(self, toolbox: Toolbox) -> None:
        return None


class SummaryText(Shape, frozen=True):
    silent = frozenset({"type"})

    text: str


class Reasoning(InputItem, frozen=True):
    encrypted_content: str | None = None
    id: str | None = None
    summary: list[SummaryText] | None = None

    def item(self, toolbox: Toolbox) -> Item | None:
        """Only its id could say what reasoning was that is not encrypted, to an upstream that stores it."""
        if not self.encrypted_content:
            return None
        parts = [{"type": "summary_text", "text": part.text} for part in self.summary or ()]
        source = source_of(self.id or "")
        known = {"id": source} if source else {}
        return {"type": "reasoning", "summary": parts, "encrypted_content": self.encrypted_content, **known}


class WebSearchCall(InputItem, frozen=True):
    action: dict[str, Any] | None = None

    def item(self, toolbox: Toolbox) -> Item:
        action = {"action": self.action} if self.action else {}
        return {"type": "web_search_call", "status": "completed", **action}


class AgentStep(InputItem, frozen=True):
    """Something that an agent, or a server of tools, has done for an earlier answer; the model does not see it."""

    silent = InputItem.silent | {
        "server_label",
        "name",
        "arguments",
        "output",
        "error",
        "tools",
        "approval_request_id",
    }

    def item(self, toolbox: Toolbox) -> None:
        return None


class ApprovalAnswer(InputItem, frozen=True):
    """The user's answer to a request for approval."""

    approval_request_id: str
    approve: bool
    reason: str | None = None

    def item(self, toolbox: Toolbox) -> None:
        return None


class Compaction(InputItem, frozen=True):
    silent = InputItem.silent | {"created_by"}

    encrypted_content: str


class OpenedCompaction(InputItem, frozen=True):
    """A compaction item whose content could be read; no request holds one."""

    content: Compacted

    def item(self, toolbox: Toolbox) -> Item:
        return placeholder(self.content)


class CompactionTrigger(InputItem, frozen=True):
    def __post_init__(self) -> None:
        raise Refused("type", f"A {TRIGGER} must be the last item of 'input'.")


_ITEMS: Mapping[str, type[InputItem]] = {
    "message": Message,
    "function_call": FunctionCall,
    "function_call_output": CallOutput,
    "custom_tool_call": CustomToolCall,
    "custom_tool_call_output": CallOutput,
    "tool_search_call": ToolSearchCall,
    "tool_search_output": ToolSearchOutput,
    "additional_tools": AdditionalTools,
    "reasoning": Reasoning,
    "web_search_call": WebSearchCall,
    "mcp_call": AgentStep,
    "mcp_list_tools": AgentStep,
    "mcp_approval_request": AgentStep,
    "mcp_approval_response": ApprovalAnswer,
    "compaction": Compaction,
    TRIGGER: CompactionTrigger,
}


class Numbered(Struct, frozen=True):
    """An item with its path in the request."""

    where: str
    item: InputItem
    lost: list[str]
    """The paths of what has no effect in it, without its number."""


def read_input(
    values: Sequence[Any], first: int = 0, unseal: Unseal | None = None, *, field: str = "input"
) -> list[Numbered]:
    """Read values of the `field`, of which errors call the first one by this number.

    Without `unseal`, compaction items are not supported.

    Raises:
        ApiError: 400, `param` leads to the fault.
    """
    return [_read(value, f"{field}[{number}]", unseal) for number, value in enumerate(values, first)]


def _read(value: Object, where: str, unseal: Unseal | None) -> Numbered:
    kind = (value.get("type") if isinstance(value, dict) else None) or "message"
    shape = _ITEMS.get(kind) if isinstance(kind, str) else None
    if shape is None or (shape is Compaction and unseal is None):
        message = f"Items of the type {kind!r} are not supported."
        raise invalid_request(message, f"{where}.type", "unsupported_content")
    item = decode(value, shape, where)
    paths = lost(value, item, "input[]")
    if isinstance(item, Compaction) and unseal is not None:
        item = OpenedCompaction(Compacted.opened(item.encrypted_content, unseal, f"{where}.encrypted_content"))
    return Numbered(where, item, paths)


def with_declared(toolbox: Toolbox, items: Sequence[Numbered]) -> Toolbox:
    """Return the toolbox together with the tools that items declare.

    Raises:
        ApiError: 400, `param` leads to the fault.
    """
    for one in items:
        if isinstance(one.item, AdditionalTools | ToolSearchOutput):
            path = f"{one.where}.tools"
            toolbox = toolbox.joined(toolbox_of(read_tools(one.item.tools, path).entries, path))
    return toolbox
