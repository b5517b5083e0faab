"""Opens the thread that continues a conversation: the same one, a copy that ends at an earlier turn, or a new one."""

from __future__ import annotations

import logging
from functools import partial
from typing import Literal

from msgspec import Struct

from bridge.agents.client_tools import ClientTools
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
    tools: tuple[str, ...]
    """The digests of the client's tools that it has."""


async def open_thread(
    client: Client,
    agent: AgentSettings,
    around: Surroundings,
    known: StoredTurn | None,
    history: History,
    *,
    tools: ClientTools,
) -> Opened:
    """Open a thread for a request whose history ends with the turn `known`, or is unknown.

    `tools` are those of the client; a thread without one of them cannot be continued.

    Raises:
        CodexError: codex did not open one.
    """
    start = partial(_start, client, agent, around, history, tools=tools)
    if known is None:
        return await start("unknown-history" if history.exchanges else "first-request")
    if not {*tools.digests()} <= {*known.tools}:
        return await start("tools-changed")
    params = thread_params(agent, around, agent.model or known.model, tools.namespaces())
    notes = () if known.notes == history.notes_digest() else history.notes
    reason = "other-turns-followed"
    try:
        if await client.call(last_turn(known.thread)) == known.turn:
            try:
                thread = await _open(client, thread_resume(known.thread, params))
                return Opened(thread, "continued", "same-history", notes, known.tools)
            except RequestRefusedError as refusal:
                if LOCKED not in refusal.reason:
                    raise
                reason = "used-elsewhere"
        thread = await _open(client, thread_fork(known.thread, known.turn, {**params, **SOURCE}))
    except RequestRefusedError as refusal:
        logger.warning("codex does not continue the thread of an agent, a new one replaces it: %s", refusal)
        return await start("thread-gone")
    return Opened(thread, "forked", reason, (message("developer", FILES_MAY_DIFFER), *notes), known.tools)


async def _start(
    client: Client, agent: AgentSettings, around: Surroundings, history: History, reason: str, *, tools: ClientTools
) -> Opened:
    params = thread_params(agent, around, agent.model, tools.namespaces()) | SOURCE
    if specs := tools.specs():
        params["dynamicTools"] = specs
    thread = await _open(client, agent_thread_start(params))
    return Opened(thread, "new", reason, (*history.notes, *history.visible), tools.digests())


async def _open(client: Client, call: Call[OpenThread]) -> OpenThread:
    """Open a thread; one without our permission profile is closed again.

    Shielded: a thread that was opened stays loaded until it is unsubscribed by its id.
    """
    thread = await client.call(call, shield=True)
    if thread.profile == READING:
        return thread
    await client.call(thread_unsubscribe(thread.id), shield=True)
    raise CodexError(f"codex opened a thread of an agent with the permissions {thread.profile!r} instead of its own")
