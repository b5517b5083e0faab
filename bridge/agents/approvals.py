"""Questions of codex whether it may do something, as the client reads them, and the client's answers.

1. Only a yes is an acceptance; anything else, and no answer, declines.
2. An acceptance holds for the one action that was asked about.
3. What cannot be shown as a whole is not asked: access to the network, input to a running command, very long patches,
   folders that would stay writable, and forms of MCP servers.
4. The client answers, and so may the status page: an action is accepted if one of them said yes and none said no.
5. The words with which a client declines reach the model.
6. What is shown is what is asked about, whatever ids the model chose: a command is that of the question; a patch, of
   which the question has only the id, is asked about once, and only if it is a patch that runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

from msgspec import Struct

from bridge.agents.bounded_text import is_whole
from bridge.agents.steps import CODEX, PATCH, SHELL, relative, without_shell
from bridge.conversation.events import APPROVAL, Asked, StepBegun, StepDone, ToolCall
from bridge.openai.responses.approvals import Decision
from codex_rpc.wire.approvals import (
    ApprovalAsked,
    CommandQuestion,
    Elicitation,
    PatchQuestion,
    approval_result,
)
from codex_rpc.wire.calls import Params
from codex_rpc.wire.messages import Request

_YES = re.compile(r"\s*[\"']?(?:approved?|yes|accept(?:ed)?|true)[.!]?[\"']?\s*", re.IGNORECASE)
_NO = re.compile(
    r"\s*[\"']?(?:no|declined?|den(?:y|ied)|reject(?:ed)?|cancel(?:l?ed)?|false)?[.!]?[\"']?\s*", re.IGNORECASE
)
_ACTIONS = {SHELL: "run a command", PATCH: "change files"}


def shown(asked: ApprovalAsked, running: Mapping[str, StepBegun], folder: str) -> Asked | None:
    """Return a question as the client reads it; None if it is not to be asked.

    `running` are the steps by their ids, without those that were asked about before; `folder` is the agent's.
    """
    match asked.question:
        case CommandQuestion(kind="command", command=str(command), cwd=str(cwd), network=None) as question:
            arguments = {"command": without_shell(command) or command, "cwd": relative(cwd, folder)}
            return Asked(asked.approval_id, question.item_id, CODEX, SHELL, {**arguments, "reason": question.reason})
        case PatchQuestion(item_id=item_id, grant_root=None, reason=reason):
            return _patch(running.get(item_id), asked.approval_id, reason)
        case Elicitation(turn_id=str(), message=message) as question if question.is_about_a_call:
            called = _called(question, running)
            return called and Asked(asked.approval_id, *called[:3], {"arguments": called[3], "reason": message})
        case _:
            return None


def is_about(asked: Asked, step: StepDone) -> bool:
    """Return whether a question was about a step; where codex did not name the step, by the call of the tool."""
    if asked.step_id:
        return asked.step_id == step.step_id
    called = asked.server, asked.name, asked.arguments.get("arguments")
    return called == (step.server, step.name, step.arguments)


def as_call(asked: Asked) -> ToolCall:
    """Return a question as a call of the function that the client has declared for it."""
    return ToolCall(asked.approval_id, APPROVAL, json.dumps(described(asked), ensure_ascii=False))


def described(asked: Asked) -> Mapping[str, Any]:
    """Return what a question is about: the `action` in words, what it is done with, and the `reason`."""
    action = _ACTIONS.get(asked.name, f"call {asked.server}.{asked.name}")
    return {"action": action, **asked.arguments}


def read_decision(output: str) -> Decision:
    """Return what the output of that function says: `approve`, `yes` and the like accept, and anything else declines.

    If it is more than `no` and the like, its words are for the model.
    """
    if _YES.fullmatch(output):
        return Decision(approve=True)
    return Decision(approve=False, words="" if _NO.fullmatch(output) else output.strip())


class OpenApproval(Struct):
    """A question that waits for the client."""

    asked: ApprovalAsked
    shown: Asked
    """The question as the client reads it."""
    approved: bool | None = None
    """What the status page said; None if it said nothing."""


class OpenApprovals:
    """The questions of one turn that wait for the client."""

    def __init__(self) -> None:
        self._open: dict[str, OpenApproval] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[OpenApproval]:
        return iter(self._open.values())

    def add(self, asked: ApprovalAsked, shown: Asked) -> None:
        """Keep a question that was passed on to the client."""
        self._open[asked.approval_id] = OpenApproval(asked, shown)

    def decide(self, approval_id: str, *, approve: bool) -> bool:
        """Keep what the status page says to a question, of which a no is final; return whether the question waits."""
        if (one := self._open.get(approval_id)) is None:
            return False
        one.approved = approve and one.approved is not False
        return True

    def knows_any(self, approval_ids: Set[str]) -> bool:
        """Return whether one of these questions waits for an answer."""
        return not self._open.keys().isdisjoint(approval_ids)

    def words(self, answers: Mapping[str, Decision]) -> list[str]:
        """Return what the client's answers to these questions say to the model, in the order of the questions."""
        return [answers[one].words for one in self._open if one in answers and answers[one].words]

    def settle(self, answers: Mapping[str, Decision]) -> list[tuple[Request, Params]]:
        """Return codex's requests, each with its result; what no one has accepted is declined. None waits after it.

        `answers` are those of the client.
        """
        waiting, self._open = self._open, {}
        client = {approval_id: decision.approve for approval_id, decision in answers.items()}
        said = {approval_id: {client.get(approval_id), one.approved} for approval_id, one in waiting.items()}
        return [
            answered(one.asked, accepted=True in said[approval_id] and False not in said[approval_id])
            for approval_id, one in waiting.items()
        ]


def answered(asked: ApprovalAsked, *, accepted: bool) -> tuple[Request, Params]:
    """Return codex's request with its result."""
    return asked.request, approval_result(asked.question, accepted=accepted)


def _called(question: Elicitation, running: Mapping[str, StepBegun]) -> tuple[str, str, str, Any] | None:
    """Return the step, the server, the tool and the arguments of a question; old versions of codex name the server.

    The step is unknown if codex names the tool.
    """
    meta = question.meta or {}
    if isinstance(name := meta.get("tool_name"), str) and "tool_params" in meta:
        return "", question.server, name, meta["tool_params"]
    match [step for step in running.values() if step.server == question.server]:
        case [StepBegun(step_id=step_id, server=server, name=name, arguments=arguments)]:
            return step_id, server, name, arguments
        case _:
            return None


def _patch(step: StepBegun | None, approval_id: str, reason: str | None) -> Asked | None:
    if step is None or (step.server, step.name) != (CODEX, PATCH):
        return None
    if not all(is_whole(change["diff"]) for change in step.arguments["changes"]):
        return None
    return Asked(approval_id, step.step_id, CODEX, PATCH, {**step.arguments, "reason": reason})
