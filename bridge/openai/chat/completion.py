"""Turn events become one whole chat completion.

Source: the OpenAI API reference, "The chat completion object".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from bridge.conversation.events import (
    Asked,
    Failed,
    Finished,
    ItemDone,
    MessageBegun,
    ReasoningDelta,
    ReasoningPart,
    StepBegun,
    StepDone,
    TextDelta,
    ToolCall,
    TurnEvent,
    Used,
)
from bridge.errors import ApiError
from bridge.openai.chat.answer import ChatAnswer
from bridge.openai.reasoning_text import ReasoningBlocks
from bridge.openai.usage import NO_USAGE, chat_usage, overflow_usage


class _Choice:
    def __init__(self, answer: ChatAnswer) -> None:
        self.blocks = ReasoningBlocks(answer.display)
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: list[ToolCall] = []
        self.finish_reason: str | None = None


class ChatCompletion:
    """Writes one answer: nothing until every choice has ended, then everything."""

    media: Mapping[str, str] = {"content-type": "application/json"}

    def __init__(self, answer: ChatAnswer) -> None:
        self._answer = answer
        self._choices = [_Choice(answer) for _ in range(answer.choices)]
        self._usage = NO_USAGE

    def feed(self, events: Iterable[TurnEvent], choice: int = 0) -> bytes:
        """Return the body once the last choice has ended, before that nothing."""
        one = self._choices[choice]
        for event in events:
            match event:
                case TextDelta(text):
                    one.text += [one.blocks.close(), text]
                case ReasoningPart():
                    one.blocks.begin_part()
                case ReasoningDelta(text):
                    told = one.blocks.paragraph(text)
                    one.reasoning.append(told)
                    one.text.append(one.blocks.reasoning(told))
                case ToolCall():
                    one.text.append(one.blocks.close())
                    one.calls.append(event)
                case ItemDone() | MessageBegun() | StepBegun() | StepDone() | Asked():
                    pass
                case Used(usage):
                    self._usage += usage
                case Finished(reason):
                    one.finish_reason = self._answer.reason(reason)
                    one.text.append(one.blocks.close())
                case Failed(error):
                    return self.fail(error)
        if all(each.finish_reason for each in self._choices):
            return self._body(chat_usage(self._usage))
        return b""

    def keep_alive(self) -> bytes:
        """Return what is sent after a pause of silence: white space, which JSON allows before a value."""
        return b" "

    def fail(self, error: ApiError) -> bytes:
        """Return the body of an answer whose status is out already and which cannot be completed."""
        return orjson.dumps(error.body())

    def overflow(self) -> bytes:
        """Return the body that tells Cursor that the conversation is too long."""
        for one in self._choices:
            one.finish_reason = "stop"
        return self._body(overflow_usage())

    def _body(self, usage: Mapping[str, Any]) -> bytes:
        choices = [
            {"index": index, "message": self._message(one), "logprobs": None, "finish_reason": one.finish_reason}
            for index, one in enumerate(self._choices)
        ]
        return orjson.dumps({**self._answer.head("chat.completion"), "choices": choices, "usage": usage})

    def _message(self, one: _Choice) -> dict[str, Any]:
        text = "".join(one.text)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text if text or not one.calls else None,
            "refusal": None,
            "tool_calls": None,
        }
        if one.calls:
            message |= self._answer.calls(one.calls)
        if one.reasoning and self._answer.display == "reasoning_content":
            message["reasoning_content"] = "".join(one.reasoning)
        return message
