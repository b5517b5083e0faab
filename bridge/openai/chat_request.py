"""A request to /chat/completions, Chat or Responses shaped, becomes a prompt.

Source: the OpenAI API reference, "Create chat completion"; the second shape is what Cursor sends to the same path.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from bridge.config import ReasoningDisplay
from bridge.errors import invalid_request
from bridge.json_body import refuse_extremes
from bridge.openai.content import parse_content, parse_output
from bridge.openai.fields import Object, expect_object, optional, optional_object, required, required_list, wrong_type
from bridge.openai.history import check_calls, short_id
from bridge.openai.model_settings import ModelSettings, parse_settings
from bridge.openai.reasoning_text import BLOCK_DISPLAYS, strip_blocks
from bridge.openai.response_items import ROLES, parse_input, tools_with_those_in
from bridge.openai.tool_specs import parse_tools
from bridge.prefixes import Prefix, Prefixes, size_of
from bridge.prompt import Item, function_call, function_call_output, message
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


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request as it was read."""

    settings: ModelSettings
    items: tuple[Item, ...]
    choices: int
    stream: bool
    usage_chunk: bool
    """Whether the client asked for the usage in a chunk of its own."""
    ignored: tuple[str, ...]


class Recent(Prefixes[tuple[Item, ...]]):
    """The messages of recent requests and the items that they are: a conversation is read on where it was left.

    Equal messages are the same items, although `1` and `True` are equal: all that is read in a message is text.
    """

    def __init__(self) -> None:
        super().__init__(operator.eq)


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
    refuse_extremes({name: value for name, value in fields.items() if name != "messages"})
    _refuse_what_would_be_a_lie(fields)
    toolbox = tools_with_those_in(fields.get("input"), parse_tools(fields.get("tools")))
    settings = parse_settings(fields, toolbox)
    options = optional_object(fields, "stream_options")
    return ChatRequest(
        settings=settings,
        items=tuple(_items(fields, toolbox, display, recent or Recent())),
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


def _items(fields: Object, toolbox: Toolbox, display: ReasoningDisplay, recent: Recent) -> list[Item]:
    """An empty or null `messages` may stand beside a real `input`: the content decides."""
    if fields.get("input") and not fields.get("messages"):
        items, param = _checked(parse_input(fields["input"], toolbox), "input", display), "input"
    else:
        items, param = _messages(required_list(fields, "messages"), toolbox, display, recent), "messages"
    if not items:
        raise invalid_request(f"'{param}' must hold at least one message.", param, "empty_array")
    instructions = optional(fields, "instructions", str)
    head = [message("developer", instructions)] if instructions else []
    return [*head, *items]


def _messages(messages: list[Any], toolbox: Toolbox, display: ReasoningDisplay, recent: Recent) -> Sequence[Item]:
    """What is known has been checked; it ends behind a message that no block of the next one belongs to."""
    before = recent.find(toolbox, messages)
    known, size = (before.value, before.size) if before else ((), 0)
    start = len(before.sequence) if before else 0
    if before and start == len(messages):
        return known
    refuse_extremes(messages[start:])
    new = _checked(_message_items(messages, toolbox, start), "messages", display)
    items = (*known, *new)
    if messages and messages[-1]["role"] != "assistant":
        recent.remember(Prefix(toolbox, messages, items, size + size_of(new)), before)
    return items


def _checked(items: Iterator[Item], param: str, display: ReasoningDisplay) -> list[Item]:
    read = list(items)
    check_calls(read, param)
    return list(_without_blocks(read, display)) if read and display in BLOCK_DISPLAYS else read


def _without_blocks(items: list[Item], display: ReasoningDisplay) -> Iterator[Item]:
    """What was nothing but a block in front of calls was no message of the model."""
    for item, following in zip(items, [*items[1:], {}], strict=True):
        if item.get("role") != "assistant":
            yield item
            continue
        parts = [{**part, "text": strip_blocks(part["text"], display)} for part in item["content"]]
        if any(part["text"] for part in parts) or following.get("type") != "function_call":
            yield {**item, "content": parts}


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
