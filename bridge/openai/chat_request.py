"""A request to /chat/completions, Chat or Responses shaped, becomes a prompt.

Source: the OpenAI API reference, "Create chat completion"; the second shape is what Cursor sends to the same path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from msgspec import Struct

from bridge.config import ReasoningDisplay
from bridge.errors import invalid_request
from bridge.json_body import refuse_extremes
from bridge.openai.content import parse_content, parse_output
from bridge.openai.fields import Object, expect_object, optional, optional_object, required, required_list, wrong_type
from bridge.openai.history import check_calls, short_id
from bridge.openai.model_settings import ModelSettings, parse_settings
from bridge.openai.reasoning_text import without_blocks
from bridge.openai.response_input import Input, Reading, Recent, circumstances, instructions_as_items, own_input
from bridge.openai.response_items import ROLES
from bridge.openai.tool_specs import parse_tools
from bridge.prompt import Item, function_call, function_call_output
from bridge.tools import Toolbox

IGNORED = (
    "audio",
    "frequency_penalty",
    "include",
    "logit_bias",
    "metadata",
    "modalities",
    "prediction",
    "presence_penalty",
    "previous_response_id",
    "prompt_cache_retention",
    "safety_identifier",
    "seed",
    "store",
    "temperature",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
    "web_search_options",
)
"""Parameters that tune or label an answer; codex has no place for them. Each one that was sent is named in a header."""

MOST_CHOICES = 4


class ChatRequest(Struct, frozen=True):
    """A request as it was read."""

    settings: ModelSettings
    items: tuple[Item, ...]
    choices: int
    stream: bool
    usage_chunk: bool
    """Whether the client asked for the usage in a chunk of its own."""
    ignored: tuple[str, ...]


def parse(
    body: object, display: ReasoningDisplay = "off", model: str | None = None, recent: Recent | None = None
) -> ChatRequest:
    """Read a decoded JSON body; `model` is the name that the path gives to a body without one.

    `recent` belongs to one display.

    Raises:
        ApiError: 400, `param` names the field.
    """
    if not isinstance(body, dict):
        raise wrong_type(body, "an object", "body")
    fields = cast("dict[str, Any]", body)
    if model is not None:
        fields = {"model": model, **fields}
    # An empty or null `messages` may stand beside a real `input`: the content decides.
    param = "input" if fields.get("input") and not fields.get("messages") else "messages"
    refuse_extremes({name: value for name, value in fields.items() if name != param})
    _refuse_what_would_be_a_lie(fields)
    required(fields, "model", str)
    reading = _read(fields, param, parse_tools(fields.get("tools")), display, recent or Recent())
    settings = parse_settings(fields, reading.toolbox)
    options = optional_object(fields, "stream_options")
    return ChatRequest(
        settings=settings,
        items=reading.items,
        choices=optional(fields, "n", int) or 1,
        stream=optional(fields, "stream", bool) or False,
        usage_chunk=optional(options, "include_usage", bool, "stream_options.include_usage") or False,
        ignored=tuple(name for name in IGNORED if fields.get(name) is not None),
    )


def _refuse_what_would_be_a_lie(fields: Object) -> None:
    """A parameter that changes what the answer means is honoured or refused, never ignored."""
    n = optional(fields, "n", int)
    if n is not None and not 1 <= n <= MOST_CHOICES:
        raise invalid_request(f"'n' must be between 1 and {MOST_CHOICES}.", "n", "unsupported_value")
    for old, new in (("functions", "tools"), ("function_call", "tool_choice")):
        if fields.get(old):
            raise invalid_request(f"'{old}' is not supported; use '{new}'.", old, "unsupported_parameter")


# ── Items ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read(fields: Object, param: str, tools: Toolbox, display: ReasoningDisplay, recent: Recent) -> Reading:
    instructions = optional(fields, "instructions", str)
    if param == "input":
        reading = Input.begin((), own_input(fields), tools, instructions, recent).read(display=display)
    else:
        reading = _read_messages(required_list(fields, "messages"), tools, display, instructions, recent)
    if not fields[param]:
        raise invalid_request(f"'{param}' must hold at least one message.", param, "empty_array")
    return reading


def _read_messages(
    messages: list[Any], tools: Toolbox, display: ReasoningDisplay, instructions: str | None, recent: Recent
) -> Reading:
    key = circumstances("messages", tools, instructions)
    before = recent.find(key, messages)
    known, start = (before.value.items, len(before.sequence)) if before else (instructions_as_items(instructions), 0)
    if before and start == len(messages):
        return before.value
    refuse_extremes({"messages": messages[start:]})
    new = list(_message_items(messages, tools, start))
    check_calls(new, "messages")
    reading = Reading((*known, *without_blocks(new, display)), tools)
    recent.keep(before, key, messages, reading)
    return reading


def _message_items(messages: list[Any], toolbox: Toolbox, start: int) -> Iterator[Item]:
    for number, value in enumerate(messages[start:], start):
        where = f"messages[{number}]"
        one = expect_object(value, where)
        role = required(one, "role", str, f"{where}.role")
        content = one.get("content")
        if role == "tool":
            call_id = required(one, "tool_call_id", str, f"{where}.tool_call_id")
            yield function_call_output(short_id(call_id), parse_output(content, f"{where}.content"))
            continue
        if role not in ROLES:
            allowed = ", ".join([*ROLES, "tool"])
            text = f"Invalid value for '{where}.role': {role!r}; use {allowed}."
            raise invalid_request(text, f"{where}.role", "invalid_value")
        calls = list(_calls(one, toolbox, where)) if role == "assistant" else []
        parts = parse_content(content, ROLES[role], f"{where}.content")
        if parts and not (calls and not any(part["text"] for part in parts)):
            yield {"type": "message", "role": ROLES[role], "content": parts}
        elif role != "assistant":
            raise invalid_request(f"'{where}.content' must not be empty.", f"{where}.content", "missing_content")
        yield from calls


def _calls(one: Object, toolbox: Toolbox, where: str) -> Iterator[Item]:
    """Clients write function and custom calls alike as functions; some write custom ones as such."""
    for number, value in enumerate(cast("list[Any]", optional(one, "tool_calls", list, f"{where}.tool_calls") or [])):
        here = f"{where}.tool_calls[{number}]"
        call = expect_object(value, here)
        call_id = short_id(required(call, "id", str, f"{here}.id"))
        kind, text = ("custom", "input") if "custom" in call else ("function", "arguments")
        inner = cast("Object", required(call, kind, dict, f"{here}.{kind}"))
        name = required(inner, "name", str, f"{here}.{kind}.name")
        arguments = required(inner, text, str, f"{here}.{kind}.{text}")
        yield function_call(call_id, *toolbox.call_to_codex(name, arguments))
