"""Turn events become the chunks of a streamed chat completion.

Source: the OpenAI API reference, "The chat completion chunk object".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bridge import sse
from bridge.errors import ApiError
from bridge.events import Failed, Finished, TextDelta, TurnEvent, Used
from bridge.openai.usage import chat_usage
from codex_rpc.protocol import TokenUsage


class ChatStream:
    """Writes one stream: feed it events until one ends the answer, or fail it."""

    media: Mapping[str, str] = sse.HEADERS
    keep_alive = sse.KEEP_ALIVE

    def __init__(self, answer_id: str, created: int, model: str, *, usage_chunk: bool) -> None:
        self._head = {"id": answer_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._usage_chunk = usage_chunk
        self._usage: TokenUsage | None = None
        self._role: dict[str, Any] = {"role": "assistant", "refusal": None}

    def feed(self, events: Iterable[TurnEvent]) -> bytes:
        """Return the bytes that the events become, the end of the stream included."""
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta(text):
                    out.append(self._chunk({"content": text}))
                case Used(usage):
                    self._usage = usage if self._usage is None else self._usage + usage
                case Finished(reason):
                    out.append(self._end(reason))
                case Failed(error):
                    out.append(self.fail(error))
        return b"".join(out)

    def fail(self, error: ApiError) -> bytes:
        """Return the bytes that end a stream which has begun and cannot be completed."""
        return sse.data(error.body()) + sse.DONE

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
        delta = {**self._role, **delta}
        self._role = {}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        if self._usage_chunk:
            more = {"usage": None}
        return sse.data({**self._head, "choices": [choice], **more})

    def _end(self, reason: str) -> bytes:
        """The usage is always told: in a chunk of its own to those who asked, else beside the finish reason."""
        usage = {"usage": chat_usage(self._usage)} if self._usage else {}
        last = self._chunk({}, reason, **usage)
        if self._usage_chunk:
            last += sse.data({**self._head, "choices": [], "usage": usage.get("usage")})
        return last + sse.DONE
