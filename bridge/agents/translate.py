"""Translates the events of one turn of an agent, or of a part of it, into turn events.

1. The translator is given the events of its turn alone.
2. A step that is reported only when it is over is begun and ended at once.
3. What still runs when the answer ends is ended here, as incomplete.
4. A retry of codex repeats text, which is not passed on again. A message whose text it changes begins again: the work
   of an agent is worth more than the beginning of a message, at which chat mode would end the answer.
5. Codex does not say when it has asked all that it asks at once, or made all calls. A pause decides, and then `suspend`
   ends the answer; the usage of the upstream response that asked comes with the next answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridge.agents.approvals import is_about, shown
from bridge.agents.bounded_text import BoundedText
from bridge.agents.client_tools import ClientTools
from bridge.agents.steps import begun, done, plan_step
from bridge.conversation.events import (
    Asked,
    Failed,
    Finished,
    ItemDone,
    MessageBegun,
    StepBegun,
    StepDone,
    TextDelta,
    ToolCall,
    TurnEvent,
    Used,
)
from bridge.conversation.prompt import Item
from bridge.conversation.repeated_text import Messages, Repeated, Summary
from bridge.conversation.translate import ending, reasoned
from bridge.refusals import from_codex_failure, is_permanent
from codex_rpc.wire.agent_items import AgentItem, AgentMessage, AgentReasoning, SearchAction, WebSearch
from codex_rpc.wire.approvals import ApprovalAsked
from codex_rpc.wire.events import (
    CommandOutput,
    ErrorReported,
    Event,
    ItemCompleted,
    ItemStarted,
    MessageDelta,
    PlanUpdated,
    ReasoningDelta,
    TokenUsage,
    ToolCallAsked,
    TurnCompleted,
    UsageUpdated,
)

NOTHING = TokenUsage(0, 0, 0, 0)
"""The usage of an answer of which codex has reported none yet; clients expect one."""

_PHASES = {"commentary": "commentary", "partial_answer": "commentary", "final_answer": "final_answer"}
"""Codex's phases → those that clients know."""


