"""Codex's questions whether it may do something, and the two answers that we give: accept or decline.

Codex also takes answers that hold for longer than one action; they are never given.
Source: `codex app-server generate-json-schema --experimental`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from msgspec import Struct, convert, field

from codex_rpc.shape import Shape
from codex_rpc.wire.calls import Params
from codex_rpc.wire.messages import Request

TOOL_CALL = "mcp_tool_call"
"""The kind of an elicitation that asks whether a tool of an MCP server may be called."""


class CommandQuestion(Shape, frozen=True):
    """Whether a command may run outside the sandbox; `kind` is `command` or something that runs no new command."""

    thread_id: str
    turn_id: str
    item_id: str
    command: str | None = None
    cwd: str | None = None
    reason: str | None = None
    kind: str = "command"
    network: Any = field(default=None, name="networkApprovalContext")
    """The network access that is asked for, if the question is about that."""


class PatchQuestion(Shape, frozen=True):
    """Whether a patch may be applied; `grant_root` is a folder that would be writable for the rest of the session."""

    thread_id: str
    turn_id: str
    item_id: str
    reason: str | None = None
    grant_root: str | None = None


class Elicitation(Shape, frozen=True):
    """What an MCP server, or codex in its name, asks the user."""

    thread_id: str
    server: str = field(name="serverName")
    mode: str
    turn_id: str | None = None
    message: str = ""
    meta: Mapping[str, Any] | None = field(default=None, name="_meta")

    @property
    def is_about_a_call(self) -> bool:
        """Whether it only asks if a tool may be called."""
        return self.mode == "form" and (self.meta or {}).get("codex_approval_kind") == TOOL_CALL


Question: TypeAlias = CommandQuestion | PatchQuestion | Elicitation

_QUESTIONS: Mapping[str, type[Question]] = {
    "item/commandExecution/requestApproval": CommandQuestion,
    "item/fileChange/requestApproval": PatchQuestion,
    "mcpServer/elicitation/request": Elicitation,
}


class ApprovalAsked(Struct, frozen=True):
    """Codex asks; what it asks about waits until `request` is answered, without a time limit."""

    question: Question
    request: Request

    @property
    def thread_id(self) -> str:
        return self.question.thread_id

    @property
    def turn_id(self) -> str | None:
        return self.question.turn_id

    @property
    def approval_id(self) -> str:
        """An id that no other question has, also after a restart."""
        return f"{self.turn_id}-{self.request.id}"


def read_approval(request: Request) -> ApprovalAsked | None:
    """Read a request of codex; one that is no question whether it may do something becomes None.

    Raises:
        ValidationError: the parameters do not fit the schema.
    """
    shape = _QUESTIONS.get(request.method)
    return None if shape is None else ApprovalAsked(convert(request.params, shape), request)


def approval_result(question: Question, *, accepted: bool) -> Params:
    """Return the result for the request that asks this."""
    answer = "accept" if accepted else "decline"
    if isinstance(question, Elicitation):
        return {"action": answer, "content": None, "_meta": None}
    return {"decision": answer}
