"""Turn events become one whole chat completion.

Source: the OpenAI API reference, "The chat completion object".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from bridge.errors import ApiError
from bridge.events import Failed, Finished, TextDelta, TurnEvent, Used
from bridge.openai.usage import chat_usage
from codex_rpc.protocol import TokenUsage


class ChatCompletion:
    """Writes one answer: nothing until an event ends it, then everything."""

    media: Mapping[str, str] = {"content-type": "application/json"}
    keep_alive = b" "

    def __init__(self, answer_id: str, created: int, model: str) -> None:
        self._head = {"id": answer_id, "object": "chat.completion", "created": created, "model": model}
        self._text: list[str] = []
        self._usage: TokenUsage | None = None

    def feed(self, events: Iterable[TurnEvent]) -> bytes:
        """Return the body once an event has ended the answer, before that nothing."""
        for event in events:
            match event:
                case TextDelta(text):
                    self._text.append(text)
                case Used(usage):
                    self._usage = usage if self._usage is None else self._usage + usage
                case Finished(reason):
                    return self._body(reason)
                case Failed(error):
                    return self.fail(error)
        return b""

    def fail(self, error: ApiError) -> bytes:
        """Return the body of an answer whose status is out already and which cannot be completed."""
        return orjson.dumps(error.body())

    def _body(self, reason: str) -> bytes:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(self._text),
            "refusal": None,
            "tool_calls": None,
        }
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        usage = chat_usage(self._usage) if self._usage else None
        return orjson.dumps({**self._head, "choices": [choice], "usage": usage})
