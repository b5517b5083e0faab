"""The events of a turn, from which every answer is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from bridge.conversation.prompt import Item
from bridge.conversation.tools import Kind
from bridge.errors import ApiError
from codex_rpc.wire.events import TokenUsage

FinishReason: TypeAlias = Literal["stop", "length", "content_filter", "tool_calls", "cancelled"]


APPROVAL = "codex_approval"
"""The function that a client declares if an agent is to ask it by calls."""


class TextDelta(Struct, frozen=True):
    """More of the answer's text; `tokens` is the number of upstream deltas that it consists of."""

    text: str
    tokens: int = 1


class ReasoningPart(Struct, frozen=True):
    """A new part of the reasoning summary begins; `source` is the upstream's id of the item."""

    source: str = ""


class ReasoningDelta(Struct, frozen=True):
    """More text of the current part."""

    text: str
    source: str = ""


class ToolCall(Struct, frozen=True):
    """A complete call of one of the client's tools, with the client's names and arguments."""

    call_id: str
    name: str
    arguments: str
    kind: Kind = "function"
    namespace: str | None = None


class MessageBegun(Struct, frozen=True):
    """A message of an agent begins; `phase` is `commentary`, `final_answer` or unknown. Chat mode has no such event."""

    phase: str | None


class StepBegun(Struct, frozen=True):
    """An agent begins to do something, such as to run a command; several steps may run at once.

    `arguments` is any JSON value, and `server` is the MCP server that has the tool `name`, or `codex`.
    """

    step_id: str
    server: str
    name: str
    arguments: Any
    approval: str | None = None
    """The id under which the client was asked about it in an earlier answer."""


class StepDone(Struct, frozen=True):
    """A step is over; it was begun before, with the same first fields.

    `error` says why it failed; a command that ran has an exit code. A step that is not complete was still running when
    the answer ended.
    """

    step_id: str
    server: str
    name: str
    arguments: Any
    output: str = ""
    error: str | None = None
    is_complete: bool = True
    exit_code: int | None = None


class Asked(Struct, frozen=True):
    """An agent asks whether it may do something; the next request of the client answers. Fields as in StepBegun."""

    approval_id: str
    step_id: str
    """The step that it is about; empty if codex does not name it."""
    server: str
    name: str
    arguments: Mapping[str, Any]
    """Those of the step, and the `reason`."""


class ItemDone(Struct, frozen=True):
    """A message, a reasoning item or a web search of the model is complete: the item as upstream sent it.

    Its text and its reasoning were passed on before, as deltas.
    """

    item: Item


class Used(Struct, frozen=True):
    """The token usage of one upstream response."""

    usage: TokenUsage


class Finished(Struct, frozen=True):
    """The answer is complete. Nothing follows."""

    reason: FinishReason


class Failed(Struct, frozen=True):
    """The answer cannot be completed. Nothing follows."""

    error: ApiError


TurnEvent: TypeAlias = (
    TextDelta
    | ReasoningPart
    | ReasoningDelta
    | MessageBegun
    | StepBegun
    | StepDone
    | Asked
    | ToolCall
    | ItemDone
    | Used
    | Finished
    | Failed
)
"""One event of a turn."""
