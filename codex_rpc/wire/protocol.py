"""The notifications and requests of codex that we read, and the answers to its requests (app-server's protocol v2).

Most events are declared as the parameters of their notification, which `_EVENTS` names; `_READERS` reads the others.
Source: `codex app-server generate-json-schema --experimental`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import convert, field
from msgspec.structs import astuple

from codex_rpc.quota import RateLimit
from codex_rpc.shape import Shape
from codex_rpc.wire.agent_items import AgentItem, read_item
from codex_rpc.wire.approvals import ApprovalAsked, read_approval
from codex_rpc.wire.calls import Params
from codex_rpc.wire.messages import Request


class TokenUsage(Shape, frozen=True):
    """What one upstream response cost, in tokens."""

    input: int = field(name="inputTokens")
    cached_input: int = field(name="cachedInputTokens")
    output: int = field(name="outputTokens")
    reasoning_output: int = field(name="reasoningOutputTokens")
    cache_written: int = field(default=0, name="cacheWriteInputTokens")
    """How much of the input was written to the cache."""

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(
            self.input + other.input,
            self.cached_input + other.cached_input,
            self.output + other.output,
            self.reasoning_output + other.reasoning_output,
            self.cache_written + other.cache_written,
        )


class FailureDetails(Shape, frozen=True):
    """What codex adds to the kind of a failure: the HTTP status of the upstream, if known."""

    http_status: int | None = field(default=None, name="httpStatusCode")


class CodexFailure(Shape, frozen=True):
    """Why a turn failed; `info` is the kind of the failure, alone or as the only key of its details."""

    message: str
    info: str | Mapping[str, FailureDetails | None] | None = field(default=None, name="codexErrorInfo")
    additional_details: str | None = None

    @property
    def reason(self) -> str:
        """What the upstream said; while codex retries, its message only counts the attempts."""
        return self.additional_details or self.message

    @property
    def kind(self) -> str:
        """The name of the `codexErrorInfo`; `other` when codex gives none."""
        info = self.info or "other"
        return info if isinstance(info, str) else next(iter(info))

    @property
    def http_status(self) -> int | None:
        """The HTTP status of the upstream, if known."""
        details = self.info.get(self.kind) if isinstance(self.info, Mapping) else None
        return details.http_status if details else None


class _OfTurn(Shape, frozen=True):
    thread_id: str
    turn_id: str


class _OfItem(_OfTurn, frozen=True):
    item_id: str


class MessageDelta(_OfItem, frozen=True):
    """A piece of an assistant message; `pieces` counts how many of codex's deltas it joins."""

    text: str = field(name="delta")
    pieces: int = 1


class ReasoningDelta(_OfItem, frozen=True):
    """A piece of the model's reasoning as it is shown; an empty one begins a new part of the summary."""

    text: str = field(name="delta")


class RawItemCompleted(_OfTurn, frozen=True):
    """A Responses item that the model finished."""

    item: Mapping[str, Any]


class ResponseCompleted(_OfTurn, frozen=True):
    """One upstream response is complete; usage is None when the upstream sent none."""

    usage: TokenUsage | None = None


class ErrorReported(_OfTurn, frozen=True):
    """Something failed; when `will_retry`, codex tries again by itself."""

    failure: CodexFailure = field(name="error")
    will_retry: bool


class FinishedTurn(Shape, frozen=True):
    """How a turn ended: `status` is `completed`, `failed` or `interrupted`."""

    id: str
    status: str
    failure: CodexFailure | None = field(default=None, name="error")


class TurnCompleted(Shape, frozen=True):
    """A turn is over."""

    thread_id: str
    turn: FinishedTurn

    @property
    def turn_id(self) -> str:
        return self.turn.id


class CompactionStarted(_OfTurn, frozen=True):
    """Codex has begun to replace the thread's history with a summary that the model writes."""


class ItemStarted(_OfTurn, frozen=True):
    """Codex begins to say or to do something."""

    item: AgentItem


class ItemCompleted(_OfTurn, frozen=True):
    """Codex has said or done something; it may come after the end of its turn."""

    item: AgentItem


