"""Reads the notifications and requests of codex, and writes the answers to its requests (app-server's protocol v2).

`_EVENTS` names the notifications whose parameters are an event; `_READERS` reads the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import convert, field
from msgspec.structs import astuple

from codex_rpc.shape import Shape
from codex_rpc.wire.agent_items import read_item
from codex_rpc.wire.approvals import ApprovalAsked, read_approval
from codex_rpc.wire.calls import Params
from codex_rpc.wire.events import (
    AccountChanged,
    CommandOutput,
    CompactionStarted,
    ErrorReported,
    Event,
    ItemCompleted,
    ItemStarted,
    LoginCompleted,
    MessageDelta,
    ModelRerouted,
    OfItem,
    OfTurn,
    PlanUpdated,
    QuotaReported,
    RawItemCompleted,
    ReasoningDelta,
    ResponseCompleted,
    TokenUsage,
    ToolCallAsked,
    ToolCallParams,
    TurnCompleted,
    UsageUpdated,
    Warned,
)
from codex_rpc.wire.messages import Request

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
    return ToolCallAsked(*astuple(convert(request.params, ToolCallParams)), request=request)


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


class _OfAnyItem(OfTurn, frozen=True):
    item: Mapping[str, Any]


class _Usages(Shape, frozen=True):
    last: TokenUsage
    total: TokenUsage


class _UsageUpdated(OfTurn, frozen=True):
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
    part = convert(params, OfItem)
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
