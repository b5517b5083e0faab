"""Opens the thread that continues a conversation: the same one, a copy that ends at an earlier turn, or a new one."""

from __future__ import annotations

import logging
from typing import Literal

from msgspec import Struct

from bridge.agents.history import History
from bridge.agents.profile import READING, Surroundings, thread_params
from bridge.config import AgentSettings
from bridge.conversation.prompt import Item, message
from bridge.store.agent_turns import StoredTurn
from codex_rpc.client.client import Client
from codex_rpc.errors import CodexError, RequestRefusedError
from codex_rpc.wire.calls import (
    Call,
    OpenThread,
    agent_thread_start,
    last_turn,
    thread_fork,
    thread_resume,
    thread_unsubscribe,
)

logger = logging.getLogger(__name__)

SOURCE = {"threadSource": "codex-openai-proxy"}
"""Says in codex's list of threads where one comes from."""

LOCKED = "already has an active writer"
"""What codex says of a thread that another program uses, such as `codex resume` in a terminal."""

FILES_MAY_DIFFER = (
    "The conversation continues from an earlier point. Files may have changed since then; look again before you rely "
    "on what you saw."
)

Fate = Literal["new", "continued", "forked"]


class Opened(Struct, frozen=True):
    """A loaded thread that is ready for a turn once it has the items."""

    thread: OpenThread
    fate: Fate
    reason: str
    items: tuple[Item, ...]
    """What the thread does not know yet, without the new messages of the user."""


async def open_thread(
    client: Client, agent: AgentSettings, around: Surroundings, known: StoredTurn | None, history: History
) -> Opened:
    """Open a thread for a request whose history ends with the turn `known`, or is unknown.

    Raises:
        CodexError: codex did not open one.
    """
    if known is None:
        reason = "unknown-history" if history.exchanges else "first-request"
        return await _start(client, agent, around, history, reason)
    params = thread_params(agent, around, agent.model or known.model)
    notes = () if known.notes == history.notes_digest() else history.notes
    reason = "other-turns-followed"
    try:
        if await client.call(last_turn(known.thread)) == known.turn:
            try:
                thread = await _open(client, thread_resume(known.thread, params))
                return Opened(thread, "continued", "same-history", notes)
            except RequestRefusedError as refusal:
                if LOCKED not in refusal.reason:
                    raise
                reason = "used-elsewhere"
        thread = await _open(client, thread_fork(known.thread, known.turn, {**params, **SOURCE}))
    except RequestRefusedError as refusal:
        logger.warning("codex does not continue the thread of an agent, a new one replaces it: %s", refusal)
        return await _start(client, agent, around, history, "thread-gone")
    return Opened(thread, "forked", reason, (message("developer", FILES_MAY_DIFFER), *notes))


async def _start(client: Client, agent: AgentSettings, around: Surroundings, history: History, reason: str) -> Opened:
    thread = await _open(client, agent_thread_start(thread_params(agent, around, agent.model) | SOURCE))
    return Opened(thread, "new", reason, (*history.notes, *history.visible))


async def _open(client: Client, call: Call[OpenThread]) -> OpenThread:
    """Open a thread; one without our permission profile is closed again.

    Shielded: a thread that was opened stays loaded until it is unsubscribed by its id.
    """
    thread = await client.call(call, shield=True)
    if thread.profile == READING:
        return thread
    await client.call(thread_unsubscribe(thread.id), shield=True)
    raise CodexError(f"codex opened a thread of an agent with the permissions {thread.profile!r} instead of its own")
