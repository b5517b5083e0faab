"""Turn events become the chunks of a streamed chat completion.

Source: the OpenAI API reference, "The chat completion chunk object".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

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
from bridge.openai import sse
from bridge.openai.chat.answer import ChatAnswer
from bridge.openai.reasoning_text import ReasoningBlocks
from bridge.openai.usage import NO_USAGE, chat_usage, overflow_usage


class _Choice:
    def __init__(self, index: int, answer: ChatAnswer) -> None:
        self.index = index
        self.blocks = ReasoningBlocks(answer.display)
        self.head: dict[str, Any] = {"role": "assistant", "refusal": None}
        self.calls = 0


class ChatStream:
    """Writes one stream: feed it the events of each choice until all have ended, or fail it."""

    media: Mapping[str, str] = sse.HEADERS

    def __init__(self, answer: ChatAnswer, *, usage_chunk: bool) -> None:
        self._answer = answer
        self._head = answer.head("chat.completion.chunk")
        self._usage_chunk = usage_chunk
        self._usage = NO_USAGE
        self._choices = [_Choice(index, answer) for index in range(answer.choices)]
        self._open = answer.choices

    def feed(self, events: Iterable[TurnEvent], choice: int = 0) -> bytes:
        """Return the bytes that the events of a choice become; the end of the last choice ends the stream."""
        one = self._choices[choice]
        return b"".join(self._event(one, event) for event in events)

    def keep_alive(self) -> bytes:
        """Return what is sent after a pause of silence."""
        return sse.KEEP_ALIVE

    def fail(self, error: ApiError) -> bytes:
        """Return the bytes that end a stream which has begun and cannot be completed.

        Cursor takes a chunk with an unknown field ill, so it gets the message as the last of the text.
        """
        if not self._answer.cursor:
            return sse.data(error.body()) + sse.DONE
        one = self._choices[0]
        text = f"{one.blocks.close()}\n\n{error.message}"
        return self._chunk(one, {"content": text}) + self._end(one, "stop", last=True)

    def overflow(self) -> bytes:
        """Return the whole stream that tells Cursor that the conversation is too long."""
        *others, final = self._choices
        begun = b"".join(self._chunk(one, {"content": ""}) for one in self._choices)
        ended = b"".join(self._chunk(one, {}, "stop") for one in others)
        return begun + ended + self._last(final, "stop", overflow_usage())

    def _event(self, one: _Choice, event: TurnEvent) -> bytes:
        match event:
            case TextDelta(text):
                texts = sse.pieces(one.blocks.close() + text)
                return b"".join([self._chunk(one, {"content": piece}) for piece in texts])
            case ReasoningPart():
                one.blocks.begin_part()
                return b""
            case ReasoningDelta(text):
                return b"".join(self._reasoning(one, piece) for piece in sse.pieces(one.blocks.paragraph(text)))
            case ToolCall():
                one.calls += 1
                deltas = self._answer.call_deltas(event, one.calls - 1)
                return self._closing(one) + b"".join(self._chunk(one, delta) for delta in deltas)
            case ItemDone() | MessageBegun() | StepBegun() | StepDone() | Asked():
                return b""
            case Used(usage):
                self._usage += usage
                return b""
            case Finished(reason):
                self._open -= 1
                return self._closing(one) + self._end(one, self._answer.reason(reason), last=not self._open)
            case Failed(error):
                return self.fail(error)

    def _reasoning(self, one: _Choice, text: str) -> bytes:
        if self._answer.display == "reasoning_content":
            return self._chunk(one, {"reasoning_content": text})
        shown = one.blocks.reasoning(text)
        return self._chunk(one, {"content": shown}) if shown else b""

    def _closing(self, one: _Choice) -> bytes:
        closing = one.blocks.close()
        return self._chunk(one, {"content": closing}) if closing else b""

    def _chunk(self, one: _Choice, delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
        delta, one.head = {**one.head, **delta}, {}
        choice = {"index": one.index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        if self._usage_chunk:
            more = {"usage": None}
        return sse.data({**self._head, "choices": [choice], **more})

    def _end(self, one: _Choice, reason: str, *, last: bool) -> bytes:
        if not last:
            return self._chunk(one, {}, reason)
        return self._last(one, reason, chat_usage(self._usage))

    def _last(self, one: _Choice, reason: str, usage: Mapping[str, Any]) -> bytes:
        """The usage is always told: in a chunk of its own to those who asked, else beside the finish reason."""
        last = self._chunk(one, {}, reason, usage=usage)
        if self._usage_chunk:
            last += sse.data({**self._head, "choices": [], "usage": usage})
        return last + sse.DONE
