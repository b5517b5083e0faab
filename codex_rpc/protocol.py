"""The subset of app-server's protocol v2 that we use: calls with typed results, and the events of a thread.

A name stands here only if something uses it. Source: `codex app-server generate-json-schema --experimental`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

from codex_rpc.messages import Request

T = TypeVar("T")
Params: TypeAlias = Mapping[str, Any]


# ── Calls ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One method with its parameters and the reader of its result."""

    method: str
    params: Params
    read: Callable[[Any], T]


@dataclass(frozen=True, slots=True)
class Account:
    """Whether codex can answer: `kind` is None when nobody is logged in."""

    kind: str | None
    plan: str | None
    needs_login: bool

    @property
    def ready(self) -> bool:
        return self.kind is not None or not self.needs_login


@dataclass(frozen=True, slots=True)
class Model:
    """A model as codex lists it."""

    slug: str
    efforts: tuple[str, ...]
    tiers: Mapping[str, str]
    """The service tiers, display name in lower case → id."""
    hidden: bool


def initialize(name: str, version: str, unwanted: Sequence[str]) -> Call[str]:
    """The handshake; the result is codex's user agent, which holds its version."""
    capabilities = {"experimentalApi": True, "optOutNotificationMethods": list(unwanted)}
    params = {"clientInfo": {"name": name, "title": None, "version": version}, "capabilities": capabilities}
    return Call("initialize", params, lambda result: result["userAgent"])


def account_read() -> Call[Account]:
    """Who is logged in."""

    def read(result: Any) -> Account:
        account: Params = result.get("account") or {}
        return Account(account.get("type"), account.get("planType"), bool(result["requiresOpenaiAuth"]))

    return Call("account/read", {}, read)


def config_read() -> Call[Mapping[str, Any]]:
    """The user's effective configuration."""
    return Call("config/read", {}, lambda result: result["config"])


def model_list() -> Call[tuple[Model, ...]]:
    """The models of the catalogue in codex's order, hidden ones included."""

    def read(result: Any) -> tuple[Model, ...]:
        return tuple(
            Model(
                slug=model["model"],
                efforts=tuple(option["reasoningEffort"] for option in model["supportedReasoningEfforts"]),
                tiers={tier["name"].lower(): tier["id"] for tier in model.get("serviceTiers", ())},
                hidden=model["hidden"],
            )
            for model in result["data"]
        )

    return Call("model/list", {"includeHidden": True, "limit": 1000}, read)


def thread_start(params: Params) -> Call[str]:
    """Open a thread; the result is its id."""
    return Call("thread/start", params, lambda result: result["thread"]["id"])


def thread_inject_items(thread_id: str, items: Sequence[Mapping[str, Any]]) -> Call[None]:
    """Append raw Responses items to the thread's history."""
    return Call("thread/inject_items", {"threadId": thread_id, "items": list(items)}, _nothing)


def thread_unsubscribe(thread_id: str) -> Call[None]:
    """Let codex unload the thread."""
    return Call("thread/unsubscribe", {"threadId": thread_id}, _nothing)


def turn_start(thread_id: str, **settings: Any) -> Call[str]:
    """Run the model on what the thread holds; `settings` are TurnStartParams; the result is the turn's id."""
    params: Params = {"threadId": thread_id, "input": [], **settings}
    return Call("turn/start", params, lambda result: result["turn"]["id"])


def turn_interrupt(thread_id: str, turn_id: str) -> Call[None]:
    """Stop a running turn."""
    return Call("turn/interrupt", {"threadId": thread_id, "turnId": turn_id}, _nothing)


def _nothing(_: Any) -> None:
    return None


# ── Notifications ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """What one upstream response cost, in tokens."""

    input: int
    cached_input: int
    output: int
    reasoning_output: int

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(
            self.input + other.input,
            self.cached_input + other.cached_input,
            self.output + other.output,
            self.reasoning_output + other.reasoning_output,
        )