class CommandOutput(_OfItem, frozen=True):
    """More output of a command that runs; the first output of a command is missing."""

    text: str = field(name="delta")


class PlanStep(Shape, frozen=True):
    """One step of the model's plan; `status` is `pending`, `inProgress` or `completed`."""

    step: str
    status: str


class PlanUpdated(_OfTurn, frozen=True):
    """The model has written its plan, or a new version of it."""

    plan: tuple[PlanStep, ...]
    explanation: str | None = None


class UsageUpdated(_OfTurn, frozen=True):
    """What the last upstream response cost, after the commands of that response.

    When an upstream response is cut, codex reports the one before it again; then `total`, the sum of the thread, is the
    same as before.
    """

    usage: TokenUsage
    total: TokenUsage


class ModelRerouted(_OfTurn, frozen=True):
    """The upstream answers with another model than the requested one."""

    to_model: str


class Warned(Shape, frozen=True):
    """A warning of codex about the thread."""

    thread_id: str
    message: str


class _ToolCall(_OfTurn, frozen=True):
    call_id: str
    tool: str
    parsed_arguments: Any = field(name="arguments")
    namespace: str | None = None


class ToolCallAsked(_ToolCall, frozen=True, kw_only=True):
    """Codex asks us to run a declared tool; the turn waits until `request` is answered."""

    request: Request

    @property
    def arguments(self) -> str:
        """JSON text, written again from the value that codex parsed."""
        return json.dumps(self.parsed_arguments, ensure_ascii=False)


class AccountChanged(Shape, frozen=True):
    """A user logged in or out."""


class LoginCompleted(Shape, frozen=True):
    """A login that was begun on this connection is over."""

    success: bool
    login_id: str | None = None
    error: str | None = None

    @property
    def failure(self) -> str | None:
        """Why the login failed; None if it succeeded."""
        return None if self.success else self.error or "codex does not say why"


class QuotaReported(Shape, frozen=True):
    """What the upstream reported about one limit along with an answer; unchanged fields may be missing."""

    limit: RateLimit = field(name="rateLimits")


ThreadEvent: TypeAlias = (
    MessageDelta
    | ReasoningDelta
    | RawItemCompleted
    | ResponseCompleted
    | ErrorReported
    | TurnCompleted
    | CompactionStarted
    | ItemStarted
    | ItemCompleted
    | CommandOutput
    | PlanUpdated
    | UsageUpdated
    | ModelRerouted
    | Warned
    | ToolCallAsked
    | ApprovalAsked
)
Event: TypeAlias = ThreadEvent | AccountChanged | LoginCompleted | QuotaReported

INJECTED = "auto-compact-"
"""Codex repeats injected items as raw items under turn ids that begin like this."""


def read_event(method: str, params: Any) -> Event | None:
    """Read a notification; one that we do not use becomes None.

    Raises:
        ValidationError: the parameters do not fit the schema.
    """
    if event := _EVENTS.get(method):
        return convert(params, event)
    reader = _READERS.get(method)
    return reader(params) if reader else None


def read_agent_event(method: str, params: Any) -> Event | None:
    """Read a notification of a codex that works as an agent; one that we do not use becomes None.

    Raises:
        ValidationError: the parameters do not fit the schema.
    """
    if event := _AGENT_EVENTS.get(method):
        return convert(params, event)
    if reader := _AGENT_READERS.get(method):
        return reader(params)
    return read_event(method, params)


def read_request(request: Request) -> ToolCallAsked | None:
    """Read a request of codex; one that we do not serve becomes None.

    Raises:
        ValidationError: the parameters do not fit the schema.
    """
    if request.method != "item/tool/call":
        return None
    return ToolCallAsked(*astuple(convert(request.params, _ToolCall)), request=request)


def read_agent_request(request: Request) -> ToolCallAsked | ApprovalAsked | None:
    """Read a request of a codex that works as an agent; one that we do not serve becomes None.

    Raises:
        ValidationError: the parameters do not fit the schema.
    """
    return read_approval(request) or read_request(request)


def tool_call_failure(reason: str) -> Params:
    """Return the result for a ToolCallAsked that cannot be run; the model sees the reason."""
    return {"contentItems": [{"type": "inputText", "text": reason}], "success": False}


