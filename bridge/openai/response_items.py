"""The `input` of a Responses request becomes the items of a prompt.

Source: the OpenAI API reference, "Create a model response".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from bridge.errors import invalid_request
from bridge.openai.content import parse_content, parse_output
from bridge.openai.fields import Object, expect_object, optional, required, wrong_type
from bridge.openai.history import short_id
from bridge.prompt import Item, function_call, function_call_output, message
from bridge.tools import Toolbox

ROLES = {"system": "developer", "developer": "developer", "user": "user", "assistant": "assistant"}
"""Codex drops items of the role `system`; `developer` is what the Responses API calls the same."""


def parse_input(value: object, toolbox: Toolbox) -> Iterator[Item]:
    """Yield the items of `input`, a text or a list of items.

    Raises:
        ApiError: 400, `param` leads to the fault.
    """
    match value:
        case str():
            yield message("user", value)
        case list():
            for number, item in enumerate(cast("list[Any]", value)):
                where = f"input[{number}]"
                yield _item(expect_object(item, where), toolbox, where)
        case _:
            raise wrong_type(value, "a string or an array of items", "input")


def _item(item: Object, toolbox: Toolbox, where: str) -> Item:
    kind = item.get("type") or "message"

    def text(name: str) -> str:
        return required(item, name, str, f"{where}.{name}")

    match kind:
        case "message":
            role = text("role")
            if role not in ROLES:
                allowed = ", ".join(ROLES)
                message = f"Invalid value for '{where}.role': {role!r}; use {allowed}."
                raise invalid_request(message, f"{where}.role", "invalid_value")
            content = parse_content(item.get("content"), ROLES[role], f"{where}.content")
            if not content:
                raise invalid_request(f"'{where}.content' must not be empty.", f"{where}.content", "missing_content")
            return {"type": "message", "role": ROLES[role], "content": content}
        case "function_call":
            return function_call(short_id(text("call_id")), *toolbox.call_to_codex(text("name"), text("arguments")))
        case "custom_tool_call":
            return function_call(short_id(text("call_id")), *toolbox.call_to_codex(text("name"), text("input")))
        case "function_call_output" | "custom_tool_call_output":
            return function_call_output(short_id(text("call_id")), parse_output(item.get("output"), f"{where}.output"))
        case "reasoning":
            kept = {name: item[name] for name in ("id", "encrypted_content") if isinstance(item.get(name), str)}
            parts = cast("list[Any]", optional(item, "summary", list, f"{where}.summary") or [])
            summary = list(_summary(parts, f"{where}.summary"))
            return {"type": "reasoning", "summary": summary, **kept}
        case _:
            message = f"Items of the type {kind!r} are not supported."
            raise invalid_request(message, f"{where}.type", "unsupported_content")


def _summary(parts: list[Any], where: str) -> Iterator[Item]:
    for number, part in enumerate(parts):
        here = f"{where}[{number}]"
        yield {"type": "summary_text", "text": required(expect_object(part, here), "text", str, f"{here}.text")}
