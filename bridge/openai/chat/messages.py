"""The messages of a chat become the items of a prompt.

Source: the OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

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

    silent = frozenset({"type", "index"})

    id: str
    function: FunctionCall | None = None
    custom: CustomCall | None = None

    def __post_init__(self) -> None:
        if self.function is None and self.custom is None:
            raise missing("function")

    def item(self, toolbox: Toolbox) -> Item:
        """Return the item of the prompt."""
        called = self.custom or self.function
        assert called is not None
        text = called.input if isinstance(called, CustomCall) else called.arguments
        return function_call(short_id(self.id), *toolbox.call_to_codex(called.name, text))


class Message(Shape, frozen=True, tag_field="role"):
    def items(self, toolbox: Toolbox) -> Iterator[Item]:
        """Yield the items of the prompt; `toolbox` has the tools of the request."""
        raise NotImplementedError  # each role says it; a message without a known role is never decoded


class User(Message, frozen=True, tag="user"):
    content: Content = None

    def __post_init__(self) -> None:
        if not self.content and self.content != "":
            raise Refused("content", "'{where}' must not be empty.", "missing_content")

    def items(self, toolbox: Toolbox) -> Iterator[Item]:
        yield {"type": "message", "role": "user", "content": input_parts(self.content)}


class Developer(User, frozen=True, tag="developer"):
    def items(self, toolbox: Toolbox) -> Iterator[Item]:
        yield {"type": "message", "role": "developer", "content": input_parts(self.content)}


class System(Developer, frozen=True, tag="system"):
    """Codex drops items of the role `system`; `developer` means the same."""


class Assistant(Message, frozen=True, tag="assistant"):
    content: Content = None
    tool_calls: list[ToolCall] | None = None
    refusal: str | None = None
    function_call: FunctionCall | None = None
    audio: Any = None

    def __post_init__(self) -> None:
        refuse_images(self.content)
        if self.audio is not None:
            message = "Codex models take no audio; send its transcript as 'content'."
            raise Refused("audio", message, "unsupported_content")

    def items(self, toolbox: Toolbox) -> Iterator[Item]:
        parts, calls = output_parts(self.content), [*(self.tool_calls or ())]
        if self.function_call:
            calls.append(ToolCall(id="", function=self.function_call))
        if self.refusal:
            parts += output_parts(self.refusal)
        # Beside calls, a text that is empty was none.
        if parts and (not calls or any(part["text"] for part in parts)):
            yield {"type": "message", "role": "assistant", "content": parts}
        for call in calls:
            yield call.item(toolbox)


class ToolResult(Message, frozen=True, tag="tool"):
    silent = frozenset({"name"})

    tool_call_id: str
    content: Content = None

    def items(self, toolbox: Toolbox) -> Iterator[Item]:
        yield function_call_output(short_id(self.tool_call_id), tool_output(self.content))


class FunctionResult(Message, frozen=True, tag="function"):
    """What a function gave, as it was written before there were tools: without the id of its call."""

    silent = frozenset({"name"})

    content: Content = None

    def items(self, toolbox: Toolbox) -> Iterator[Item]:
        yield function_call_output("", tool_output(self.content))


class _Messages(Shape, frozen=True):
    messages: list[System | Developer | User | Assistant | ToolResult | FunctionResult]


def read_messages(messages: Sequence[Any], first: int = 0) -> Sequence[Message]:
    """Read messages, of which errors call the first one by this number.

    Raises:
        ApiError: 400, `param` leads to the fault.
    """
    return decode({"messages": messages}, _Messages, first=first).messages
