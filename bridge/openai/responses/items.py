"""The items in the `input` of a Responses request become the items of a prompt.

Source: the OpenAI API reference, "Create a model response"; items that are not in there are the Codex CLI's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import orjson

from bridge.conversation.prompt import Item, function_call, function_call_output
from bridge.conversation.tools import TOOL_SEARCH, Toolbox
from bridge.errors import invalid_request
from bridge.openai.content import Content, input_parts, output_parts, refuse_images, tool_output
from bridge.openai.history import short_id
from bridge.openai.responses.object import source_of
from bridge.openai.shapes import Object, Refused, Shape, decode
from bridge.openai.tool_specs import read_tools, toolbox_of

ROLES = {"system": "developer", "developer": "developer", "user": "user"}
"""Codex drops items of the role `system`; `developer` is what the Responses API calls the same."""


class Message(Shape, frozen=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: Content = None
    phase: str | None = None

    def __post_init__(self) -> None:
        if self.content is None or self.content == []:
            raise Refused("content", "'{where}' must not be empty.", "missing_content")
        if self.role == "assistant":
            refuse_images(self.content)


class FunctionCall(Shape, frozen=True):
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None


class CustomToolCall(Shape, frozen=True):
    call_id: str
    name: str
    input: str
    namespace: str | None = None


class CallOutput(Shape, frozen=True):
    call_id: str
    output: Content = None


class ToolSearchCall(Shape, frozen=True):
    call_id: str
    arguments: dict[str, Any]


class ToolSearchOutput(Shape, frozen=True):
    call_id: str
    tools: list[dict[str, Any]]


class AdditionalTools(Shape, frozen=True):
    tools: list[dict[str, Any]] | None = None


class SummaryText(Shape, frozen=True):
    text: str


class Reasoning(Shape, frozen=True):
    encrypted_content: str | None = None
    id: str | None = None
    summary: list[SummaryText] | None = None


class WebSearchCall(Shape, frozen=True):
    action: dict[str, Any] | None = None


InputItem: TypeAlias = (
    Message
    | FunctionCall
    | CustomToolCall
    | CallOutput
    | ToolSearchCall
    | ToolSearchOutput
    | AdditionalTools
    | Reasoning
    | WebSearchCall
)

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
}

Numbered: TypeAlias = tuple[str, InputItem]
"""An item with its path in the request."""


def read_input(values: Sequence[Any], first: int = 0) -> list[Numbered]:
    """Read values of the `input`, of which errors call the first one by this number.

    Raises:
        ApiError: 400, `param` leads to the fault.
    """
    return [_read(value, f"input[{number}]") for number, value in enumerate(values, first)]


def _read(value: Object, where: str) -> Numbered:
    kind = (value.get("type") if isinstance(value, dict) else None) or "message"
    shape = _ITEMS.get(kind) if isinstance(kind, str) else None
    if shape is None:
        message = f"Items of the type {kind!r} are not supported."
        raise invalid_request(message, f"{where}.type", "unsupported_content")
    return where, decode(value, shape, where)


def with_declared(toolbox: Toolbox, items: Sequence[Numbered]) -> Toolbox:
    """Return the toolbox together with the tools that items declare.

    Raises:
        ApiError: 400, `param` leads to the fault.
    """
    for where, item in items:
        if isinstance(item, AdditionalTools | ToolSearchOutput):
            path = f"{where}.tools"
            toolbox = toolbox.joined(toolbox_of(read_tools(item.tools, path), path))
    return toolbox


def items_of(items: Sequence[Numbered], toolbox: Toolbox) -> list[Item]:
    """Return the items of the prompt; `toolbox` has the tools of the request, and those that items declare."""
    return [one for _, item in items if (one := _item(item, toolbox)) is not None]


def _item(item: InputItem, toolbox: Toolbox) -> Item | None:
    # Patterns with fields in them would cost as much as all the rest.
    match item:
        case Message():
            return _message(item)
        case FunctionCall():
            call = toolbox.call_to_codex(item.name, item.arguments, item.namespace)
            return function_call(short_id(item.call_id), *call)
        case CustomToolCall():
            return function_call(short_id(item.call_id), *toolbox.call_to_codex(item.name, item.input, item.namespace))
        case CallOutput():
            return function_call_output(short_id(item.call_id), tool_output(item.output))
        case Reasoning():
            return _reasoning(item)
        case ToolSearchCall():
            return function_call(short_id(item.call_id), TOOL_SEARCH, orjson.dumps(item.arguments).decode())
        case ToolSearchOutput():
            return function_call_output(short_id(item.call_id), orjson.dumps(item.tools).decode())
        case WebSearchCall():
            action = {"action": item.action} if item.action else {}
            return {"type": "web_search_call", "status": "completed", **action}
        case AdditionalTools():
            return None


def _message(item: Message) -> Item:
    if item.role != "assistant":
        return {"type": "message", "role": ROLES[item.role], "content": input_parts(item.content)}
    said = {"type": "message", "role": "assistant", "content": output_parts(item.content)}
    return {**said, "phase": item.phase} if item.phase else said


def _reasoning(item: Reasoning) -> Item | None:
    """Nothing for reasoning that is not encrypted: only its id could say what it was, to an upstream that stores it."""
    if not item.encrypted_content:
        return None
    parts = [{"type": "summary_text", "text": part.text} for part in item.summary or ()]
    source = source_of(item.id or "")
    known = {"id": source} if source else {}
    return {"type": "reasoning", "summary": parts, "encrypted_content": item.encrypted_content, **known}
