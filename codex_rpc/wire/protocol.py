"""What codex tells and asks us, as the subset of app-server's protocol v2 that we use.

A name stands here only if something uses it. Source: `codex app-server generate-json-schema --experimental`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast

from msgspec import Struct

from codex_rpc.quota import RateLimit, read_rate_limit
from codex_rpc.wire.calls import Params
from codex_rpc.wire.messages import Request


class TokenUsage(Struct, frozen=True):
    """What one upstream response cost, in tokens."""

    input: int
    cached_input: int
    output: int
    reasoning_output: int
    cache_written: int = 0
    """How much of the input was written to the cache."""

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(
            self.input + other.input,
            self.cached_input + other.cached_input,
            self.output + other.output,
            self.reasoning_output + other.reasoning_output,
            self.cache_written + other.cache_written,
        )


class CodexFailure(Struct, frozen=True):
    """Why a turn failed: `kind` is the name of the `codexErrorInfo`, `http_status` that of the upstream if known."""

    message: str
    kind: str = "other"
    http_status: int | None = None


class MessageDelta(Struct, frozen=True):
    """A piece of an assistant message; `pieces` counts how many of codex's deltas it joins."""

    thread_id: str
    turn_id: str
    item_id: str
    text: str
    pieces: int = 1


class ReasoningDelta(Struct, frozen=True):
    """A piece of what the model tells about its reasoning; an empty one begins a new part of the summary."""

    thread_id: str
    turn_id: str
    item_id: str
    text: str


class RawItemCompleted(Struct, frozen=True):
    """A Responses item that the model finished."""

    thread_id: str
    turn_id: str
    item: Mapping[str, Any]


class ResponseCompleted(Struct, frozen=True):
    """One upstream response is complete; usage is None when the upstream sent none."""

    thread_id: str
    turn_id: str
    usage: TokenUsage | None


class ErrorReported(Struct, frozen=True):
    """Something failed; codex goes on by itself when `will_retry`."""

    thread_id: str
    turn_id: str
    failure: CodexFailure
    will_retry: bool


class TurnCompleted(Struct, frozen=True):
    """A turn is over."""

    thread_id: str
    turn_id: str
    status: Literal["completed", "failed", "interrupted"]
    failure: CodexFailure | None


class CompactionStarted(Struct, frozen=True):
    """Codex has begun to replace the thread's history by a summary, which it asks the model for."""

    thread_id: str
    turn_id: str


class Warned(Struct, frozen=True):
    """Codex has something to say about the thread."""

    thread_id: str
    message: str


class ToolCallAsked(Struct, frozen=True):
    """Codex asks us to run a declared tool; the turn waits until `request` is answered."""

    thread_id: str
    turn_id: str
    call_id: str
    request: Request
    tool: str
    namespace: str | None = None

    @property
    def arguments(self) -> str:
        """JSON text, written again from the value that codex parsed."""
        return json.dumps(self.request.params["arguments"], ensure_ascii=False)


class AccountChanged(Struct, frozen=True):
    """Somebody logged in or out."""


class LoginCompleted(Struct, frozen=True):
    """A login that was begun here is over; `failure` is None when it succeeded."""

    login_id: str | None
    failure: str | None


class QuotaReported(Struct, frozen=True):
    """What the upstream said of one limit, beside an answer; it may leave out what has not changed."""

    limit: RateLimit


ThreadEvent: TypeAlias = (
    MessageDelta
    | ReasoningDelta
    | RawItemCompleted
    | ResponseCompleted
    | ErrorReported
    | TurnCompleted
    | CompactionStarted
    | Warned
    | ToolCallAsked
)
Event: TypeAlias = ThreadEvent | AccountChanged | LoginCompleted | QuotaReported

INJECTED = "auto-compact-"
"""The turn ids under which codex echoes injected items begin like this; they are no news."""


def read_event(method: str, params: Any) -> Event | None:
    """Read a notification; one that we do not use becomes None.

    Raises:
        KeyError, TypeError, ValueError: the parameters are not what the schema promises.
    """
    reader = _READERS.get(method)
    return reader(params) if reader else None


def read_request(request: Request) -> ToolCallAsked | None:
    """Read a call of codex; one that we do not serve becomes None.

    Raises:
        KeyError, TypeError: the parameters are not what the schema promises.
    """
    if request.method != "item/tool/call":
        return None
    params = request.params
    return ToolCallAsked(
        _text(params, "threadId"),
        _text(params, "turnId"),
        _text(params, "callId"),
        request,
        _text(params, "tool"),
        params.get("namespace"),
    )


