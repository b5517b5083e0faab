"""The work of an agent on one turn, which takes more than one request if the agent asks or calls the client."""

from __future__ import annotations

import time
from collections.abc import Set

from msgspec import Struct, field

from bridge.agents.approvals import OpenApprovals
from bridge.agents.client_tools import OpenCalls
from bridge.agents.history import History
from bridge.agents.place import Place
from bridge.agents.threads import Opened
from bridge.config import AgentSettings
from codex_rpc.client.client import Client
from codex_rpc.client.inbox import Inbox


class Work(Struct):
    """A turn that runs or waits; `history` and `place` are those of the last request that works on it."""

    agent: AgentSettings
    client: Client
    opened: Opened
    inbox: Inbox
    turn_id: str
    history: History
    place: Place
    continues: tuple[str, str] | None
    """The thread and the turn after which it comes; None at the beginning of a thread."""
    questions: OpenApprovals = field(default_factory=OpenApprovals)
    """What waits for the client's answer."""
    calls: OpenCalls = field(default_factory=OpenCalls)
    """What waits for the output of one of the client's tools."""
    answers: tuple[str, ...] = ()
    """The forms of the agent's answer, once there is one."""
    began: float = field(default_factory=time.time)
    """In epoch seconds."""

    def waits_for_any(self, ids: Set[str]) -> bool:
        """Return whether a question or a call with one of these ids waits for the client."""
        return self.questions.knows_any(ids) or self.calls.knows_any(ids)

    @property
    def thread_id(self) -> str:
        return self.opened.thread.id
