"""Answers a request with an agent: finds its conversation, runs the turn, and ends everything afterwards.

A turn that asks the client, or calls a tool of the client, ends its answer and waits; the next request resumes it.
While it waits it does not hold the agent's folder, so that another conversation can work there.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio

from bridge.agents.backend import AgentBackend, CodexOfAgents
from bridge.agents.cleanup import end_thread
from bridge.agents.client_tools import ClientTools
from bridge.agents.continuations import Continuations
from bridge.agents.control import Control
from bridge.agents.errors import approval_expired, workspace_missing
from bridge.agents.history import History, as_input, read_history
from bridge.agents.place import Place
from bridge.agents.profile import turn_params
from bridge.agents.replies import Replies
from bridge.agents.threads import Opened, open_thread
from bridge.agents.turns import AgentTurn
from bridge.agents.waiting import WaitingWork
from bridge.agents.work import Work
from bridge.agents.workspaces import Workspaces
from bridge.config import AgentSettings, Ask, Settings
from bridge.conversation.events import Asked
from bridge.conversation.prompt import Item, Prompt, message
from bridge.errors import from_codex_error, not_repeated
from bridge.store.agent_turns import AgentTurnStore, StoredTurn
from bridge.store.response import StoreError
from codex_rpc.background import running
from codex_rpc.client.client import Client
from codex_rpc.errors import CodexError
from codex_rpc.wire.calls import thread_inject_items, turn_start, turn_steer

logger = logging.getLogger(__name__)


class Agents:
    """The agents of a server."""

    def __init__(
        self,
        settings: Settings,
        agents: Sequence[AgentSettings],
        codex: CodexOfAgents,
        store: AgentTurnStore,
        *,
        join_deltas: bool,
    ) -> None:
        """`codex` is started when an agent is used; `join_deltas` is as for `AgentTurn`."""
        self._join_deltas = join_deltas
        self._agents = {agent.name: agent for agent in agents}
        self._store = store
        self._longest = settings.agent_time
        self._workspaces = Workspaces(agents, settings.queue_patience)
        self._backend = AgentBackend(codex, patience=settings.start_patience, idle=settings.agent_idle)
        self._continuations = Continuations()
        self._waiting = WaitingWork(settings.threads, settings.thread_age)
        self.control = Control(self._waiting)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the agents."""
        return tuple(self._agents)

    async def run(self) -> None:
        """Run the codex of the agents whenever it is used, and end turns that wait too long, until cancelled.

        Turns that still wait then end.
        """
        async with running(self._waiting.end_old):
            try:
                await self._backend.run()
            finally:
                await self._waiting.end_all()

    def asks_clients(self, name: str) -> bool:
        """Return whether an agent asks its clients for approvals."""
        return self._agents[name].ask == "client"

    @asynccontextmanager
    async def answer(self, name: str, prompt: Prompt, place: Place, replies: Replies) -> AsyncGenerator[AgentTurn]:
        """Run a prompt on an agent for the duration of the block; nothing of it runs afterwards, unless it waits.

        Raises:
            ApiError: the request cannot be answered now, or not at all.
            CodexError: codex did not take the prompt.
        """
        agent = self._agents[name]
        if not await anyio.Path(agent.folder).is_dir():
            raise workspace_missing(name, agent.folder)
        async with self._workspaces.hold(agent), AsyncExitStack() as held:
            waiting = self._waiting.take(name, replies.questions, place.key)
            asked_before: tuple[tuple[Asked, str], ...] = ()
            if waiting is not None:
                work, outcome = waiting.work, "resumed; reason=answers-came"
                await held.enter_async_context(waiting.held)
                asked_before = replies.asked_by_items(one.shown for one in work.questions)
                await self._resume(work, prompt, place, replies)
            elif replies.is_last:
                raise approval_expired()
            else:
                work = await held.enter_async_context(self._working(agent, prompt, place, _ask(agent, replies)))
                outcome = f"{work.opened.fate}; reason={work.opened.reason}"
            turn = AgentTurn(
                work.client,
                work.inbox,
                (work.thread_id, work.turn_id),
                prompt,
                folder=agent.folder,
                longest=self._longest,
                tools=ClientTools.of(prompt.toolbox),
                way=replies.way if agent.ask == "client" else None,
                asked_before=asked_before,
                join_deltas=self._join_deltas,
            )
            turn.thread_outcome = f"{outcome}; id={work.thread_id}"
            with self.control.shown(work, turn):
                yield turn
            if turn.outcome == "suspended":
                work.questions, work.calls = turn.questions, turn.calls
                self._waiting.put(work, held.pop_all())
            elif turn.outcome == "complete":
                work.answers = turn.answers

    @asynccontextmanager
    async def _working(self, agent: AgentSettings, prompt: Prompt, place: Place, ask: Ask) -> AsyncGenerator[Work]:
        """Start a turn; after the block, end everything on its thread and store the answer if it has one."""
        history = read_history(prompt.items, _notes(prompt))
        async with self._backend.use() as (client, around):
            known = await self._find(agent, history, place)
            if known is not None:
                await self._waiting.end_others(known.thread, known.turn)
            async with self._continuations.alone(known) as let_others_continue:
                tools = ClientTools.of(prompt.toolbox)
                opened = await open_thread(client, agent, around, known, history, tools=tools)
                continues = (known.thread, known.turn) if known and opened.fate == "continued" else None
                if continues is None:
                    let_others_continue()
                async with self._ending(client, opened):
                    inbox = client.subscribe(opened.thread.id)
                    turn_id = await self._begin(client, opened, history, prompt, ask)
                    work = Work(agent, client, opened, inbox, turn_id, history, place, continues)
                    yield work
                await self._remember(work)

    async def _resume(self, work: Work, prompt: Prompt, place: Place, replies: Replies) -> None:
        """Give the turn what it waits for; what the user says is sent first: the model reads both at once."""
        history = read_history(prompt.items, _notes(prompt), is_resumed=True)
        words = [as_input([{"type": "input_text", "text": text}]) for text in work.questions.words(replies.answers)]
        for new in (*words, *history.messages_since(work.history)):
            await work.client.call(turn_steer(work.thread_id, work.turn_id, new))
        for request, result in (*work.questions.settle(replies.answers), *work.calls.settle(replies.outputs)):
            work.client.answer(request, result)
        work.history, work.place = history, place

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

    async def _begin(self, client: Client, opened: Opened, history: History, prompt: Prompt, ask: Ask) -> str:
        """Give the thread what it does not know yet, and start the turn; return the turn's id."""
        thread_id = opened.thread.id
        if items := (*opened.items, *history.before_input()):
            await client.call(thread_inject_items(thread_id, items))
        settings: dict[str, Any] = {
            **turn_params(ask),
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

    async def _remember(self, work: Work) -> None:
        """Store under which keys the next request finds an answer; a failure is only logged."""
        folder, history, place = work.agent.folder, work.history, work.place
        turn = StoredTurn(
            work.thread_id, work.turn_id, work.opened.thread.model, history.notes_digest(), work.opened.tools
        )
        by_history = [key for answer in work.answers for key in place.keys(history.next_key(folder, answer))]
        by_response = _of_response(work.agent, place.response) if work.answers else None
        try:
            for key in filter(None, (by_response, *by_history)):
                await self._store.put(key, turn)
        except StoreError as error:
            logger.error("the conversation of an agent is not stored: %s", error)


def _ask(agent: AgentSettings, replies: Replies) -> Ask:
    """Return who decides for this request: a client that cannot be asked decides nothing."""
    return "never" if agent.ask == "client" and replies.way is None else agent.ask


def _notes(prompt: Prompt) -> list[Item]:
    return [message("developer", note) for note in prompt.notes]


def _of_response(agent: AgentSettings, response_id: str | None) -> str | None:
    return None if response_id is None else f"{agent.folder}:{response_id}"
