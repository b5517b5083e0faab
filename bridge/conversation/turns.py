"""One answer on a thread: read as turn events, with the outputs of tools handed over when codex asks for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Literal

import orjson
from msgspec import Struct, field

from bridge.conversation.events import Failed, Finished, ToolCall, TurnEvent, Used
from bridge.conversation.expected_history import Dialect, ExpectedHistory
from bridge.conversation.limits import Limiter, Limits
from bridge.conversation.prompt import Item, Prompt
from bridge.conversation.translate import Translator
from bridge.errors import upstream_timeout
from codex_rpc.client.client import Client
from codex_rpc.client.inbox import Inbox
from codex_rpc.errors import RequestRefusedError
from codex_rpc.quota import Quota
from codex_rpc.wire.calls import turn_interrupt
from codex_rpc.wire.protocol import (
    ErrorReported,
    Event,
    RawItemCompleted,
    TokenUsage,
    ToolCallAsked,
    TurnCompleted,
    Warned,
    tool_call_failure,
    tool_call_result,
)

logger = logging.getLogger(__name__)

CALLS_WITHOUT_END = 30.0
"""Seconds of silence after which an upstream response that has made calls and does not complete counts as cut. The next
parallel call may take long to write, and codex asks for the first one at once."""

BYTES_PER_TOKEN = 4
"""Rough estimate, used only when upstream reports no usage."""

FELL_BACK = "Falling back from WebSockets"
"""How codex begins the warning that a thread stays on HTTP from now on."""


class LivingThread(Struct, eq=False):
    """A thread of codex that we hold, whether somebody uses it or not."""

    client: Client
    id: str
    inbox: Inbox
    turn_id: str | None = None
    """The turn that runs or waits for outputs."""
    notes: tuple[str, ...] = ()
    """The words of ours with which it was started."""
    asked: dict[str, ToolCallAsked] = field(default_factory=dict[str, ToolCallAsked])
    """The calls that codex waits for, by call id."""
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])
    """The outputs that codex has not asked for yet, by call id."""
    handed_over: set[str] = field(default_factory=set[str])
    """The calls whose outputs codex has been given and has not yet reported as items of the thread."""
    held_calls: list[ToolCall] = field(default_factory=list[ToolCall])
    """Calls of the last step that the client, which wants them one at a time, has not been told of."""
    reasoning_digests: frozenset[bytes] = frozenset()
    """The marks of the encrypted reasoning that it holds."""
    fell_back: bool = False


class Turn:
    """The part of a turn that one request is answered with."""

    def __init__(
        self,
        thread: LivingThread,
        prompt: Prompt,
        outputs: Mapping[str, Any],
        limits: Limits,
        idle_timeout: float,
        *,
        dialect: Dialect = "chat",
        join_deltas: bool = True,
    ) -> None:
        self._thread = thread
        self.prompt = prompt
        thread.outputs |= outputs
        self._translator = Translator(prompt.toolbox)
        self._limiter = Limiter(limits) if limits else None
        self._idle_timeout = idle_timeout
        self._join_deltas = join_deltas and self._limiter is None
        self._expected = ExpectedHistory(prompt.toolbox, dialect)
        self._calls: list[ToolCall] = []
        self._cancelled = False
        self._is_over = False
        """Whether codex has ended the turn, or was told to."""
        self._reported_usage = False
        self.thread_outcome = ""
        self.outcome: Literal["running", "complete", "suspended", "codex-answered", "failed"] = "running"

    async def next_events(self) -> list[TurnEvent]:
        """Return what has happened since the last call, waiting until something has.

        Raises:
            ApiError: 504, the model sent nothing for too long.
            CodexError: codex ended, or its events were not taken in time.
        """
        if self._thread.held_calls and not self._calls:
            return self._passed_on(
                [self._thread.held_calls.pop(0), Used(TokenUsage(0, 0, 0, 0)), Finished("tool_calls")]
            )
        now = asyncio.get_running_loop().time
        deadline = now() + self._idle_timeout
        while True:
            until = min(deadline, now() + CALLS_WITHOUT_END) if self._thread.asked else deadline
            if arrived := await self._thread.inbox.take(until, joined=self._join_deltas):
                translated = self._translated(arrived)
                await self._stop_codex()
                if events := self._passed_on(translated):
                    return events
                if not all(isinstance(event, ErrorReported) for event in arrived):
                    deadline = now() + self._idle_timeout
                continue
            if self._thread.asked and (events := self._passed_on(self._translator.suspend())):
                logger.info("the upstream's response did not complete; ending the answer with the calls that came")
                return events
            if now() >= deadline:
                raise upstream_timeout(self._idle_timeout)

    async def cancel(self) -> None:
        """Stop the model; the turn's last event then tells so.

        Raises:
            CodexError: codex did not stop it.
        """
        self._cancelled = True
        if self._thread.turn_id is not None:
            await self._thread.client.call(turn_interrupt(self._thread.id, self._thread.turn_id))

    @property
    def quota(self) -> Quota:
        """What codex has last told of the account's quota."""
        return self._thread.client.quota

    def expected_history(self) -> list[Item]:
        """Return this answer as the client will send it back, in the form in which a request is parsed."""
        return self._expected.items()

    @property
    def thread_id(self) -> str:
        """The thread that it runs on."""
        return self._thread.id

    @property
    def items(self) -> list[Item]:
        """What the model really said."""
        return self._translator.items

    @property
    def told_everything(self) -> bool:
        """Whether the client was told of every call of this step: only then its echo stands for all that was said."""
        return self._translator.calls == len(self._calls)

    @property
    def awaited(self) -> frozenset[str]:
        """The ids of the calls that the client was told of."""
        return frozenset(call.call_id for call in self._calls)

    def _translated(self, arrived: list[Event]) -> list[TurnEvent]:
        """Only this turn's events count, and of these only what we have not told codex ourselves."""
        mine: list[Event] = []
        for event in arrived:
            match event:
                case Warned(message=message):
                    self._thread.fell_back |= message.startswith(FELL_BACK)
                case RawItemCompleted(item={"type": "function_call_output", "call_id": call_id}) if (
                    call_id in self._thread.handed_over
                ):
                    self._thread.handed_over.remove(call_id)
                case ToolCallAsked():
                    mine += [event] if self._is_open(event) else []
                case _ if getattr(event, "turn_id", None) == self._thread.turn_id:
                    self._is_over |= isinstance(event, TurnCompleted)
                    mine.append(event)
                case _:
                    pass
        known = len(self._translator.undeclared)
        translated = self._translator.feed(mine)
        for name in self._translator.undeclared[known:]:
            logger.warning("the model called %r, which is not a declared tool; codex tells it so", name)
        return translated

    def _is_open(self, event: ToolCallAsked) -> bool:
        """Note a call that codex asks for, in an order of its own; return whether the client has yet to answer it."""
        thread = self._thread
        if self.prompt.toolbox.call_to_client(event.tool, "", event.namespace) is None:
            logger.warning("codex asked for the tool %r, which the request does not declare", event.tool)
            thread.client.answer(event.request, tool_call_failure(f"There is no tool {event.tool}."))
            return False
        thread.asked[event.call_id] = event
        self.hand_over()
        return event.call_id in thread.asked

    async def _stop_codex(self) -> None:
        """Interrupt the turn if codex would otherwise ask the model again before the client has answered its calls."""
        said = self._translator
        if self._is_over or not said.codex_answers or said.codex_waits or self._thread.turn_id is None:
            return
        self._is_over = True
        logger.info("the model wrote a call that codex cannot parse; the client answers it on another thread")
        try:
            await self._thread.client.call(turn_interrupt(self._thread.id, self._thread.turn_id))
        except RequestRefusedError as refusal:
            logger.debug("the turn had ended: %s", refusal)

    def hand_over(self) -> None:
        """Give codex every output that it has asked for and that we have."""
        thread = self._thread
        for call_id in [call_id for call_id in thread.asked if call_id in thread.outputs]:
            result = tool_call_result(thread.outputs.pop(call_id))
            thread.handed_over.add(call_id)
            thread.client.answer(thread.asked.pop(call_id).request, result)

    def _passed_on(self, events: list[TurnEvent]) -> list[TurnEvent]:
        """What of the events goes out now; it is noted, because the client will send it back."""
        if self._cancelled and events and isinstance(events[-1], Failed):
            events = [*events[:-1], Finished("cancelled")]
        ending = events[-1] if events and isinstance(events[-1], Finished | Failed) else None
        if self._limiter is not None:
            events = self._limiter.feed(events)
        out: list[TurnEvent] = []
        for event in events:
            match event:
                case ToolCall() if self._calls and self.prompt.one_call_at_a_time:
                    self._thread.held_calls.append(event)
                    continue
                case ToolCall():
                    self._calls.append(event)
                case Used():
                    self._reported_usage = True
                case Finished() | Failed() if event is ending:
                    self._ended(event)
                case _:
                    pass
            if isinstance(event, Finished) and not (event is ending and self._reported_usage):
                out.append(Used(self._estimate()))
            out.append(event)
        self._expected.feed(out)
        return out

    def _estimate(self) -> TokenUsage:
        """What an answer cost whose upstream response was cut off before it reported its usage."""
        sent = orjson.dumps([list(self.prompt.items), self.prompt.toolbox.specs()])
        said = self._limiter.tokens if self._limiter else len(orjson.dumps(self.expected_history())) // BYTES_PER_TOKEN
        return TokenUsage(len(sent) // BYTES_PER_TOKEN, 0, said, 0)

    def _ended(self, said: Finished | Failed) -> None:
        """What codex ended with decides about the thread; an end that a limit made leaves the turn running."""
        if self._is_over:
            self._thread.turn_id = None
        if said == Finished("tool_calls"):
            self.outcome = "codex-answered" if self._translator.codex_answers else "suspended"
            return
        self.outcome = "complete" if said == Finished("stop") else "failed"