class AgentTranslator:
    """Translates one answer: from the start or resumption of a turn to its end or suspension."""

    def __init__(
        self, folder: str, tools: ClientTools | None = None, asked_before: Sequence[tuple[Asked, str]] = ()
    ) -> None:
        """`folder` is the real path of the agent's folder; `tools` are the client's.

        `asked_before` are the questions of the last answer that the client has answered, each with the id of its item.
        """
        self._folder = folder
        self._asked_before = asked_before
        self._tools = tools or ClientTools()
        self._messages = Messages()
        self._reasoning = Summary()
        self._phases: dict[str, str | None] = {}
        self._arriving = ""
        """The id of the message that arrives."""
        self._arrived = ""
        """What has arrived of it."""
        self._running: dict[str, StepBegun] = {}
        self._outputs: dict[str, BoundedText] = {}
        self._plans = 0
        self._total: TokenUsage | None = None
        """The usage of the thread as it was last reported."""
        self._asked_about: set[str] = set()
        """The ids of the steps that questions were about."""
        self.asked: dict[str, Asked] = {}
        """The questions that were passed on, by their ids; others cannot be asked."""
        self.called: dict[str, ToolCall] = {}
        """The calls that were passed on, by their ids; others are of tools that the client does not have."""

    @property
    def running(self) -> tuple[StepBegun, ...]:
        """The steps that run now, in the order in which they began."""
        return tuple(self._running.values())

    def feed(self, events: Iterable[Event]) -> list[TurnEvent]:
        """Return the translated events, up to the first `Finished` or `Failed`, after which nothing more may be fed."""
        out: list[TurnEvent] = []
        for event in events:
            match event:
                case MessageDelta(item_id=item_id, text=text, pieces=pieces):
                    out += self._delta(item_id, text, pieces)
                case ReasoningDelta(item_id=item_id, text=text):
                    out += [] if self._messages.is_partial else reasoned(self._reasoning, item_id, text)
                case ItemStarted(item=item):
                    out += self._started(item)
                case ItemCompleted(item=item):
                    out += self._completed(item)
                case CommandOutput(item_id=item_id, text=text) if item_id in self._running:
                    self._outputs.setdefault(item_id, BoundedText()).add(text)
                case PlanUpdated():
                    self._plans += 1
                    out += self._at_once(plan_step(event, f"plan-{self._plans}"))
                case ApprovalAsked():
                    out += self._approval(event)
                case ToolCallAsked():
                    out += self._call(event)
                case UsageUpdated(usage=usage, total=total) if total != self._total:
                    self._total = total
                    self._messages.end_response()
                    out.append(Used(usage))
                case ErrorReported(failure=failure) if is_permanent(failure):
                    out += [*self.close(), Failed(from_codex_failure(failure))]
                case ErrorReported(will_retry=True):
                    self._messages.retry()
                case TurnCompleted(turn=turn):
                    out += [*self.close(), ending(turn.status, turn.failure)]
                case _:
                    pass
            if out and isinstance(out[-1], Finished | Failed):
                break
        return out

    def suspend(self) -> list[TurnEvent]:
        """Return the end of an answer that waits for the client; what was used so far is told with the next answer."""
        return [*self.close(), *([] if self._total else [Used(NOTHING)]), Finished("tool_calls")]

    def close(self) -> list[TurnEvent]:
        """End what still runs, with its output so far; for an answer that ends for another reason than the turn's."""
        running, self._running = self._running, {}
        return [self._incomplete(step) for step in running.values()]

    def _incomplete(self, step: StepBegun) -> StepDone:
        output = self._outputs.pop(step.step_id, BoundedText()).text()
        return StepDone(step.step_id, step.server, step.name, step.arguments, output, is_complete=False)

    def _approval(self, event: ApprovalAsked) -> list[TurnEvent]:
        not_asked = {step_id: step for step_id, step in self._running.items() if step_id not in self._asked_about}
        asked = shown(event, not_asked, self._folder)
        if asked is None:
            return []
        self._asked_about.add(asked.step_id)
        self.asked[asked.approval_id] = asked
        return [asked]

    def _call(self, event: ToolCallAsked) -> list[TurnEvent]:
        call = self._tools.call(event)
        if call is None:
            return []
        self.called[event.unique_id] = call
        return [call]

    def _delta(self, item_id: str, text: str, pieces: int) -> list[TurnEvent]:
        phase = self._phases.get(item_id)
        opened = [] if self._messages.is_partial else [MessageBegun(phase)]
        self._arrived = text if item_id != self._arriving else self._arrived + text
        self._arriving = item_id
        new = self._messages.more(item_id, text)
        if new is None:
            self._messages = Messages()
            return [MessageBegun(phase), TextDelta(self._messages.more(item_id, self._arrived) or "", pieces)]
        return [*opened, TextDelta(new, pieces)] if new else []

    def _started(self, item: AgentItem) -> list[TurnEvent]:
        if isinstance(item, AgentMessage):
            self._phases[item.id] = _phase(item)
            return []
        step = begun(item, self._folder)
        if step is None:
            return []
        self._running[step.step_id] = step
        return [step]

    def _completed(self, item: AgentItem) -> list[TurnEvent]:
        match item:
            case AgentMessage():
                return self._message_completed(item)
            case AgentReasoning():
                self._reasoning.complete()
                return [] if self._messages.is_partial else [ItemDone(_reasoning(item))]
            case WebSearch():
                return [ItemDone(_web_search(item))]
            case _:
                step = done(item, self._folder)
                return [] if step is None else self._at_once(step)

    def _at_once(self, step: StepDone) -> list[TurnEvent]:
        """End a step; if it is not known to run, begin it."""
        self._outputs.pop(step.step_id, None)
        if self._running.pop(step.step_id, None) is not None:
            return [step]
        return [StepBegun(step.step_id, step.server, step.name, step.arguments, self._approval_of(step)), step]

    def _approval_of(self, step: StepDone) -> str | None:
        """Return the id of the item that asked about a step."""
        return next((item_id for asked, item_id in self._asked_before if is_about(asked, step)), None)

    def _message_completed(self, item: AgentMessage) -> list[TurnEvent]:
        """Pass on the part of a complete message that came without deltas."""
        phase = _phase(item)
        opened = [] if self._messages.is_partial else [MessageBegun(phase)]
        rest = self._messages.complete(item.text)
        if rest is None:
            self._messages = Messages()
            opened, rest = [MessageBegun(phase)], self._messages.complete(item.text) or ""
        if isinstance(rest, Repeated) or not item.text:
            return []
        said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": item.text}]}
        done = ItemDone({**said, "phase": phase} if phase else said)
        return [*opened, *([TextDelta(rest)] if rest else []), done]


def _phase(item: AgentMessage) -> str | None:
    return _PHASES.get(item.phase or "")


def _reasoning(item: AgentReasoning) -> Item:
    summary = [{"type": "summary_text", "text": text} for text in item.summary]
    return {"type": "reasoning", "id": item.id, "summary": summary}


def _web_search(item: WebSearch) -> Item:
    """Return a search as the upstream's item has it."""
    action = item.action or SearchAction("other")
    told: Mapping[str, Any]
    match action.type:
        case "openPage":
            told = {"type": "open_page", "url": action.url or item.query}
        case "findInPage":
            told = {"type": "find_in_page", "url": action.url or "", "pattern": action.pattern or ""}
        case _:
            query = action.query or item.query
            told = {"type": "search", "query": query, "queries": list(action.queries or ([query] if query else ()))}
    return {"type": "web_search_call", "status": "completed", "action": told}
