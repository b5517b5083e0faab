"""Carries plans out: starts, continues and resumes threads, keeps them for the next request, lets old ones go."""

from __future__ import annotations

import logging
from collections import OrderedDict
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
    digest_reasoning,
)
from bridge.conversation.prompt import Item, Prompt, message
from bridge.conversation.spare_threads import Spares
from bridge.conversation.thread_params import thread_start_params
from bridge.conversation.turns import LivingThread, Turn
from codex_rpc.client.client import Client
from codex_rpc.errors import CodexError, ConnectionLostError, RequestRefusedError
from codex_rpc.wire.calls import thread_inject_items, thread_start, thread_unsubscribe, turn_interrupt, turn_start

logger = logging.getLogger(__name__)

_REASONS = {"running": "turn-ended-early", "codex-answered": "unreadable-call"}
"""Why a thread was given up, by the outcome of its last turn."""

STARTED = ("new", "rebuilt")
"""How the thread_outcomes of the turns begin that needed a thread of their own."""
CLEAN_UP = 5.0
"""Seconds that codex may take to confirm what we tell it on the way out."""
LOOK_AROUND = 5.0
"""Seconds between two looks for threads that are too old; too many are noticed at once."""


class Threads:
    """All living threads. `cwd` is the empty directory in which they run.

    Without `join_deltas` each delta is an event of its own, so that the answers do not depend on when they came.
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
        self._most = most
        self._longest = longest
        self._idle_timeout = idle_timeout
        self._history_hashes = HistoryHashes()
        self._spares = Spares(spares)
        self._join_deltas = join_deltas
        self._conversations: Conversations[LivingThread] = Conversations()
        self._waiting: OrderedDict[LivingThread, tuple[CachedThread[LivingThread], float]] = OrderedDict()
        """The threads that nobody uses, the longest unused first, with the time since when."""
        self._crowded = anyio.Event()
        self._client: Client | None = None
        """The codex that new threads are started on."""
        self._running = 0

    @property
    def waiting(self) -> int:
        """How many threads wait for their conversation to go on."""
        return len(self._waiting)

    @property
    def spares(self) -> int:
        """How many threads wait for a conversation to begin."""
        return self._spares.ready

    def states(self) -> Mapping[str, int]:
        """How many threads run, are idle between two turns, and wait for the outputs of tools."""
        suspended = sum(thread.turn_id is not None for thread in self._waiting)
        return {"running": self._running, "idle": len(self._waiting) - suspended, "suspended": suspended}

    @asynccontextmanager
    async def answer(
        self, session: Session, prompt: Prompt, limits: Limits, dialect: Dialect = "chat"
    ) -> AsyncGenerator[Turn]:
        """Run a prompt for the length of the block; the turn's events are the answer, written in `dialect`.

        Raises:
            CodexError: codex did not take the prompt.
        """
        self._forget_other_clients(session.client)
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

    async def keep_spares(self) -> None:
        """Have threads ready for new conversations, until cancelled."""
        await self._spares.keep_ready()

    async def keep_tidy(self) -> None:
        """Let threads go that are too old or too many, until cancelled."""
        while True:
            with anyio.move_on_after(LOOK_AROUND):
                await self._crowded.wait()
            self._crowded = anyio.Event()
            while self._waiting:
                thread, (known, since) = next(iter(self._waiting.items()))
                too_many = len(self._waiting) > self._most
                if not too_many and anyio.current_time() - since < self._longest:
                    break
                del self._waiting[thread]
                self._conversations.lose(known, "evicted" if too_many else "expired")
                await _close(thread)

    async def _open(
        self, session: Session, prompt: Prompt, limits: Limits, dialect: Dialect, history_hash: HistoryHash
    ) -> tuple[LivingThread, Turn]:
        """A living thread that does not go on is replaced by the next that fits, in the end by a new one."""
        while True:
            plan = self._conversations.plan(prompt, history_hash)
            try:
                return await self._carry_out(plan, session, prompt, limits, dialect)
            except RequestRefusedError as refusal:
                if isinstance(plan, NewThread):
                    raise
                logger.warning("a living thread did not go on: %s", refusal)
                self._conversations.lost(plan.thread.end, "thread-refused")
            except ConnectionLostError:
                if not isinstance(plan, NewThread):
                    self._conversations.lost(plan.thread.end, "codex-restarted")
                raise

    # ── carrying out ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _carry_out(
        self, plan: ThreadPlan[LivingThread], session: Session, prompt: Prompt, limits: Limits, dialect: Dialect
    ) -> tuple[LivingThread, Turn]:
        outputs: Mapping[str, Any] = {}
        match plan:
            case NewThread(items, thread_outcome, reason):
                thread_outcome = f"{thread_outcome}; reason={reason}"
                items = (*(message("developer", note) for note in prompt.notes), *items)
                params = self._start_params(session, prompt)
                if (spare := self._spares.take(session.client, params)) is not None:
                    spare.notes = prompt.notes
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
            case Continue(known, items):
                thread, thread_outcome = known.handle, "continued; reason=same-history"
            case AnswerTools(known, outputs, items):
                thread, thread_outcome = known.handle, "resumed-tools; reason=outputs-came"
        self._waiting.pop(thread, None)
        turn = Turn(thread, prompt, outputs, limits, self._idle_timeout, dialect=dialect, join_deltas=self._join_deltas)
        turn.thread_outcome = thread_outcome
        return await self._run(thread, turn, prompt, items)

    def _start_params(self, session: Session, prompt: Prompt) -> dict[str, Any]:
        return thread_start_params(prompt, self._cwd)

    async def _start(self, session: Session, prompt: Prompt, params: dict[str, Any]) -> LivingThread:
        # Shielded, because a thread whose start was under way stays loaded until it is unsubscribed by its id.
        thread_id = await session.client.call(thread_start(params), shield=True)
        return LivingThread(session.client, thread_id, session.client.subscribe(thread_id), notes=prompt.notes)

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
        """Items that are injected while a turn waits for outputs come to stand behind the outputs.

        A turn begins with items: without new ones no thread is continued.
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

    # ── afterwards ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _put_back(self, thread: LivingThread, turn: Turn, prompt: Prompt, start: bytes) -> bool:
        """Remember what the turn has said; return whether its thread is kept for the next request."""
        thread.reasoning_digests |= digest_reasoning(turn.items)
        echo = turn.expected_history()
        end = advance(start, echo)
        if turn.outcome in {"complete", "suspended", "codex-answered"} and turn.told_everything:
            self._conversations.remember(start, echo, turn.items)
        if turn.outcome in {"complete", "suspended"} and not thread.fell_back and thread.client is self._client:
            known = CachedThread(
                thread,
                end,
                thread.notes,
                prompt.answer_format,
                turn.awaited,
                prompt.cache_key,
                thread.reasoning_digests,
            )
            self._conversations.put(known)
            self._waiting[thread] = known, anyio.current_time()
            if len(self._waiting) > self._most:
                self._crowded.set()
            return True
        self._conversations.lost(end, _REASONS.get(turn.outcome, "thread-spoilt"))
        return False

    def _forget_other_clients(self, client: Client) -> None:
        """The threads of a codex that is gone are gone with it; one that was replaced ends when it has none left."""
        self._client = client
        self._spares.forget_other_clients(client)
        for thread, (known, _) in tuple(self._waiting.items()):
            if thread.client is not client:
                del self._waiting[thread]
                self._conversations.lose(known, "codex-restarted")
                thread.client.unsubscribe(thread.id)


async def _close(thread: LivingThread) -> None:
    """Interrupt what runs on the thread and let codex unload it; a codex that is gone has done both."""
    with suppress(CodexError):
        if thread.turn_id is not None:
            await thread.client.call(turn_interrupt(thread.id, thread.turn_id), CLEAN_UP, shield=True)
    with suppress(CodexError):
        await thread.client.call(thread_unsubscribe(thread.id), CLEAN_UP, shield=True)
    thread.client.unsubscribe(thread.id)
