"""Makes sure that nothing of an agent runs after its answer: no turn, no sub-agent, no command.

Codex lets sub-agents go on after the end of their parent's turn, and starts a turn of the parent by itself when one of
them ends; an interrupt does not end the running command.
"""

from __future__ import annotations

import logging

import anyio

from codex_rpc.client.client import Client
from codex_rpc.errors import CodexError, RequestRefusedError
from codex_rpc.wire.calls import (
    StoredThread,
    background_terminals_clean,
    last_turn,
    thread_read,
    thread_unsubscribe,
    threads_loaded,
    turn_interrupt,
)

logger = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds that all of it may take; it usually takes some hundredths of one."""
ROUNDS = 20
"""How often running turns are looked for."""
BETWEEN_ROUNDS = 0.02
"""Seconds before codex is asked again whether the interrupted turns have ended."""


async def end_thread(client: Client, thread_id: str) -> bool:
    """End everything that runs on a thread and its sub-agents, and let codex unload them; shielded from cancellation.

    Return False if something may still run.
    """
    with anyio.move_on_after(PATIENCE, shield=True):
        try:
            return await _end_all(client, thread_id)
        except CodexError as error:
            logger.warning("codex did not end the thread of an agent: %s", error)
            return not client.alive
    return False


async def _end_all(client: Client, thread_id: str) -> bool:
    family: dict[str, StoredThread] = {}
    quiet = 0
    for _ in range(ROUNDS):
        family = await _family(client, thread_id)
        running = [thread.id for thread in family.values() if thread.status.type == "active"]
        # The end of a sub-agent may start another turn of its parent.
        quiet = 0 if running else quiet + 1
        if quiet == (1 if len(family) == 1 else 2):
            break
        for one in sorted(running, key=lambda one: one == thread_id):
            await _interrupt(client, one)
        if running:
            await anyio.sleep(BETWEEN_ROUNDS)
    for one in family:
        await client.call(background_terminals_clean(one))
        await client.call(thread_unsubscribe(one))
    return quiet > 0


async def _family(client: Client, thread_id: str) -> dict[str, StoredThread]:
    """Return the loaded thread and its loaded sub-agents at any depth."""
    loaded: dict[str, StoredThread] = {}
    for one in await client.call(threads_loaded()):
        try:
            loaded[one] = await client.call(thread_read(one))
        except RequestRefusedError as refusal:
            logger.debug("a thread was unloaded meanwhile: %s", refusal)

    def belongs(thread: StoredThread) -> bool:
        while thread.id != thread_id and thread.parent in loaded:
            thread = loaded[thread.parent]
        return thread_id in {thread.id, thread.parent}

    return {thread.id: thread for thread in loaded.values() if belongs(thread)}


async def _interrupt(client: Client, thread_id: str) -> None:
    turn_id = await client.call(last_turn(thread_id))
    if turn_id is None:
        return
    try:
        await client.call(turn_interrupt(thread_id, turn_id))
    except RequestRefusedError as refusal:
        logger.debug("the turn had ended: %s", refusal)