def tool_call_result(output: str | Sequence[Mapping[str, Any]]) -> Params:
    """Return the result for a ToolCallAsked: a text, or the parts of a function_call_output item."""
    parts: Sequence[Mapping[str, Any]] = [{"type": "input_text", "text": output}] if isinstance(output, str) else output
    return {"contentItems": [_content_item(part) for part in parts], "success": True}


def _content_item(part: Mapping[str, Any]) -> Params:
    if part["type"] == "input_image":
        return {"type": "inputImage", "imageUrl": part["image_url"]}
    return {"type": "inputText", "text": part["text"]}


class _Item(Shape, frozen=True):
    type: str


class _OfAnyItem(_OfTurn, frozen=True):
    item: Mapping[str, Any]


class _Usages(Shape, frozen=True):
    last: TokenUsage
    total: TokenUsage


class _UsageUpdated(_OfTurn, frozen=True):
    usages: _Usages = field(name="tokenUsage")


class _ItemStarted(Shape, frozen=True):
    item: _Item


class _Warning(Shape, frozen=True):
    thread_id: str | None = None


def _compaction_started(params: Any) -> CompactionStarted | None:
    """All other items that start are the model's own, which other notifications report."""
    is_compaction = convert(params, _ItemStarted).item.type == "contextCompaction"
    return convert(params, CompactionStarted) if is_compaction else None


def _item_started(params: Any) -> ItemStarted | None:
    started = convert(params, _OfAnyItem)
    item = read_item(started.item)
    return None if item is None else ItemStarted(started.thread_id, started.turn_id, item)


def _item_completed(params: Any) -> ItemCompleted | None:
    completed = convert(params, _OfAnyItem)
    item = read_item(completed.item)
    return None if item is None else ItemCompleted(completed.thread_id, completed.turn_id, item)


def _usage_updated(params: Any) -> UsageUpdated:
    updated = convert(params, _UsageUpdated)
    return UsageUpdated(updated.thread_id, updated.turn_id, updated.usages.last, updated.usages.total)


def _reasoning_part_added(params: Any) -> ReasoningDelta:
    part = convert(params, _OfItem)
    return ReasoningDelta(part.thread_id, part.turn_id, part.item_id, "")


def _raw_item_completed(params: Any) -> RawItemCompleted | None:
    completed = convert(params, RawItemCompleted)
    return None if completed.turn_id.startswith(INJECTED) else completed


def _warned(params: Any) -> Warned | None:
    """Some warnings are not about a thread."""
    return convert(params, Warned) if convert(params, _Warning).thread_id else None


_EVENTS: Mapping[str, type[Event]] = {
    "item/agentMessage/delta": MessageDelta,
    "item/reasoning/summaryTextDelta": ReasoningDelta,
    "item/reasoning/textDelta": ReasoningDelta,
    "rawResponse/completed": ResponseCompleted,
    "error": ErrorReported,
    "turn/completed": TurnCompleted,
    "model/rerouted": ModelRerouted,
    "account/updated": AccountChanged,
    "account/login/completed": LoginCompleted,
    "account/rateLimits/updated": QuotaReported,
}
_READERS: Mapping[str, Callable[[Any], Event | None]] = {
    "item/reasoning/summaryPartAdded": _reasoning_part_added,
    "item/started": _compaction_started,
    "rawResponseItem/completed": _raw_item_completed,
    "warning": _warned,
}

READ_NOTIFICATIONS = frozenset({*_EVENTS, *_READERS})
"""The notifications that are read; codex does not send those in `calls.UNWANTED`."""

_AGENT_EVENTS: Mapping[str, type[Event]] = {
    "item/commandExecution/outputDelta": CommandOutput,
    "turn/plan/updated": PlanUpdated,
}
_AGENT_READERS: Mapping[str, Callable[[Any], Event | None]] = {
    "item/started": _item_started,
    "item/completed": _item_completed,
    "thread/tokenUsage/updated": _usage_updated,
}

READ_OF_AGENTS = frozenset({*READ_NOTIFICATIONS, *_AGENT_EVENTS, *_AGENT_READERS})
"""The notifications of agents that are read."""
