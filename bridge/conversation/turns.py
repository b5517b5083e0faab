"""One answer on a thread: reads its turn events, and gives codex the tool outputs that it asks for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct, field

from bridge.conversation.events import Failed, Finished, ItemDone, TextDelta, ToolCall, TurnEvent, Used
from bridge.conversation.expected_history import Dialect, ExpectedHistory
from bridge.conversation.limits import Limiter, Limits
from bridge.conversation.prompt import Item, Prompt
from bridge.conversation.token_estimate import estimate_tokens
from bridge.conversation.tools import Toolbox
from bridge.conversation.translate import Translator
from bridge.errors import ApiError, upstream_timeout
from codex_rpc.client.client import Client
from codex_rpc.client.inbox import Inbox
from codex_rpc.errors import RequestRefusedError
from codex_rpc.quota import Quota
from codex_rpc.wire.calls import turn_interrupt
from codex_rpc.wire.events import (
    ErrorReported,
    Event,
    ModelRerouted,
    RawItemCompleted,
    TokenUsage,
    ToolCallAsked,
    TurnCompleted,
    Warned,
)
from codex_rpc.wire.protocol import tool_call_failure, tool_call_result

logger = logging.getLogger(__name__)

CALLS_WITHOUT_END = 30.0
"""Seconds of silence after which an incomplete upstream response with calls counts as cut. The next parallel call may
take the model long to write, while codex requests the first one at once."""

BLANK_LINE = "\n\n"
"""Separates the messages of one answer in the chat dialect, which has a single message per answer."""

FELL_BACK = "Falling back from WebSockets"
"""The beginning of codex's warning that a thread uses HTTP from now on."""


class LivingThread(Struct, eq=False):
    """A loaded thread of codex, in use or not."""

    client: Client
    id: str
    inbox: Inbox
    turn_id: str | None = None
    """The turn that is running or waiting for outputs."""
    notes: tuple[str, ...] = ()
    """The instructions of this server (`Prompt.notes`) with which it was started."""
    open_calls: dict[str, ToolCallAsked] = field(default_factory=dict[str, ToolCallAsked])
    """The calls whose outputs codex waits for, by call id."""
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])
    """The outputs that codex has not requested yet, by call id."""
    handed_over: set[str] = field(default_factory=set[str])
    """The calls whose outputs codex has received and not yet reported as items of the thread."""
    held_calls: list[ToolCall] = field(default_factory=list[ToolCall])
    """Calls of the last step that were not passed on yet, because the client wants one call at a time."""
    reasoning_digests: frozenset[bytes] = frozenset()
    """The digests of the encrypted reasoning that it holds."""
    fell_back: bool = False
    owner: str = ""
    """The account on which it runs (`Session.owner`)."""


