"""The turns of agents that run or wait, for the status page: what they do now, stopping them, answering for the client.

Who has a named key sees and controls what was begun with it; who has the server's own key, everything.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from bridge.agents.approvals import described
from bridge.agents.errors import agent_turn_not_found, approval_expired
from bridge.agents.steps import in_words
from bridge.agents.turns import AgentTurn
from bridge.agents.waiting import WaitingWork
from bridge.agents.work import Work


class Control:
    """`key` is everywhere the id of the named key with which the page is used; None for the server's own key."""

    def __init__(self, waiting: WaitingWork) -> None:
        self._waiting = waiting
        self._running: list[tuple[Work, AgentTurn]] = []

    @contextmanager
    def shown(self, work: Work, turn: AgentTurn) -> Generator[None]:
        """Show a turn as running for the duration of the block."""
        running = work, turn
        self._running.append(running)
        try:
            yield
        finally:
            self._running.remove(running)

    def report(self, key: str | None) -> list[dict[str, Any]]:
        """Return the turns for JSON, those that wait first; times are in epoch seconds, `key` is the id of a key."""
        waiting = [
            {
                **_about(one.work),
                "state": "waiting",
                "since": round(one.since, 3),
                "doing": [f"{name} of its client" for name in one.work.calls.names],
                "questions": [
                    {"id": question.asked.approval_id, **described(question.shown), "approved": question.approved}
                    for question in one.work.questions
                ],
            }
            for one in self._waiting.open_to(key)
        ]
        running = [
            {
                **_about(work),
                "state": "running",
                "since": round(work.began, 3),
                "doing": [in_words(step) for step in turn.steps],
                "questions": [],
            }
            for work, turn in self._running
            if work.place.is_open_to(key)
        ]
        return [*waiting, *running]

    async def stop(self, turn_id: str, key: str | None) -> None:
        """Stop a turn: one that runs fails with `agent_stopped`; one that waits ends.

        Raises:
            ApiError: 404, the key has no such turn.
            CodexError: codex did not stop it.
        """
        for work, turn in self._running:
            if work.turn_id == turn_id and work.place.is_open_to(key):
                await turn.stop()
                return
        for waiting in self._waiting.open_to(key):
            if waiting.work.turn_id == turn_id:
                await self._waiting.end(waiting)
                return
        raise agent_turn_not_found(turn_id)

    def decide(self, approval_id: str, key: str | None, *, approve: bool) -> None:
        """Answer a question for the client; the turn goes on with the client's next request, which gets the rest.

        Raises:
            ApiError: 409, the key has no such question, or it does not wait any more.
        """
        found = (one.work.questions.decide(approval_id, approve=approve) for one in self._waiting.open_to(key))
        if not any(found):
            raise approval_expired()


def _about(work: Work) -> Mapping[str, Any]:
    return {
        "turn": work.turn_id,
        "agent": work.agent.name,
        "folder": work.agent.folder,
        "key": work.place.key,
        "began": round(work.began, 3),
    }
