"""Questions of codex whether it may do something, as the client reads them, and the client's answers.

1. Only a yes is an acceptance; anything else, and no answer, declines.
2. An acceptance holds for the one action that was asked about.
3. What cannot be shown as a whole is not asked: access to the network, input to a running command, very long patches,
   folders that would stay writable, and forms of MCP servers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from typing import Any

from bridge.agents.bounded_text import is_whole
from bridge.conversation.events import Asked, StepBegun, ToolCall
from codex_rpc.wire.approvals import (
    ApprovalAsked,
    CommandQuestion,
    Elicitation,
    PatchQuestion,
    approval_result,
)
from codex_rpc.wire.calls import Params
from codex_rpc.wire.messages import Request

FUNCTION = "codex_approval"
"""The function that a client of chat completions declares if it wants to be asked."""

_YES = re.compile(r"\s*[\"']?(?:approved?|yes|accept(?:ed)?|true)[.!]?[\"']?\s*", re.IGNORECASE)
_ACTIONS = {"shell": "run a command", "apply_patch": "change files"}


def shown(asked: ApprovalAsked, running: Mapping[str, StepBegun]) -> Asked | None:
    """Return a question as the client reads it; None if it is not to be asked. `running` are the steps by their ids."""
    match asked.question:
        case CommandQuestion(item_id=item_id, kind="command", network=None, reason=reason):
            return _about(running.get(item_id), asked.approval_id, reason)
        case PatchQuestion(item_id=item_id, grant_root=None, reason=reason):
            return _about(running.get(item_id), asked.approval_id, reason)
        case Elicitation(turn_id=str(), message=message) as question if question.is_about_a_call:
            called = _called(question, running)
            return called and Asked(
                asked.approval_id, called[0], called[1], {"arguments": called[2], "reason": message}
            )
        case _:
            return None


def as_call(asked: Asked) -> ToolCall:
    """Return a question as a call of the function that the client has declared for it."""
    action = _ACTIONS.get(asked.name, f"call {asked.server}.{asked.name}")
    arguments = json.dumps({"action": action, **asked.arguments}, ensure_ascii=False)
    return ToolCall(asked.approval_id, FUNCTION, arguments)


def is_yes(output: str) -> bool:
    """Return whether the output of that function accepts: `approve`, `yes` and the like, and nothing else."""
    return _YES.fullmatch(output) is not None


class OpenApprovals:
    """The questions of one turn that wait for the client."""

    def __init__(self) -> None:
        self._open: dict[str, ApprovalAsked] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, asked: ApprovalAsked) -> None:
        """Keep a question that was passed on to the client."""
        self._open[asked.approval_id] = asked

    def knows_any(self, approval_ids: Set[str]) -> bool:
        """Return whether one of these questions waits for an answer."""
        return not self._open.keys().isdisjoint(approval_ids)

    def settle(self, answers: Mapping[str, bool]) -> list[tuple[Request, Params]]:
        """Return codex's requests, each with its result; what is not accepted here is declined. None waits after it."""
        asked, self._open = self._open, {}
        return [answered(one, accepted=answers.get(approval_id) is True) for approval_id, one in asked.items()]


def answered(asked: ApprovalAsked, *, accepted: bool) -> tuple[Request, Params]:
    """Return codex's request with its result."""
    return asked.request, approval_result(asked.question, accepted=accepted)


def _called(question: Elicitation, running: Mapping[str, StepBegun]) -> tuple[str, str, Any] | None:
    """Return the server, the tool and the arguments that a question is about; old versions of codex name the server."""
    meta = question.meta or {}
    if isinstance(name := meta.get("tool_name"), str) and "tool_params" in meta:
        return question.server, name, meta["tool_params"]
    match [step for step in running.values() if step.server == question.server]:
        case [StepBegun(server=server, name=name, arguments=arguments)]:
            return server, name, arguments
        case _:
            return None


def _about(step: StepBegun | None, approval_id: str, reason: str | None) -> Asked | None:
    if step is None or not all(is_whole(change["diff"]) for change in step.arguments.get("changes", ())):
        return None
    arguments: dict[str, Any] = {**step.arguments, "reason": reason}
    return Asked(approval_id, step.server, step.name, arguments)
