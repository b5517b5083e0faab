"""The `input` of a Responses request becomes the items of a prompt.

Source: the OpenAI API reference, "Create a model response"; items that are not in there are the Codex CLI's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import orjson

from bridge.errors import invalid_request
from bridge.openai.content import parse_content, parse_output
from bridge.openai.fields import Object, expect, expect_object, optional, required, wrong_type
from bridge.openai.history import short_id
from bridge.openai.response_object import source_of
from bridge.openai.tool_specs import parse_tools
from bridge.prompt import Item, function_call, function_call_output, message
from bridge.tools import TOOL_SEARCH, Toolbox

ROLES = {"system": "developer", "developer": "developer", "user": "user", "assistant": "assistant"}
"""Codex drops items of the role `system`; `developer` is what the Responses API calls the same."""


def tools_with_those_in(value: object, toolbox: Toolbox, first: int = 0) -> Toolbox:
    """Return the toolbox with the tools besides that items of the `input` declare; errors call the first one `first`.

    Raises:
        ApiError: 400, `param` leads to the fault.
    """
    for number, item in enumerate(cast("list[Any]", value) if isinstance(value, list) else (), first):
        match item:
            case {"type": "additional_tools" | "tool_search_output", "tools": tools}:
                toolbox = toolbox.joined(parse_tools(tools, f"input[{number}].tools"))
            case _:
                pass
    return toolbox


def parse_input(value: object, toolbox: Toolbox, first: int = 0) -> Iterator[Item]:
    """Yield the items of `input`, a text or a list of items, of which errors call the first one by this number.

    Raises:
        ApiError: 400, `param` leads to the fault.
    """
    match value:
        case str():
            yield message("user", value)
        case list():
            for number, item in enumerate(cast("list[Any]", value), first):
                where = f"input[{number}]"
                yield from _items(expect_object(item, where), toolbox, where)
        case _:
            raise wrong_type(value, "a string or an array of items", "input")


def _items(item: Object, toolbox: Toolbox, where: str) -> Iterator[Item]:
    kind = item.get("type") or "message"

    def text(name: str) -> str:
        return required(item, name, str, f"{where}.{name}")

    match kind:
        case "message":
            yield _message(item, where)
        case "function_call" | "custom_tool_call":
            namespace = optional(item, "namespace", str, f"{where}.namespace")
            said = text("arguments" if kind == "function_call" else "input")
            yield function_call(short_id(text("call_id")), *toolbox.call_to_codex(text("name"), said, namespace))
        case "function_call_output" | "custom_tool_call_output":
            yield function_call_output(short_id(text("call_id")), parse_output(item.get("output"), f"{where}.output"))
        case "tool_search_call":
            arguments = orjson.dumps(expect(item.get("arguments"), dict, f"{where}.arguments")).decode()
            yield function_call(short_id(text("call_id")), TOOL_SEARCH, arguments)
        case "tool_search_output":
            found = orjson.dumps(expect(item.get("tools"), list, f"{where}.tools")).decode()
            yield function_call_output(short_id(text("call_id")), found)
        case "additional_tools":
            pass
        case "reasoning":
            yield from _reasoning(item, where)
        case "web_search_call":
            action = expect_object(item.get("action") or {}, f"{where}.action")
            yield {"type": "web_search_call", "status": "completed", **({"action": action} if action else {})}
        case _:
            message = f"Items of the type {kind!r} are not supported."
            raise invalid_request(message, f"{where}.type", "unsupported_content")


def _message(item: Object, where: str) -> Item:
    role = required(item, "role", str, f"{where}.role")
    if role not in ROLES:
        allowed = ", ".join(ROLES)
        message = f"Invalid value for '{where}.role': {role!r}; use {allowed}."
        raise invalid_request(message, f"{where}.role", "invalid_value")
    content = parse_content(item.get("content"), ROLES[role], f"{where}.content")
    if not content:
        raise invalid_request(f"'{where}.content' must not be empty.", f"{where}.content", "missing_content")
    parsed = {"type": "message", "role": ROLES[role], "content": content}
    phase = optional(item, "phase", str, f"{where}.phase") if role == "assistant" else None
    return {**parsed, "phase": phase} if phase else parsed


def _reasoning(item: Object, where: str) -> Iterator[Item]:
    """Nothing for reasoning that is not encrypted: only its id could say what it was, to an upstream that stores it."""
    summary = list(_summary(item, where))
    if encrypted := optional(item, "encrypted_content", str, f"{where}.encrypted_content"):
        item_id = source_of(optional(item, "id", str, f"{where}.id") or "")
        known = {"id": item_id} if item_id else {}
        yield {"type": "reasoning", "summary": summary, "encrypted_content": encrypted, **known}


def _summary(item: Object, where: str) -> Iterator[Item]:
    parts = cast("list[Any]", optional(item, "summary", list, f"{where}.summary") or [])
    for number, part in enumerate(parts):
        here = f"{where}.summary[{number}]"
        yield {"type": "summary_text", "text": required(expect_object(part, here), "text", str, f"{here}.text")}
