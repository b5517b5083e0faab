"""Answers a request with an agent: finds its conversation, runs the turn, and ends everything afterwards."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from bridge.agents.backend import AgentBackend, AgentLauncher
from bridge.agents.cleanup import end_thread
from bridge.agents.continuations import Continuations
from bridge.agents.history import History, read_history
from bridge.agents.place import Place
from bridge.agents.profile import turn_params
from bridge.agents.threads import Opened, open_thread
from bridge.agents.turns import AgentTurn
from bridge.agents.workspaces import Workspaces
from bridge.config import AgentSettings, Settings
from bridge.conversation.prompt import Prompt, message
from bridge.errors import from_codex_error, not_repeated, workspace_missing
from bridge.store.agent_turns import AgentTurnStore, StoredTurn
from bridge.store.response import StoreError
from codex_rpc.client.client import Client
from codex_rpc.errors import CodexError
from codex_rpc.wire.calls import thread_inject_items, turn_start

logger = logging.getLogger(__name__)


class Agents:
    """The agents of a server."""

    def __init__(self, settings: Settings, store: AgentTurnStore) -> None:
        self._agents = {agent.name: agent for agent in settings.agents}
        self._store = store
        self._longest = settings.agent_time
        self._workspaces = Workspaces(settings.agents, settings.queue_patience)
        self._backend = AgentBackend(
            AgentLauncher(settings), patience=settings.start_patience, idle=settings.agent_idle
        )
        self._continuations = Continuations()

    async def run(self) -> None:
        """Run the codex of the agents whenever it is used, until cancelled."""
        await self._backend.run()

    @asynccontextmanager
    async def answer(self, name: str, prompt: Prompt, place: Place) -> AsyncGenerator[AgentTurn]:
        """Run a prompt on an agent for the duration of the block; nothing of it runs afterwards.

        Raises:
            ApiError: the request cannot be answered now, or not at all.
            CodexError: codex did not take the prompt.
        """
        agent = self._agents[name]
        history = read_history(prompt.items, [message("developer", note) for note in prompt.notes])
        if not await anyio.Path(agent.folder).is_dir():
            raise workspace_missing(name, agent.folder)
        async with self._workspaces.hold(agent), self._backend.use() as (client, around):
            known = await self._find(agent, history, place)
            async with self._continuations.alone(known) as let_others_continue:
                opened = await open_thread(client, agent, around, known, history)
                if opened.fate != "continued":
                    let_others_continue()
                async with self._ending(client, opened):
                    inbox = client.subscribe(opened.thread.id)
                    turn_id = await self._begin(client, opened, history, prompt)
                    ids = opened.thread.id, turn_id
                    turn = AgentTurn(client, inbox, ids, prompt, folder=agent.folder, longest=self._longest)
                    turn.thread_outcome = f"{opened.fate}; reason={opened.reason}; id={opened.thread.id}"
                    yield turn
                if turn.outcome == "complete":
                    stored = StoredTurn(opened.thread.id, turn_id, opened.thread.model, history.notes_digest())
                    await self._remember(agent, history, place, turn.answers, stored)

    @asynccontextmanager
    async def _ending(self, client: Client, opened: Opened) -> AsyncGenerator[None]:
        """End everything on the thread after the block."""
        try:
            yield
        finally:
            client.unsubscribe(opened.thread.id)
            if not await end_thread(client, opened.thread.id):
                logger.error("something of an agent may still run; restarting the codex of the agents")
                self._backend.restart()

    async def _begin(self, client: Client, opened: Opened, history: History, prompt: Prompt) -> str:
        """Give the thread what it does not know yet, and start the turn; return the turn's id."""
        thread_id = opened.thread.id
        if items := (*opened.items, *history.before_input()):
            await client.call(thread_inject_items(thread_id, items))
        settings: dict[str, Any] = {
            **turn_params(),
            "input": history.turn_input(),
            "effort": prompt.effort,
            "summary": prompt.summary,
            "serviceTier": prompt.tier,
            "outputSchema": prompt.schema,
        }
        chosen = {name: value for name, value in settings.items() if value is not None}
        try:
            return await client.call(turn_start(thread_id, **chosen), shield=True)
        except CodexError as error:
            raise not_repeated(from_codex_error(error)) from error

    # ── Finding conversations ────────────────────────────────────────────────────────────────────────────────────────

    async def _find(self, agent: AgentSettings, history: History, place: Place) -> StoredTurn | None:
        """Return the turn with which the request's history ends; None if it is unknown."""
        key = history.key(agent.folder)
        keys = (*(_of_response(agent, place.previous),), *(place.keys(key) if key else ()))
        try:
            for one in filter(None, keys):
                if (found := await self._store.get(one)) is not None:
                    return found
        except StoreError as error:
            logger.error("the conversation of an agent cannot be looked up: %s", error)
        return None

    async def _remember(
        self, agent: AgentSettings, history: History, place: Place, answers: tuple[str, ...], turn: StoredTurn
    ) -> None:
        """Store under which keys the next request finds the turn; a failure is only logged."""
        by_history = (key for answer in answers for key in place.keys(history.next_key(agent.folder, answer)))
        try:
            for key in filter(None, (_of_response(agent, place.response), *by_history)):
                await self._store.put(key, turn)
        except StoreError as error:
            logger.error("the conversation of an agent is not stored: %s", error)


def _of_response(agent: AgentSettings, response_id: str | None) -> str | None:
    return None if response_id is None else f"{agent.folder}:{response_id}"
