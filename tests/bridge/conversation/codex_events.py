"""Short constructors for the events of one Codex turn."""

from __future__ import annotations

from typing import Any, Literal

from codex_rpc.wire.events import (
    CodexFailure,
    ErrorReported,
    FinishedTurn,
    MessageDelta,
    RawItemCompleted,
    ReasoningDelta,
    ResponseCompleted,
    TokenUsage,
    TurnCompleted,
)

THREAD, TURN = "thread_1", "turn_1"


def delta(text: str, item_id: str = "msg_1", pieces: int = 1) -> MessageDelta:
    """A piece of an assistant message."""
    return MessageDelta(THREAD, TURN, item_id, text, pieces)


def reasoning(text: str, item_id: str = "rs_1") -> ReasoningDelta:
    """A piece of a reasoning summary; an empty one begins a new part."""
    return ReasoningDelta(THREAD, TURN, item_id, text)


def item(wire: dict[str, Any]) -> RawItemCompleted:
    """An item that the model finished."""
    return RawItemCompleted(THREAD, TURN, wire)


def message(*texts: str, role: str = "assistant") -> RawItemCompleted:
    """A finished message with one text part for each text."""
    content = [{"type": "output_text", "text": text} for text in texts]
    return item({"type": "message", "role": role, "content": content})


def called(call_id: str, name: str = "look", arguments: str = "{}") -> RawItemCompleted:
    """A finished call of a tool."""
    return item({"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments})


def output(call_id: str, text: str = "4") -> RawItemCompleted:
    """The output of a tool call."""
    return item({"type": "function_call_output", "call_id": call_id, "output": text})


def used(usage: TokenUsage | None) -> ResponseCompleted:
    """The end of one upstream response."""
    return ResponseCompleted(THREAD, TURN, usage)


def reported(text: str = "Reconnecting... 1/5") -> ErrorReported:
    """A failure after which codex retries."""
    return ErrorReported(THREAD, TURN, CodexFailure(text), will_retry=True)


def ended(
    status: Literal["completed", "failed", "interrupted"] = "completed", failure: CodexFailure | None = None
) -> TurnCompleted:
    """The end of the turn."""
    return TurnCompleted(THREAD, FinishedTurn(TURN, status, failure))
