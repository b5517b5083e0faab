"""The messages of a chat become the items of a prompt.

Source: the OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from bridge.conversation.prompt import Item, function_call, function_call_output
from bridge.conversation.tools import Toolbox
from bridge.openai.content import Content, input_parts, output_parts, refuse_images, tool_output
from bridge.openai.history import short_id
from bridge.openai.shapes import Refused, Shape, decode, missing


class FunctionCall(Shape, frozen=True):
    name: str
    arguments: str


class CustomCall(Shape, frozen=True):
    name: str
    input: str


class ToolCall(Shape, frozen=True):
    """Clients write function and custom calls alike as functions; some write custom ones as such."""

    id: str
    function: FunctionCall | None = None
    custom: CustomCall | None = None

    def __post_init__(self) -> None:
        if self.function is None and self.custom is None:
            raise missing("function")


class User(Shape, frozen=True, tag_field="role", tag="user"):
    content: Content = None

    def __post_init__(self) -> None:
        if self.content is None or self.content == []:
            raise Refused("content", "'{where}' must not be empty.", "missing_content")


class Developer(User, frozen=True, tag="developer"):
    pass


class System(User, frozen=True, tag="system"):
    pass


class Assistant(Shape, frozen=True, tag_field="role", tag="assistant"):
    content: Content = None
    tool_calls: list[ToolCall] | None = None

    def __post_init__(self) -> None:
        refuse_images(self.content)


class ToolResult(Shape, frozen=True, tag_field="role", tag="tool"):
    tool_call_id: str
    content: Content = None


Message: TypeAlias = System | Developer | User | Assistant | ToolResult


class _Messages(Shape, frozen=True):
    messages: list[Message]


def read_messages(messages: Sequence[Any], first: int = 0) -> list[Message]:
    """Read messages, of which errors call the first one by this number.

    Raises:
        ApiError: 400, `param` leads to the fault.
    """
    return decode({"messages": messages}, _Messages, first=first).messages


def items_of(messages: Iterable[Message], toolbox: Toolbox) -> Iterator[Item]:
    """Yield the items of the prompt; `toolbox` has the tools of the request."""
    # Patterns with fields in them would cost as much as all the rest.
    for message in messages:
        match message:
            case System() | Developer():
                # Codex drops items of the role `system`.
                yield {"type": "message", "role": "developer", "content": input_parts(message.content)}
            case User():
                yield {"type": "message", "role": "user", "content": input_parts(message.content)}
            case Assistant():
                parts, calls = output_parts(message.content), message.tool_calls or ()
                # Beside calls, a text that is empty was none.
                if parts and (not calls or any(part["text"] for part in parts)):
                    yield {"type": "message", "role": "assistant", "content": parts}
                for call in calls:
                    yield _call(call, toolbox)
            case ToolResult():
                yield function_call_output(short_id(message.tool_call_id), tool_output(message.content))


def _call(call: ToolCall, toolbox: Toolbox) -> Item:
    called = call.custom or call.function
    assert called is not None
    text = called.input if isinstance(called, CustomCall) else called.arguments
    return function_call(short_id(call.id), *toolbox.call_to_codex(called.name, text))