class Turn:
    """The part of a turn that answers one request."""

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
        self._joins_messages = dialect == "chat"
        self._has_text = self._message_ended = False
        self._calls: list[ToolCall] = []
        self._cancelled = False
        self._first: list[TurnEvent] = []
        self._is_over = False
        """Whether codex has ended the turn or has been asked to."""
        self._reported_usage = False
        self.thread_outcome = ""
        self.failure: ApiError | None = None
        """Why the upstream did not complete the answer."""
        self.rerouted_to: str | None = None
        """The model that answers in place of the requested one, if the upstream chose another."""
        self.outcome: Literal["running", "complete", "suspended", "codex-answered", "failed"] = "running"

    async def next_events(self) -> list[TurnEvent]:
        """Wait for the next events and return all that have arrived.

        Raises:
            ApiError: 504, the model sent nothing for too long.
            CodexError: codex ended, or its events were not read in time.
        """
        if self._first:
            events, self._first = self._first, []
            return events
        if self._thread.held_calls and not self._calls:
            return self._passed_on(
                [self._thread.held_calls.pop(0), Used(TokenUsage(0, 0, 0, 0)), Finished("tool_calls")]
            )
        now = asyncio.get_running_loop().time
        deadline = now() + self._idle_timeout
        while True:
            until = min(deadline, now() + CALLS_WITHOUT_END) if self._thread.open_calls else deadline
            if arrived := await self._thread.inbox.take(until, joined=self._join_deltas):
                translated = self._translated(arrived)
                await self._stop_codex()
                if events := self._passed_on(translated):
                    return events
                if not all(isinstance(event, ErrorReported) for event in arrived):
                    deadline = now() + self._idle_timeout
                continue
            if self._thread.open_calls and (events := self._passed_on(self._translator.suspend())):
                logger.info("the upstream response did not complete; ending the answer with the calls received so far")
                return events
            if now() >= deadline:
                raise upstream_timeout(self._idle_timeout)

    def begin_with(self, events: Iterable[TurnEvent]) -> None:
        """Return these events before those of the turn; they tell what happened before it."""
        self._first = list(events)

    async def cancel(self) -> None:
        """Stop the model; the turn then ends with `Finished("cancelled")`, unless it has ended already.

        Raises:
            CodexError: codex did not stop it.
        """
        self._cancelled = True
        if self._thread.turn_id is not None:
            await self._interrupt(self._thread.turn_id)

    @property
    def quota(self) -> Quota:
        """The account's quota as codex last reported it."""
        return self._thread.client.quota

    def expected_history(self) -> list[Item]:
        """Return this answer as the client is expected to send it back, as items of a parsed request."""
        return self._expected.items()

    @property
    def thread_id(self) -> str:
        """The id of the thread on which it runs."""
        return self._thread.id

    @property
    def owner(self) -> str:
        """The account that the answer's encrypted reasoning belongs to."""
        return self._thread.owner

    @property
    def items(self) -> list[Item]:
        """The model's items, including those that the client does not receive."""
        return self._translator.items

    @property
    def passed_on_every_call(self) -> bool:
        """Whether the client received every call of this step, so that its history stands for all items."""
        return self._translator.calls == len(self._calls)

    @property
    def awaited(self) -> frozenset[str]:
        """The ids of the calls that were passed on to the client."""
        return frozenset(call.call_id for call in self._calls)

    def _translated(self, arrived: list[Event]) -> list[TurnEvent]:
        """Translate this turn's events, without the outputs that this server itself gave to codex."""
        mine: list[Event] = []
        for event in arrived:
            match event:
                case Warned(message=message):
                    self._thread.fell_back |= message.startswith(FELL_BACK)
                case RawItemCompleted(item={"type": "function_call_output", "call_id": call_id}) if (
                    call_id in self._thread.handed_over
                ):
                    self._thread.handed_over.remove(call_id)
                case ModelRerouted(to_model=model) if model != self.rerouted_to:
                    self.rerouted_to = model
                    logger.warning("the upstream answers with the model %r instead of %r", model, self.prompt.model)
                case ToolCallAsked():
                    mine += [event] if self._is_open(event) else []
                case _ if getattr(event, "turn_id", None) == self._thread.turn_id:
                    self._is_over |= isinstance(event, TurnCompleted)
                    mine.append(event)
                case _:
                    pass
        reported = len(self._translator.undeclared)
        translated = self._translator.feed(mine)
        for name in self._translator.undeclared[reported:]:
            logger.warning("the model called the undeclared tool %r; codex refuses the call", name)
        return translated

    def _is_open(self, event: ToolCallAsked) -> bool:
        """Note a call that codex requests, in any order; return whether the client still has to answer it."""
        thread = self._thread
        if self.prompt.toolbox.call_to_client(event.tool, "", event.namespace) is None:
            logger.warning("codex requested a call of the undeclared tool %r", event.tool)
            thread.client.answer(event.request, tool_call_failure(f"There is no tool {event.tool}."))
            return False
        thread.open_calls[event.call_id] = event
        self.hand_over()
        return event.call_id in thread.open_calls

    async def _stop_codex(self) -> None:
        """Interrupt the turn if codex would ask the model again before the client has answered its calls."""
        translator = self._translator
        if self._is_over or not translator.codex_answers or translator.codex_waits or self._thread.turn_id is None:
            return
        self._is_over = True
        logger.info("the model wrote a call that codex cannot parse; the client answers it on another thread")
        await self._interrupt(self._thread.turn_id)

    async def _interrupt(self, turn_id: str) -> None:
        try:
            await self._thread.client.call(turn_interrupt(self._thread.id, turn_id))
        except RequestRefusedError as refusal:
            logger.debug("the turn had ended: %s", refusal)

    def hand_over(self) -> None:
        """Give codex every available output that it has requested."""
        thread = self._thread
        for call_id in [call_id for call_id in thread.open_calls if call_id in thread.outputs]:
            result = tool_call_result(thread.outputs.pop(call_id))
            thread.handed_over.add(call_id)
            thread.client.answer(thread.open_calls.pop(call_id).request, result)

    def _passed_on(self, events: list[TurnEvent]) -> list[TurnEvent]:
        """Return the events that are sent to the client now, and add them to the expected history."""
        if self._cancelled and events and isinstance(events[-1], Failed):
            events = [*events[:-1], Finished("cancelled")]
        ending = events[-1] if events and isinstance(events[-1], Finished | Failed) else None
        if self._limiter is not None:
            events = self._limiter.feed(events)
        out: list[TurnEvent] = []
        for event in map(self._separated, events):
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

    def _separated(self, event: TurnEvent) -> TurnEvent:
        """Put a blank line before a message that follows another one, unless messages are separate items."""
        match event:
            case ItemDone({"type": "message"}):
                self._message_ended = self._has_text
            case TextDelta(text, tokens):
                is_next, self._has_text, self._message_ended = self._message_ended, True, False
                return TextDelta(BLANK_LINE + text, tokens) if is_next and self._joins_messages else event
            case _:
                pass
        return event

    def _estimate(self) -> TokenUsage:
        """Estimate the usage of an upstream response that was cut off before it reported its usage."""
        answer = self._limiter.tokens if self._limiter else estimate_tokens(self.expected_history(), Toolbox())
        return TokenUsage(estimate_tokens(self.prompt.items, self.prompt.toolbox), 0, answer, 0)

    def _ended(self, end: Finished | Failed) -> None:
        """Set the outcome by codex's own end of the answer; an end at a limit leaves the turn running."""
        if self._is_over:
            self._thread.turn_id = None
        if isinstance(end, Failed):
            self.failure = end.error
        if end == Finished("tool_calls"):
            self.outcome = "codex-answered" if self._translator.codex_answers else "suspended"
            return
        self.outcome = "complete" if end == Finished("stop") else "failed"
