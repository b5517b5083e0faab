"""Carries out plans: starts, continues and resumes threads, keeps them for the next request, and closes old ones."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio

from bridge.codex.backend import Session
from bridge.conversation.expected_history import Dialect
from bridge.conversation.limits import Limits
from bridge.conversation.plan import (
    AnswerTools,
    CachedThread,
    Continue,
    Conversations,
    HistoryHash,
    HistoryHashes,
    NewThread,
    ThreadPlan,
    advance,
)
from bridge.conversation.prompt import Item, Prompt, message
from bridge.conversation.reasoning_owners import ReasoningOwners, digest_reasoning, is_reasoning_refused
from bridge.conversation.remembered_answers import RememberedAnswers
from bridge.conversation.spare_threads import Spares
from bridge.conversation.thread_params import thread_start_params
from bridge.conversation.turns import LivingThread, Turn
from bridge.conversation.waiting_threads import WaitingThreads
from codex_rpc.client.client import Client
from codex_rpc.errors import CodexError, ConnectionLostError, RequestRefusedError
from codex_rpc.wire.calls import thread_inject_items, thread_start, thread_unsubscribe, turn_interrupt, turn_start

logger = logging.getLogger(__name__)

_REASONS = {"running": "turn-ended-early", "codex-answered": "unreadable-call"}
"""Why a thread was closed, by the outcome of its last turn."""

STARTED = ("new", "rebuilt")
"""Prefixes of the `thread_outcome` of turns on a new thread."""
CLEAN_UP = 5.0
"""Seconds that codex may take to confirm an interrupt or an unsubscription."""
LOOK_AROUND = 5.0
"""Seconds between two checks for threads that are too old; too many threads are noticed at once."""


class Threads:
    """All live threads. `cwd` is the empty directory in which they run.

    Without `join_deltas`, each delta becomes a separate event, so that answers do not depend on timing.
    """

    def __init__(
        self,
        cwd: str,
        *,
        most: int,
        longest: float,
        idle_timeout: float,
        spares: int = 0,
        join_deltas: bool = True,
    ) -> None:
        self._cwd = cwd
        self._idle_timeout = idle_timeout
        self._history_hashes = HistoryHashes()
        self._spares = Spares(spares)
        self._join_deltas = join_deltas
        self.owners = ReasoningOwners()
        answers = RememberedAnswers(longest, anyio.current_time)
        self._conversations: Conversations[LivingThread] = Conversations(answers, self.owners)
        self._waiting: WaitingThreads[LivingThread] = WaitingThreads(most, longest)
        self._useless: list[LivingThread] = []
        """Threads to close: another one has the same history, or their account is no longer logged in."""
        self._crowded = anyio.Event()
        self._client: Client | None = None
        """The codex on which new threads are started."""
        self._owner = ""
        """The account on which they run."""
        self._running = 0

    @property
    def waiting(self) -> int:
        """The number of threads that wait for the next request of their conversation."""
        return len(self._waiting)

    @property
    def spares(self) -> int:
        """The number of threads that are ready for a new conversation."""
        return self._spares.ready

    def states(self) -> Mapping[str, int]:
        """Return how many threads are running, idle between two turns, and suspended until tool outputs arrive."""
        return {"running": self._running, "idle": self._waiting.idle, "suspended": self._waiting.suspended}

    @asynccontextmanager
    async def answer(
        self, session: Session, prompt: Prompt, limits: Limits, dialect: Dialect = "chat"
    ) -> AsyncGenerator[Turn]:
        """Run a prompt for the duration of the block; the turn's events are the answer, written in `dialect`.

        Raises:
            CodexError: codex did not take the prompt.
        """
        self._forget_other_threads(session)
        history_hash = self._history_hashes.of(prompt)
        thread, turn = await self._open(session, prompt, limits, dialect, history_hash)
        self._running += 1
        try:
            yield turn
        finally:
            self._running -= 1
            is_kept = False
            try:
                is_kept = self._put_back(thread, turn, prompt, history_hash.end)
            finally:
                if not is_kept:
                    await _close(thread)
            if turn.thread_outcome.startswith(STARTED):
                self._spares.want(session.client, self._start_params(session, prompt))

    async def prepare(self, session: Session, prompt: Prompt) -> None:
        """Have a spare thread ready for a new conversation with this prompt's settings; a failure is ignored."""
        self._forget_other_threads(session)
        await self._spares.prepare(session.client, self._start_params(session, prompt))

    async def keep_spares(self) -> None:
        """Keep spare threads ready for new conversations, until cancelled."""
        await self._spares.keep_ready()

    async def keep_tidy(self) -> None:
        """Close threads that are too old or too many, and forget old answers, until cancelled.

        Threads are closed side by side, because Codex needs longer to end a turn than to begin one. Closed one after
        the other, they would become more and more while many conversations begin.
        """
        async with anyio.create_task_group() as closing:
            while True:
                with anyio.move_on_after(LOOK_AROUND):
                    await self._crowded.wait()
                self._crowded = anyio.Event()
                while (thread := self._take_surplus()) is not None:
                    closing.start_soon(_close, thread)
                self._conversations.forget_old_answers()

    def _take_surplus(self) -> LivingThread | None:
        """Remove and return the next thread to close."""
        if self._useless:
            return self._useless.pop()
        surplus = self._waiting.take_surplus(anyio.current_time())
        if surplus is None:
            return None
        cached, reason = surplus
        self._conversations.lose(cached, reason)
        return cached.handle

    async def _open(
        self, session: Session, prompt: Prompt, limits: Limits, dialect: Dialect, history_hash: HistoryHash
    ) -> tuple[LivingThread, Turn]:
        """Try the next fitting thread if codex refuses one, and finally a new thread."""
        while True:
            plan = self._conversations.plan(prompt, history_hash, session.owner)
            try:
                return await self._carry_out(plan, session, prompt, limits, dialect)
            except RequestRefusedError as refusal:
                if isinstance(plan, NewThread):
                    raise
                logger.warning("codex refused to continue a thread: %s", refusal)
                self._conversations.lost(plan.thread.end, "thread-refused")
            except ConnectionLostError:
                if not isinstance(plan, NewThread):
                    self._conversations.lost(plan.thread.end, "codex-restarted")
                raise

    # ── Carrying out ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _carry_out(
        self, plan: ThreadPlan[LivingThread], session: Session, prompt: Prompt, limits: Limits, dialect: Dialect
    ) -> tuple[LivingThread, Turn]:
        outputs: Mapping[str, Any] = {}
        match plan:
            case NewThread(items, thread_outcome, reason):
                thread_outcome = f"{thread_outcome}; reason={reason}"
                items = (*(message("developer", note) for note in prompt.notes), *items)
                # Includes the client's reasoning that the thread does not get: it must not keep the thread from use.
                digests = digest_reasoning(prompt.items)
                params = self._start_params(session, prompt)
                if (spare := self._spares.take(session.client, params)) is not None:
                    spare.notes, spare.owner, spare.reasoning_digests = prompt.notes, session.owner, digests
                    turn = Turn(
                        spare,
                        prompt,
                        outputs,
                        limits,
                        self._idle_timeout,
                        dialect=dialect,
                        join_deltas=self._join_deltas,
                    )
                    turn.thread_outcome = thread_outcome
                    with suppress(RequestRefusedError):
                        return await self._run(spare, turn, prompt, items)
                thread = await self._start(session, prompt, params)
                thread.reasoning_digests = digests
            case Continue(cached, items):
                thread, thread_outcome = cached.handle, "continued; reason=same-history"
            case AnswerTools(cached, outputs, items):
                thread, thread_outcome = cached.handle, "resumed-tools; reason=outputs-came"
        self._waiting.remove(thread)
        turn = Turn(thread, prompt, outputs, limits, self._idle_timeout, dialect=dialect, join_deltas=self._join_deltas)
        turn.thread_outcome = thread_outcome
        return await self._run(thread, turn, prompt, items)

    def _start_params(self, session: Session, prompt: Prompt) -> dict[str, Any]:
        return thread_start_params(prompt, self._cwd)

    async def _start(self, session: Session, prompt: Prompt, params: dict[str, Any]) -> LivingThread:
        # Shielded: a thread whose start was requested stays loaded until it is unsubscribed by its id.
        thread_id = await session.client.call(thread_start(params), shield=True)
        inbox = session.client.subscribe(thread_id)
        return LivingThread(session.client, thread_id, inbox, notes=prompt.notes, owner=session.owner)

    async def _run(
        self, thread: LivingThread, turn: Turn, prompt: Prompt, items: tuple[Item, ...]
    ) -> tuple[LivingThread, Turn]:
        try:
            await self._begin(thread, turn, prompt, items)
        except BaseException:
            await _close(thread)
            raise
        return thread, turn

    async def _begin(self, thread: LivingThread, turn: Turn, prompt: Prompt, items: tuple[Item, ...]) -> None:
        """Inject the items and start a turn, or hand over the outputs to the suspended one.

        Items injected while a turn waits for tool outputs are placed after them. A new turn always has items: without
        new ones, no thread is continued.
        """
        thread.reasoning_digests |= digest_reasoning(items)
        client, inject = thread.client, thread_inject_items(thread.id, items)
        if thread.turn_id is not None:
            if items:
                await client.call(inject)
            turn.hand_over()
            return
        settings: dict[str, Any] = {} if prompt.schema is None else {"outputSchema": prompt.schema}
        failure, thread.turn_id = await client.call_both(inject, turn_start(thread.id, **settings))
        if failure is not None:
            raise failure

    # ── Afterwards ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _put_back(self, thread: LivingThread, turn: Turn, prompt: Prompt, start: bytes) -> bool:
        """Cache the turn's answer; return whether its thread is kept for the next request."""
        self.owners.note(turn.items, thread.owner)
        if turn.failure is not None and is_reasoning_refused(turn.failure):
            self.owners.refused(thread.reasoning_digests)
        thread.reasoning_digests |= digest_reasoning(turn.items)
        expected = turn.expected_history()
        end = advance(start, expected)
        if turn.outcome in {"complete", "suspended", "codex-answered"} and turn.passed_on_every_call:
            self._conversations.remember(start, expected, turn.items)
        is_current = (thread.client, thread.owner) == (self._client, self._owner)
        if turn.outcome in {"complete", "suspended"} and not thread.fell_back and is_current:
            cached = CachedThread(
                thread,
                end,
                thread.notes,
                prompt.answer_format,
                turn.awaited,
                prompt.cache_key,
                thread.reasoning_digests,
            )
            if (replaced := self._waiting.put(cached, anyio.current_time())) is not None:
                self._conversations.lose(replaced, "replaced")
                self._useless.append(replaced.handle)
            self._conversations.put(cached)
            if self._useless or self._waiting.too_many:
                self._crowded.set()
            return True
        self._conversations.lost(end, _REASONS.get(turn.outcome, "thread-spoilt"))
        return False

    def _forget_other_threads(self, session: Session) -> None:
        """Drop the unused threads of every other codex and account.

        A replaced codex ends when it has no thread left.
        """
        self._client, self._owner = session.client, session.owner
        self._spares.forget_other_clients(session.client)
        ours = session.client, session.owner
        others = self._waiting.take_all(lambda thread: (thread.client, thread.owner) != ours)
        for cached in others:
            thread = cached.handle
            reason = "account-changed" if thread.client is session.client else "codex-restarted"
            self._conversations.lose(cached, reason)
            if thread.client is session.client:
                self._useless.append(thread)
                self._crowded.set()
            else:
                thread.client.unsubscribe(thread.id)


async def _close(thread: LivingThread) -> None:
    """Interrupt the thread's turn and let codex unload it; if codex has ended, nothing is left to do."""
    with suppress(CodexError):
        if thread.turn_id is not None:
            await thread.client.call(turn_interrupt(thread.id, thread.turn_id), CLEAN_UP, shield=True)
    with suppress(CodexError):
        await thread.client.call(thread_unsubscribe(thread.id), CLEAN_UP, shield=True)
    thread.client.unsubscribe(thread.id)
