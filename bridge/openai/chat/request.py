"""A request to /chat/completions, Chat or Responses shaped, becomes a prompt.

Source: the OpenAI API reference, "Create chat completion"; the second shape is what Cursor sends to the same path.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bridge.config import ReasoningDisplay
from bridge.conversation.prompt import Item
from bridge.conversation.tools import Toolbox
from bridge.errors import invalid_request
from bridge.json_values import check_size
from bridge.openai.chat.messages import items_of, read_messages
from bridge.openai.history import check_calls
from bridge.openai.model_settings import ModelSettings, SharedFields
from bridge.openai.reasoning_text import without_blocks
from bridge.openai.responses.input import Input, Reading, Recent, circumstances, input_values, instructions_as_items
from bridge.openai.shapes import Refused, body_object, decode
from bridge.openai.tool_specs import read_tools, toolbox_of

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


class ChatFields(SharedFields, frozen=True):
    """A body without its messages."""

    n: int | None = None
    functions: Any = None
    function_call: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n is not None and not 1 <= self.n <= MOST_CHOICES:
            raise Refused("n", f"'{{where}}' must be between 1 and {MOST_CHOICES}.", "unsupported_value")
        for old, new in (("functions", "tools"), ("function_call", "tool_choice")):
            if getattr(self, old):
                raise Refused(old, f"'{old}' is not supported; use '{new}'.", "unsupported_parameter")


class ByMessages(ChatFields, frozen=True, kw_only=True):
    """The body of the Chat dialect."""

    messages: list[Any]


class ByInput(ChatFields, frozen=True, kw_only=True):
    """The body of the Responses dialect."""

    input: str | list[Any]


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
    fields = body_object(body)
    if model is not None:
        fields = {"model": model, **fields}
    # An empty or null `messages` may stand beside a real `input`: the content decides.
    shape, param = (
        (ByInput, "input") if fields.get("input") and not fields.get("messages") else (ByMessages, "messages")
    )
    check_size({name: value for name, value in fields.items() if name != param})
    asked = decode(fields, shape)
    if not fields[param]:
        raise invalid_request(f"'{param}' must hold at least one message.", param, "empty_array")
    reading = _read(asked, toolbox_of(read_tools(asked.tools)), display, recent or Recent())
    return ChatRequest(
        settings=asked.settings(reading.toolbox),
        items=reading.items,
        choices=asked.n or 1,
        stream=asked.stream or False,
        usage_chunk=bool(asked.stream_options and asked.stream_options.include_usage),
        ignored=tuple(name for name in IGNORED if fields.get(name) is not None),
    )


def _read(asked: ByMessages | ByInput, tools: Toolbox, display: ReasoningDisplay, recent: Recent) -> Reading:
    if isinstance(asked, ByInput):
        return Input.begin((), input_values(asked.input), tools, asked.instructions, recent).read(display=display)
    messages, key = asked.messages, circumstances("messages", tools, asked.instructions)
    before = recent.find(key, messages)
    known, start = (
        (before.value.items, len(before.sequence)) if before else (instructions_as_items(asked.instructions), 0)
    )
    if before and start == len(messages):
        return before.value
    check_size({"messages": messages[start:]})
    new = list(items_of(read_messages(messages[start:], start), tools))
    check_calls(new, "messages")
    reading = Reading((*known, *without_blocks(new, display)), tools)
    recent.keep(before, key, messages, reading)
    return reading
