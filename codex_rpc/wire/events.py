"""What codex reports and asks, as far as we use it.

Most events are declared as the parameters of their notification. Source: `codex app-server generate-json-schema
--experimental`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from msgspec import field

from codex_rpc.quota import RateLimit
from codex_rpc.shape import Shape
from codex_rpc.wire.agent_items import AgentItem
from codex_rpc.wire.approvals import ApprovalAsked
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


class OfTurn(Shape, frozen=True):
    """Something that belongs to a turn."""

    thread_id: str
    turn_id: str


class OfItem(OfTurn, frozen=True):
    """Something that belongs to an item of a turn."""

    item_id: str


class MessageDelta(OfItem, frozen=True):
    """A piece of an assistant message; `pieces` counts how many of codex's deltas it joins."""

    text: str = field(name="delta")
    pieces: int = 1


class ReasoningDelta(OfItem, frozen=True):
    """A piece of the model's reasoning as it is shown; an empty one begins a new part of the summary."""

    text: str = field(name="delta")


class RawItemCompleted(OfTurn, frozen=True):
    """A Responses item that the model finished."""

    item: Mapping[str, Any]


class ResponseCompleted(OfTurn, frozen=True):
    """One upstream response is complete; usage is None when the upstream sent none."""

    usage: TokenUsage | None = None


class ErrorReported(OfTurn, frozen=True):
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


class CompactionStarted(OfTurn, frozen=True):
    """Codex has begun to replace the thread's history with a summary that the model writes."""


class ItemStarted(OfTurn, frozen=True):
    """Codex begins to say or to do something."""

    item: AgentItem


class ItemCompleted(OfTurn, frozen=True):
    """Codex has said or done something; it may come after the end of its turn."""

    item: AgentItem


class CommandOutput(OfItem, frozen=True):
    """More output of a command that runs; the first output of a command is missing."""

    text: str = field(name="delta")


class PlanStep(Shape, frozen=True):
    """One step of the model's plan; `status` is `pending`, `inProgress` or `completed`."""

    step: str
    status: str


class PlanUpdated(OfTurn, frozen=True):
    """The model has written its plan, or a new version of it."""

    plan: tuple[PlanStep, ...]
    explanation: str | None = None


class UsageUpdated(OfTurn, frozen=True):
    """What the last upstream response cost, after the commands of that response.

    When an upstream response is cut, codex reports the one before it again; then `total`, the sum of the thread, is the
    same as before.
    """

    usage: TokenUsage
    total: TokenUsage


class ModelRerouted(OfTurn, frozen=True):
    """The upstream answers with another model than the requested one."""

    to_model: str


class Warned(Shape, frozen=True):
    """A warning of codex about the thread."""

    thread_id: str
    message: str


class ToolCallParams(OfTurn, frozen=True):
    """The parameters with which codex asks for a tool call."""

    call_id: str
    tool: str
    parsed_arguments: Any = field(name="arguments")
    namespace: str | None = None


class ToolCallAsked(ToolCallParams, frozen=True, kw_only=True):
    """Codex asks us to run a declared tool; the turn waits until `request` is answered."""

    request: Request

    @property
    def unique_id(self) -> str:
        """An id that no other call has, also after a restart; the model may use one `call_id` twice."""
        return f"{self.turn_id}-{self.request.id}"

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