def tool_call_failure(reason: str) -> Params:
    """Return what answers a ToolCallAsked that cannot be run; the model sees the reason."""
    return {"contentItems": [{"type": "inputText", "text": reason}], "success": False}


def tool_call_result(output: str | Sequence[Mapping[str, Any]]) -> Params:
    """Return what answers a ToolCallAsked: a text, or the parts of a function_call_output item."""
    parts: Sequence[Mapping[str, Any]] = [{"type": "input_text", "text": output}] if isinstance(output, str) else output
    return {"contentItems": [_content_item(part) for part in parts], "success": True}


def _content_item(part: Mapping[str, Any]) -> Params:
    if part["type"] == "input_image":
        return {"type": "inputImage", "imageUrl": part["image_url"]}
    return {"type": "inputText", "text": part["text"]}


def _message_delta(params: Params) -> MessageDelta:
    return MessageDelta(
        _text(params, "threadId"), _text(params, "turnId"), _text(params, "itemId"), _text(params, "delta")
    )


def _reasoning_delta(params: Params) -> ReasoningDelta:
    return ReasoningDelta(
        _text(params, "threadId"), _text(params, "turnId"), _text(params, "itemId"), _text(params, "delta")
    )


def _reasoning_part(params: Params) -> ReasoningDelta:
    return ReasoningDelta(_text(params, "threadId"), _text(params, "turnId"), _text(params, "itemId"), "")


def _raw_item_completed(params: Params) -> RawItemCompleted | None:
    turn_id = _text(params, "turnId")
    return (
        None if turn_id.startswith(INJECTED) else RawItemCompleted(_text(params, "threadId"), turn_id, params["item"])
    )


def _response_completed(params: Params) -> ResponseCompleted:
    wire = params.get("usage")
    usage = (
        TokenUsage(
            input=wire["inputTokens"],
            cached_input=wire["cachedInputTokens"],
            output=wire["outputTokens"],
            reasoning_output=wire["reasoningOutputTokens"],
            cache_written=wire.get("cacheWriteInputTokens", 0),
        )
        if wire
        else None
    )
    return ResponseCompleted(_text(params, "threadId"), _text(params, "turnId"), usage)


def _error_reported(params: Params) -> ErrorReported:
    failure = read_failure(params["error"])
    return ErrorReported(_text(params, "threadId"), _text(params, "turnId"), failure, bool(params["willRetry"]))


def _turn_completed(params: Params) -> TurnCompleted:
    turn = params["turn"]
    failure = read_failure(turn["error"]) if turn.get("error") else None
    return TurnCompleted(_text(params, "threadId"), turn["id"], turn["status"], failure)


def _item_started(params: Params) -> CompactionStarted | None:
    """Of the items that begin only the one is news that the model does not write."""
    if params["item"]["type"] != "contextCompaction":
        return None
    return CompactionStarted(_text(params, "threadId"), _text(params, "turnId"))


def _warned(params: Params) -> Warned | None:
    """Some warnings are about no thread."""
    return Warned(_text(params, "threadId"), _text(params, "message")) if params.get("threadId") else None


def _login_completed(params: Params) -> LoginCompleted:
    failure = None if params["success"] else str(params.get("error") or "codex does not say why")
    return LoginCompleted(params.get("loginId"), failure)


def read_failure(error: Params) -> CodexFailure:
    """Read a TurnError: its `codexErrorInfo` is a name, or an object of one name with details; else it is `other`."""
    message = str(error["message"])
    match error.get("codexErrorInfo"):
        case str(kind):
            return CodexFailure(message, kind)
        case {**named} if named:
            kind, details = next(iter(cast("dict[str, object]", named).items()))
            status = cast("Params", details).get("httpStatusCode") if isinstance(details, dict) else None
            return CodexFailure(message, kind, status if isinstance(status, int) else None)
        case _:
            return CodexFailure(message)


def _text(params: Params, name: str) -> str:
    value = params[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


_READERS: Mapping[str, Callable[[Params], Event | None]] = {
    "item/agentMessage/delta": _message_delta,
    "item/started": _item_started,
    "item/reasoning/summaryPartAdded": _reasoning_part,
    "item/reasoning/summaryTextDelta": _reasoning_delta,
    "item/reasoning/textDelta": _reasoning_delta,
    "rawResponseItem/completed": _raw_item_completed,
    "rawResponse/completed": _response_completed,
    "error": _error_reported,
    "turn/completed": _turn_completed,
    "warning": _warned,
    "account/updated": lambda _: AccountChanged(),
    "account/login/completed": _login_completed,
    "account/rateLimits/updated": lambda params: QuotaReported(read_rate_limit(params["rateLimits"])),
}
