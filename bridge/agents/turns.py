"""One answer of an agent: reads the events of its turn, and limits its time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Literal

from bridge.agents.approvals import OpenApprovals, answered, as_call
from bridge.agents.client_tools import ClientTools, OpenCalls, refused
from bridge.agents.errors import agent_stopped
from bridge.agents.replies import Way
from bridge.agents.translate import AgentTranslator
from bridge.conversation.events import Asked, Failed, Finished, MessageBegun, StepBegun, TextDelta, TurnEvent
from bridge.conversation.prompt import Prompt
from bridge.errors import from_codex_error, not_repeated
from bridge.openai.chat.activity import without_marks
from codex_rpc.client.client import Client
from codex_rpc.client.inbox import Inbox
from codex_rpc.errors import CodexError, RequestRefusedError
from codex_rpc.quota import Quota
from codex_rpc.wire.approvals import ApprovalAsked
from codex_rpc.wire.calls import turn_interrupt
from codex_rpc.wire.events import Event, ModelRerouted, ToolCallAsked

logger = logging.getLogger(__name__)

COLLECTING = 0.3
"""Seconds after a question or a call in which codex usually asks all that it asks at once."""

COMMENTARY = "commentary"
"""The phase of a message that says what the agent is about to do."""

BLANK_LINE = "\n\n"
"""Separates the messages of an answer in the chat dialect."""


class AgentTurn:
    """A running turn of an agent, with what `bridge.http` uses of `bridge.conversation.turns.Turn`."""

    def __init__(
        self,
        client: Client,
        inbox: Inbox,
        ids: tuple[str, str],
        prompt: Prompt,
        *,
        folder: str,
        longest: float,
        tools: ClientTools,
        way: Way | None = None,
        asked_before: Sequence[tuple[Asked, str]] = (),
        join_deltas: bool = True,
    ) -> None:
        """`ids` are those of the thread and the turn; `longest` is how long it may run, in seconds from now.

        `tools` are the client's. `way` is how it is asked for approvals; without one, they are declined.
        `asked_before` are the questions of the last answer, each with the id of its item. `join_deltas` says whether
        deltas that arrive together become one.
        """
        self._client = client
        self._inbox = inbox
        self._translator = AgentTranslator(folder, tools, asked_before)
        self._join_deltas = join_deltas
        self._longest = longest
        self._deadline = self._now() + longest
        self._way = way
        self._collected = self._deadline
        """When the answer ends if something was asked or called."""
        self.questions = OpenApprovals()
        """What the answer asks the client."""
        self.calls = OpenCalls()
        """The calls of the client's tools in the answer."""
        self._cancelled = False
        self._stopped = False
        self._answers: list[list[str]] = []
        """The texts of the messages that are not commentary."""
        self._commentary: list[list[str]] = []
        self._message: list[str] = []
        """The text of the current message, which is the last of one of these lists."""
        self.prompt = prompt
        self.thread_id, self.turn_id = ids
        self.thread_outcome = ""
        self.rerouted_to: str | None = None
        self.outcome: Literal["running", "suspended", "complete", "failed"] = "running"

    @property
    def quota(self) -> Quota:
        """The account's quota as codex last reported it."""
        return self._client.quota

    @property
    def steps(self) -> tuple[StepBegun, ...]:
        """What the agent does now."""
        return self._translator.running

    @property
    def answers(self) -> tuple[str, ...]:
        """The forms in which a client may send the answer back: its last message, or all of them.

        Without an answer, the last commentary takes its place.
        """
        texts = ["".join(pieces) for pieces in self._answers or self._commentary[-1:]]
        said = [without_marks(text).rstrip() for text in texts if text]
        return tuple(dict.fromkeys((said[-1], BLANK_LINE.join(said)))) if said else ("",)

    async def next_events(self) -> list[TurnEvent]:
        """Wait for the next events and return all that have arrived.

        Raises:
            ApiError: codex ended; the request must not be repeated by itself, because the agent may have acted.
        """
        try:
            while True:
                arrived = await self._inbox.take(min(self._deadline, self._collected), joined=self._join_deltas)
                if arrived:
                    events = self._translator.feed(self._mine(arrived))
                    self._sort_questions(arrived)
                else:
                    events = self._translator.suspend() if self.questions or self.calls else await self._out_of_time()
                if events:
                    return self._passed_on(events)
        except CodexError as error:
            raise not_repeated(from_codex_error(error)) from error

    async def cancel(self) -> None:
        """Stop the agent; the turn then ends with `Finished("cancelled")`, unless it has ended already.

        Raises:
            CodexError: codex did not stop it.
        """
        self._cancelled = True
        await self._interrupt()

    async def stop(self) -> None:
        """Stop the agent; the turn then fails with the error `agent_stopped`, unless it has ended already.

        Raises:
            CodexError: codex did not stop it.
        """
        self._stopped = True
        await self._interrupt()

    def _sort_questions(self, arrived: Iterable[Event]) -> None:
        """Keep the questions and calls that were passed on, and decline the others."""
        for asked in arrived:
            match asked:
                case ApprovalAsked() if (shown := self._translator.asked.get(asked.approval_id)) is not None:
                    self.questions.add(asked, shown)
                case ApprovalAsked():
                    logger.info("declined what the client of an agent cannot be asked: %s", asked.request.method)
                    self._client.answer(*answered(asked, accepted=False))
                    continue
                case ToolCallAsked() if (call := self._translator.called.get(asked.unique_id)) is not None:
                    self.calls.add(asked, call)
                case ToolCallAsked():
                    logger.info("an agent called a tool that its client does not declare: %r", asked.tool)
                    self._client.answer(*refused(asked))
                    continue
                case _:
                    continue
            self._collected = self._now() + COLLECTING

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _out_of_time(self) -> list[TurnEvent]:
        logger.warning("an agent worked for %g s, the limit (--agent-time); its turn is interrupted", self._longest)
        await self._interrupt()
        return [*self._translator.close(), Finished("length")]

    async def _interrupt(self) -> None:
        try:
            await self._client.call(turn_interrupt(self.thread_id, self.turn_id))
        except RequestRefusedError as refusal:
            logger.debug("the turn had ended: %s", refusal)

    def _mine(self, arrived: Iterable[Event]) -> list[Event]:
        """Return the events of this turn; commands of earlier turns may still report their end."""
        mine: list[Event] = []
        for event in arrived:
            if isinstance(event, ModelRerouted) and event.to_model != self.rerouted_to:
                self.rerouted_to = event.to_model
                logger.warning("the upstream answers with the model %r instead", event.to_model)
            elif isinstance(event, ApprovalAsked) and self._way is None:
                pass
            elif getattr(event, "turn_id", None) == self.turn_id:
                mine.append(event)
        return mine

    def _passed_on(self, events: list[TurnEvent]) -> list[TurnEvent]:
        if self._way == "call":
            events = [as_call(event) if isinstance(event, Asked) else event for event in events]
        for event in events:
            match event:
                case MessageBegun(phase=phase):
                    self._message = []
                    (self._commentary if phase == COMMENTARY else self._answers).append(self._message)
                case TextDelta(text):
                    self._message.append(text)
                case _:
                    pass
        match events[-1]:
            case Failed() if self._stopped:
                events = [*events[:-1], Failed(not_repeated(agent_stopped()))]
                self.outcome = "failed"
            case Failed() if self._cancelled:
                events = [*events[:-1], Finished("cancelled")]
                self.outcome = "failed"
            case Failed(error):
                events = [*events[:-1], Failed(not_repeated(error))]
                self.outcome = "failed"
            case Finished("tool_calls"):
                self.outcome = "suspended"
            case Finished(reason):
                self.outcome = "complete" if reason in {"stop", "length"} else "failed"
            case _:
                pass
        return events
