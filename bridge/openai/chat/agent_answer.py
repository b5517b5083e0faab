"""The answer of an agent as a chat completion: the final answer is the content, and the style decides about the rest.

1. A writer of chat mode writes the answer; what an agent does reaches it as pieces of reasoning or of text.
2. A message that is not commentary is an answer. A whole completion has the last one alone in its content.
3. A command is shown when it begins, and its output when it ends, in the same block if nothing came between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from bridge.config import ActivityStyle
from bridge.conversation.events import (
    Failed,
    Finished,
    ItemDone,
    MessageBegun,
    ReasoningDelta,
    ReasoningPart,
    StepBegun,
    StepDone,
    TextDelta,
    ToolCall,
    TurnEvent,
)
from bridge.conversation.prompt import Item
from bridge.errors import ApiError
from bridge.openai.chat.activity import (
    ANSWER_END,
    ANSWER_MARK,
    FENCE_END,
    SEPARATOR,
    command_block,
    command_rest,
    search_card,
    search_markdown,
    step_card,
    step_markdown,
    without_marks,
)
from bridge.openai.chat.answer import ChatAnswer
from bridge.openai.chat.completion import ChatCompletion
from bridge.openai.chat.stream import ChatStream

_COMMENTARY = "commentary"
_BLANK_LINE = "\n\n"
_COMMAND = ("codex", "shell")


def agent_writer(answer: ChatAnswer, style: ActivityStyle, *, stream: bool, usage_chunk: bool) -> AgentAnswer:
    """Return the writer of an agent's answer.

    `answer.display` is that of the model's reasoning. A whole completion shows the activity beside its content in every
    style but `off`.
    """
    style = style if stream or style == "off" else "reasoning_content"
    shown = replace(answer, display="reasoning_content") if style == "reasoning_content" else answer
    activity = Activity(style, shows_reasoning=answer.display != "off")
    writer = ChatStream(shown, usage_chunk=usage_chunk) if stream else ChatCompletion(shown)
    return AgentAnswer(writer, activity)


class AgentAnswer:
    """Writes the answer of an agent with a writer of chat mode."""

    def __init__(self, writer: ChatStream | ChatCompletion, activity: Activity) -> None:
        self.media: Mapping[str, str] = writer.media
        self._writer = writer
        self._activity = activity
        self._held: list[TurnEvent] | None = [] if isinstance(writer, ChatCompletion) else None
        """The events of a whole completion; None for a stream."""

    def feed(self, events: Iterable[TurnEvent], choice: int = 0) -> bytes:
        """Return the bytes that the events become."""
        if self._held is not None:
            self._held += events
            if not self._held or not isinstance(self._held[-1], Finished | Failed):
                return b""
            events = with_one_answer(self._held)
        return self._writer.feed(self._activity.shown(events), choice)

    def keep_alive(self) -> bytes:
        """Return what is sent after a pause of silence."""
        return self._writer.keep_alive()

    def fail(self, error: ApiError) -> bytes:
        """Return the bytes that end an answer which has begun and cannot be completed."""
        return self._writer.fail(error)


def with_one_answer(events: Sequence[TurnEvent]) -> list[TurnEvent]:
    """Return the events of a turn with its last answer as the only one; earlier ones become commentary."""
    answers = [n for n, one in enumerate(events) if isinstance(one, MessageBegun) and one.phase != _COMMENTARY]
    last = answers[-1:]
    return [MessageBegun(_COMMENTARY) if n in answers and n not in last else one for n, one in enumerate(events)]


class Activity:
    """Turns the events of an agent into those of chat mode."""

    def __init__(self, style: ActivityStyle, *, shows_reasoning: bool) -> None:
        self._style = style
        self._in_text = style in {"text", "details"}
        self._shows_reasoning = shows_reasoning
        self._cards = style == "details"
        self._open: str | None = None
        """The id of the command whose block is open."""
        self._is_commentary = False
        self._commentary: list[str] = []
        """The last message of commentary."""
        self._shown = False
        """Whether some activity was shown."""
        self._after_activity = False
        self._answered = False
        self._searches = 0

    def shown(self, events: Iterable[TurnEvent]) -> list[TurnEvent]:
        """Return the events of chat mode that show these."""
        return [shown for event in events for shown in self._event(event)]

    def _event(self, event: TurnEvent) -> Iterator[TurnEvent]:
        match event:
            case MessageBegun(phase):
                yield from self._message_begun(is_commentary=phase == _COMMENTARY)
            case TextDelta(text, tokens):
                yield from self._text(without_marks(text), tokens)
            case StepBegun(server=server, name=name) if (server, name) == _COMMAND:
                yield from self._command_begun(event)
            case StepBegun():
                pass
            case StepDone(server=server, name=name) if (server, name) == _COMMAND:
                yield from self._command_done(event)
            case StepDone():
                yield from self._block(step_card(event) if self._cards else step_markdown(event))
            case ItemDone(item):
                yield from self._item(item)
            case ToolCall() | Failed():
                yield from self._close()
                yield event
            case Finished(reason):
                yield from self._close()
                if reason == "stop" and not self._answered and self._commentary:
                    yield from self._message_begun(is_commentary=False)
                    yield from self._text("".join(self._commentary), 0)
                yield event
            case ReasoningPart() | ReasoningDelta():
                if self._shows_reasoning:
                    yield event
            case _:
                yield event

    def _message_begun(self, *, is_commentary: bool) -> Iterator[TurnEvent]:
        self._is_commentary = is_commentary
        if is_commentary:
            self._commentary.clear()
            yield from self._block("")
            return
        yield from self._close()
        if separator := self._separator():
            yield TextDelta(separator, 0)
        self._answered, self._after_activity = True, False

    def _separator(self) -> str:
        """Return what stands before an answer."""
        if not self._in_text:
            return _BLANK_LINE if self._answered else ""
        if self._after_activity and self._style == "text":
            return SEPARATOR
        return _BLANK_LINE + ANSWER_MARK if self._after_activity or self._answered else ""

    def _text(self, text: str, tokens: int) -> Iterator[TurnEvent]:
        if not self._is_commentary:
            if text:
                yield TextDelta(text, tokens)
            return
        self._commentary.append(text)
        yield from self._more(text)

    def _command_begun(self, step: StepBegun) -> Iterator[TurnEvent]:
        if not self._cards:
            yield from self._block(command_block(step))
            self._open = step.step_id

    def _command_done(self, step: StepDone) -> Iterator[TurnEvent]:
        if self._cards:
            yield from self._block(step_card(step))
        elif self._open == step.step_id:
            self._open = None
            yield from self._more(command_rest(step))
        else:
            yield from self._block(command_block(step) + command_rest(step))

    def _item(self, item: Item) -> Iterator[TurnEvent]:
        if item["type"] == "web_search_call":
            self._searches += 1
            card_id = f"search-{self._searches}"
            yield from self._block(search_card(item, card_id) if self._cards else search_markdown(item))

    def _block(self, text: str) -> Iterator[TurnEvent]:
        """Begin a block of activity, after a blank line."""
        yield from self._close()
        if self._style == "reasoning_content":
            yield ReasoningPart()
        elif self._answered and not self._after_activity:
            yield from self._more(ANSWER_END + _BLANK_LINE)
        elif self._shown:
            yield from self._more(_BLANK_LINE)
        self._shown = self._after_activity = True
        yield from self._more(text)

    def _more(self, text: str) -> Iterator[TurnEvent]:
        """Go on with a block of activity."""
        if self._style == "off" or not text:
            return
        yield ReasoningDelta(text) if self._style == "reasoning_content" else TextDelta(text, 0)

    def _close(self) -> Iterator[TurnEvent]:
        if self._open is not None:
            self._open = None
            yield from self._more(FENCE_END)
