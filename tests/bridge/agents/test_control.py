from __future__ import annotations

from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from bridge.agents.approvals import OpenApprovals
from bridge.agents.client_tools import OpenCalls
from bridge.agents.control import Control
from bridge.agents.place import Place
from bridge.agents.waiting import WaitingWork
from bridge.conversation.events import Asked, StepBegun
from bridge.errors import ApiError
from codex_rpc.wire.approvals import ApprovalAsked, PatchQuestion
from codex_rpc.wire.messages import Request

pytestmark = pytest.mark.anyio

CHANGE = {"path": "a.py", "kind": "add", "diff": "x\n", "added": 1, "removed": 0}


def work_of(key: str | None, turn_id: str) -> Any:
    asked = ApprovalAsked(PatchQuestion("thread", turn_id, "item"), Request(0, "method", {}))
    questions = OpenApprovals()
    questions.add(asked, Asked(asked.approval_id, "item", "codex", "apply_patch", {"changes": [CHANGE], "reason": "r"}))
    agent = SimpleNamespace(name="site", folder="/w/site")
    place, calls = Place(key=key), OpenCalls()
    return SimpleNamespace(turn_id=turn_id, agent=agent, began=1.0, place=place, questions=questions, calls=calls)


class Turn:
    """A running turn, and whether it was stopped."""

    stopped = False
    steps = (StepBegun("a", "codex", "shell", {"command": "make", "cwd": "."}),)

    async def stop(self) -> None:
        self.stopped = True


async def test_each_key_sees_and_controls_its_own_turns_and_the_servers_own_key_all():
    waiting = WaitingWork(8, 60)
    control, ended = Control(waiting), anyio.Event()
    held = AsyncExitStack()
    held.callback(ended.set)
    waiting.put(work_of("k1", "w"), held)
    turn: Any = Turn()
    with control.shown(work_of("k2", "r"), turn):
        seen = {key: [one["turn"] for one in control.report(key)] for key in (None, "k1", "k2", "k3")}
        assert seen == {None: ["w", "r"], "k1": ["w"], "k2": ["r"], "k3": []}
        for key, turn_id in (("k1", "r"), ("k2", "w"), (None, "other")):
            with pytest.raises(ApiError, match="No agent works"):
                await control.stop(turn_id, key)
        with pytest.raises(ApiError, match="does not wait"):
            control.decide("w-0", "k2", approve=True)
        assert control.report(None)[0]["questions"][0]["approved"] is None
        control.decide("w-0", "k1", approve=True)
        assert control.report(None)[0]["questions"] == [
            {"id": "w-0", "action": "change files", "changes": [CHANGE], "reason": "r", "approved": True}
        ]
        assert control.report("k2")[0]["doing"] == ["make"]
        assert not turn.stopped
        await control.stop("r", "k2")
        assert turn.stopped
        assert not ended.is_set()
        await control.stop("w", None)
        assert ended.is_set()
    assert control.report(None) == []
