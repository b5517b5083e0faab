"""One turn on a thread: opened, read as turn events, interrupted on the way out if it still runs."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio

from bridge.errors import upstream_timeout
from bridge.events import Failed, Finished, TurnEvent
from bridge.translate import Translator
from codex_rpc.client import Client
from codex_rpc.errors import CodexError
from codex_rpc.inbox import Inbox
from codex_rpc.protocol import ErrorReported, turn_interrupt, turn_start

logger = logging.getLogger(__name__)

CLEAN_UP = 5.0
"""Seconds that codex may take to confirm what we tell it on the way out."""


class Turn:
    """A running turn."""

    def __init__(self, inbox: Inbox, idle_timeout: float) -> None:
        self._inbox = inbox
        self._idle_timeout = idle_timeout
        self._translator = Translator()
        self.over = False

    async def next_events(self) -> list[TurnEvent]:
        """Return what has happened since the last call, waiting until something has.

        Raises:
            ApiError: 504, the model sent nothing for too long.
            CodexError: codex ended, or its events were not taken in time.
        """
        with anyio.move_on_after(self._idle_timeout) as idle:
            while True:
                arrived = await self._inbox.take()
                if not all(isinstance(event, ErrorReported) for event in arrived):
                    idle.deadline = anyio.current_time() + self._idle_timeout
                events = self._translator.feed(arrived)
                if events:
                    self.over = isinstance(events[-1], Finished | Failed)
                    return events
        raise upstream_timeout(self._idle_timeout)


@asynccontextmanager
async def open_turn(client: Client, thread_id: str, idle_timeout: float) -> AsyncGenerator[Turn]:
    """Run the model on what the thread holds for the length of the block.

    Raises:
        CodexError: codex did not start the turn.
    """
    with client.subscribe(thread_id) as inbox:
        turn = Turn(inbox, idle_timeout)
        # Shielded, because a turn whose start was under way runs on and must be interrupted by its id.
        turn_id = await client.call(turn_start(thread_id), shield=True)
        try:
            yield turn
        finally:
            if not turn.over:
                logger.debug("interrupting turn %s", turn_id)
                with suppress(CodexError):
                    await client.call(turn_interrupt(thread_id, turn_id), CLEAN_UP, shield=True)