@dataclass(frozen=True, slots=True)
class CodexFailure:
    """Why a turn failed: `kind` is the name of the `codexErrorInfo`, `http_status` that of the upstream if known."""

    message: str
    kind: str = "other"
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class MessageDelta:
    """A piece of an assistant message; `pieces` counts how many of codex's deltas it joins."""

    thread_id: str
    turn_id: str
    item_id: str
    text: str
    pieces: int = 1


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of what the model tells about its reasoning."""

    thread_id: str
    turn_id: str
    text: str


@dataclass(frozen=True, slots=True)
class RawItemCompleted:
    """A Responses item that the model finished."""

    thread_id: str
    turn_id: str
    item: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ResponseCompleted:
    """One upstream response is complete; usage is None when the upstream sent none."""

    thread_id: str
    turn_id: str
    usage: TokenUsage | None


@dataclass(frozen=True, slots=True)
class ErrorReported:
    """Something failed; codex goes on by itself when `will_retry`."""

    thread_id: str
    turn_id: str
    failure: CodexFailure
    will_retry: bool


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """A turn is over."""

    thread_id: str
    turn_id: str
    status: Literal["completed", "failed", "interrupted"]
    failure: CodexFailure | None


@dataclass(frozen=True, slots=True)
class Warned:
    """Codex has something to say about the thread."""

    thread_id: str
    message: str


@dataclass(frozen=True, slots=True)
class ToolCallAsked:
    """Codex asks us to run a declared tool; the turn waits until `request` is answered."""

    thread_id: str
    turn_id: str
    call_id: str
    request: Request


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """Somebody logged in or out."""


ThreadEvent: TypeAlias = (
    MessageDelta
    | ReasoningDelta
    | RawItemCompleted
    | ResponseCompleted
    | ErrorReported
    | TurnCompleted
    | Warned
    | ToolCallAsked
)
Event: TypeAlias = ThreadEvent | AccountChanged

PARAGRAPH = "\n\n"
"""The text of a ReasoningDelta that only separates what follows from what came before."""

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
    return ToolCallAsked(_text(params, "threadId"), _text(params, "turnId"), _text(params, "callId"), request)


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
    return ReasoningDelta(_text(params, "threadId"), _text(params, "turnId"), _text(params, "delta"))


def _reasoning_part(params: Params) -> ReasoningDelta:
    """Each part of a summary is a paragraph of its own."""
    return ReasoningDelta(_text(params, "threadId"), _text(params, "turnId"), PARAGRAPH)


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


def _warned(params: Params) -> Warned | None:
    """Some warnings are about no thread."""
    return Warned(_text(params, "threadId"), _text(params, "message")) if params.get("threadId") else None


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
    "item/reasoning/summaryPartAdded": _reasoning_part,
    "item/reasoning/summaryTextDelta": _reasoning_delta,
    "item/reasoning/textDelta": _reasoning_delta,
    "rawResponseItem/completed": _raw_item_completed,
    "rawResponse/completed": _response_completed,
    "error": _error_reported,
    "turn/completed": _turn_completed,
    "warning": _warned,
    "account/updated": lambda _: AccountChanged(),
    "account/login/completed": lambda _: AccountChanged(),
}

UNWANTED = (
    "account/rateLimits/updated",
    "app/list/updated",
    "configWarning",
    "deprecationNotice",
    "hook/completed",
    "hook/started",
    "item/autoApprovalReview/completed",
    "item/autoApprovalReview/started",
    "item/commandExecution/outputDelta",
    "item/commandExecution/terminalInteraction",
    "item/completed",
    "item/fileChange/outputDelta",
    "item/fileChange/patchUpdated",
    "item/mcpToolCall/progress",
    "item/plan/delta",
    "item/started",
    "mcpServer/startupStatus/updated",
    "model/safetyBuffering/updated",
    "model/verification",
    "remoteControl/status/changed",
    "serverRequest/resolved",
    "skills/changed",
    "thread/closed",
    "thread/environment/connected",
    "thread/environment/disconnected",
    "thread/goal/cleared",
    "thread/goal/updated",
    "thread/name/updated",
    "thread/settings/updated",
    "thread/started",
    "thread/status/changed",
    "thread/tokenUsage/updated",
    "turn/diff/updated",
    "turn/moderationMetadata",
    "turn/plan/updated",
    "turn/started",
)
"""Notifications that codex need not send us: it saves both sides the work."""
