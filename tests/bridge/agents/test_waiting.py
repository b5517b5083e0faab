from __future__ import annotations

from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from bridge.agents.approvals import OpenApprovals
from bridge.agents.place import Place
from bridge.agents.waiting import WaitingWork
from bridge.conversation.events import Asked
from codex_rpc.background import running
from codex_rpc.wire.approvals import ApprovalAsked, PatchQuestion
from codex_rpc.wire.messages import Request

pytestmark = pytest.mark.anyio


class Turn:
    """A turn that asks one question, and whether it was ended."""

    def __init__(self, name: str, *, continues: tuple[str, str] | None = None, key: str | None = None) -> None:
        questions = OpenApprovals()
        asked = ApprovalAsked(PatchQuestion("thread", name, "item"), Request(0, "method", {}))
        questions.add(asked, Asked(asked.approval_id, "item", "codex", "apply_patch", {}))
        self.question = f"{name}-0"
        self.client = SimpleNamespace(alive=True)
        agent = SimpleNamespace(name="site")
        self.work: Any = SimpleNamespace(
            agent=agent,
            client=self.client,
            waits_for_any=questions.knows_any,
            continues=continues,
            place=Place(key=key),
        )
        self.ended = anyio.Event()
        self.held = AsyncExitStack()
        self.held.callback(self.ended.set)

    def wait_in(self, waiting: WaitingWork) -> None:
        waiting.put(self.work, self.held)


async def test_a_turn_is_resumed_once_by_its_agent_and_its_question():
    waiting, turn = WaitingWork(2, 60), Turn("a")
    turn.wait_in(waiting)

    assert waiting.take("other", [turn.question]) is None
    assert waiting.take("site", ["b-0"]) is None
    found = waiting.take("site", ["b-0", turn.question])
    assert found is not None
    assert found.work is turn.work
    assert waiting.take("site", [turn.question]) is None
    assert not turn.ended.is_set()


async def test_only_the_key_of_the_client_that_was_asked_resumes_a_turn():
    waiting, turn = WaitingWork(2, 60), Turn("a", key="k1")
    turn.wait_in(waiting)

    for other in (None, "k2"):
        assert waiting.take("site", [turn.question], other) is None
    found = waiting.take("site", [turn.question], "k1")
    assert found is not None
    assert found.work is turn.work


async def test_turns_that_are_too_many_or_too_old_or_without_a_codex_end():
    turns = {name: Turn(name) for name in ("first", "second", "third", "lost")}
    waiting = WaitingWork(2, 60)
    with anyio.fail_after(5):
        async with running(waiting.end_old):
            for name in ("first", "second", "third"):
                turns[name].wait_in(waiting)
            await turns["first"].ended.wait()
            turns["third"].client.alive = False
            assert waiting.take("site", [turns["third"].question]) is None
            turns["lost"].wait_in(waiting)
            await turns["third"].ended.wait()
        assert not turns["second"].ended.is_set()
        old, waiting = Turn("old"), WaitingWork(2, 0.01)
        async with running(waiting.end_old):
            old.wait_in(waiting)
            await old.ended.wait()


@pytest.mark.parametrize("most", [0, 9], ids=["too many", "all"])
async def test_a_turn_that_codex_is_slow_to_end_does_not_keep_others_waiting(most: int):
    waiting, slow, other, may_end = WaitingWork(most, 60), Turn("a"), Turn("b"), anyio.Event()
    slow.held.push_async_callback(may_end.wait)
    for turn in (slow, other):
        turn.wait_in(waiting)
    with anyio.fail_after(5):
        async with running(waiting.end_all if most else waiting.end_old):
            await other.ended.wait()
            may_end.set()
            await slow.ended.wait()


async def test_a_turn_ends_when_another_continues_what_it_continues():
    waiting, turn, other = (
        WaitingWork(8, 60),
        Turn("a", continues=("thread", "1")),
        Turn("b", continues=("thread", "2")),
    )
    for one in (turn, other):
        one.wait_in(waiting)
    await waiting.end_others("thread", "1")

    assert turn.ended.is_set()
    assert not other.ended.is_set()


async def test_a_turn_that_is_answered_while_another_is_ended_goes_on():
    """Both continue the same turn; closing the first one takes time."""
    waiting, first, second = WaitingWork(8, 60), Turn("a", continues=("t", "1")), Turn("b", continues=("t", "1"))

    def answer() -> None:
        assert waiting.take("site", [second.question]) is not None

    first.held.callback(answer)
    for one in (first, second):
        one.wait_in(waiting)
    await waiting.end_others("t", "1")

    assert first.ended.is_set()
    assert not second.ended.is_set()


async def test_all_turns_end_with_the_server():
    waiting, turns = WaitingWork(8, 60), [Turn("a"), Turn("b")]
    for one in turns:
        one.wait_in(waiting)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await waiting.end_all()

    assert all(one.ended.is_set() for one in turns)
    assert waiting.take("site", [one.question for one in turns]) is None
