"""A request to /chat/completions, Chat or Responses shaped, becomes a prompt.

Source: the OpenAI API reference, "Create chat completion"; the second shape is what Cursor sends to the same path.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bridge.config import ReasoningDisplay
from bridge.conversation.prompt import Item
from bridge.conversation.tools import Toolbox
from bridge.errors import invalid_request
from bridge.json_values import check_size
from bridge.openai.chat.messages import read_messages
from bridge.openai.history import settled, with_ids
from bridge.openai.model_settings import ModelSettings, Reasoning, SharedFields
from bridge.openai.reasoning_text import without_blocks
from bridge.openai.responses.input import Input, Reading, Recent, circumstances, input_values, instructions_as_items
from bridge.openai.shapes import Refused, body_object, decode, listed, lost
from bridge.openai.tool_choice import ToolChoice, read_tool_choice
from bridge.openai.tool_specs import Function, read_tools, toolbox_of

MOST_CHOICES = 4


class ChatFields(SharedFields, frozen=True):
    """A body without its messages."""

    n: int | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n is not None and not 1 <= self.n <= MOST_CHOICES:
            raise Refused("n", f"'{{where}}' must be between 1 and {MOST_CHOICES}.", "unsupported_value")
        if self.background:
            message = "Only the Responses API has a background mode: '{where}' must be false."
            raise Refused("background", message, "unsupported_value")

    @property
    def old_calls(self) -> bool:
        """Whether the client knows calls only in their old form: as `function_call`, one at a time."""
        return bool(self.functions) and not self.tools

    def choice(self, toolbox: Toolbox) -> ToolChoice:
        if self.tool_choice is None and self.function_call:
            return read_tool_choice(self.function_call, toolbox, "function_call")
        return super().choice(toolbox)

    def without_effect(self) -> Iterable[str]:
        """The server's settings decide how reasoning is shown in a chat."""
        shown = self.reasoning or Reasoning()
        return [f"reasoning.{name}" for name in ("summary", "generate_summary") if getattr(shown, name) is not None]


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
    old_calls: bool
    """Whether the client knows calls only as `function_call`."""
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
    by_input = fields.get("input") and not fields.get("messages")
    shape, param, other = (ByInput, "input", "messages") if by_input else (ByMessages, "messages", "input")
    if not fields.get(other):
        fields = {name: value for name, value in fields.items() if name != other}
    check_size({name: value for name, value in fields.items() if name != param})
    asked = decode(fields, shape)
    if not fields[param]:
        raise invalid_request(f"'{param}' must hold at least one message.", param, "empty_array")
    tools = read_tools(asked.tools)
    toolbox, lost_paths = toolbox_of(tools.entries), [*lost(fields, asked), *tools.lost]
    if asked.functions:
        functions = read_tools(asked.functions, "functions", {"function": Function})
        toolbox = toolbox.joined(toolbox_of(functions.entries, "functions"))
        lost_paths += functions.lost
    reading = _read(asked, toolbox, display, recent or Recent())
    settings = asked.settings(reading.toolbox)
    return ChatRequest(
        settings=replace(settings, one_call_at_a_time=True) if asked.old_calls else settings,
        items=reading.items,
        choices=asked.n or 1,
        stream=asked.stream or False,
        usage_chunk=bool(asked.stream_options and asked.stream_options.include_usage),
        old_calls=asked.old_calls,
        ignored=listed([*lost_paths, *reading.lost]),
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
    new = read_messages(messages[start:], start)
    items = [item for message in new for item in message.items(tools)]
    if "" in [item.get("call_id") for item in items]:
        items = with_ids((number, item) for number, one in enumerate(new, start) for item in one.items(tools))
    items, differs = settled(items, known, "messages")
    lost_paths = {path for pair in zip(messages[start:], new, strict=True) for path in lost(*pair, "messages[]")}
    lost_paths |= (before.value.lost if before else frozenset()) | ({"messages[].content"} if differs else set())
    reading = Reading((*known, *without_blocks(items, display)), tools, lost=frozenset(lost_paths))
    recent.keep(before, key, messages, reading)
    return reading
