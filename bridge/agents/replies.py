"""What a request says to the questions and calls of an agent, and in which way its client can be asked more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

from bridge.agents.approvals import read_decision
from bridge.conversation.events import APPROVAL, Asked
from bridge.conversation.prompt import Item
from bridge.conversation.tools import Toolbox
from bridge.openai.responses.approvals import Decision, approval_answers, approval_questions, is_approval_answer

Way: TypeAlias = Literal["item", "call"]
"""How a client is asked: by an item of the Responses API, or by a call of its function `codex_approval`."""


class Replies(Struct, frozen=True):
    """The questions that a request mentions and the answers that it has."""

    way: Way | None = None
    """None if the client cannot be asked."""
    questions: tuple[str, ...] = ()
    """The ids of the questions and calls in the conversation, the latest one last; most were settled long ago."""
    answers: Mapping[str, Decision] = field(default_factory=dict[str, Decision])
    """What is said to a question, by its id."""
    asking: Mapping[str, str] = field(default_factory=dict[str, str])
    """The id of a question → the id of the item that asks it, in the Responses API."""
    outputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The id of a call → its output, as in a function_call_output item."""
    is_last: bool = False
    """Whether the request ends with an answer, so that it has nothing else for the agent."""

    def asked_by_items(self, asked: Iterable[Asked]) -> tuple[tuple[Asked, str], ...]:
        """Return those of the questions that the conversation has items for, each with the id of its item."""
        return tuple((one, self.asking[one.approval_id]) for one in asked if one.approval_id in self.asking)


def read_replies(
    way: Way | None, items: Sequence[Item], own: Sequence[Any] = (), earlier: Sequence[Mapping[str, Any]] = ()
) -> Replies:
    """Read a request.

    `items` are those of its prompt. `own` is the `input` of a request of the Responses API, and `earlier` are the
    stored items before it.
    """
    outputs = [item for item in items if item["type"] == "function_call_output"]
    asking = list(approval_questions((*earlier, *own)))
    questions = (*(question for question, _ in asking), *(item["call_id"] for item in outputs))
    by_calls = {item["call_id"]: read_decision(_text(item["output"])) for item in outputs}
    by_id = {item["call_id"]: item["output"] for item in outputs}
    is_last = bool(items and items[-1]["type"] == "function_call_output")
    is_last |= any(map(is_approval_answer, own[-1:]))
    return Replies(way, questions, by_calls | approval_answers(own), dict(asking), by_id, is_last)


def way_of(toolbox: Toolbox, *, by_item: bool = False) -> Way | None:
    """Return how a client is asked: as it declares by an MCP server (`by_item`), or else by a function."""
    if by_item:
        return "item"
    return "call" if toolbox.find(APPROVAL) else None


def _text(output: str | Iterable[Mapping[str, Any]]) -> str:
    return output if isinstance(output, str) else "".join(part.get("text", "") for part in output)
