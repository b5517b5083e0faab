"""Requests for approval as items of a response, and the answers to them in the `input` of the next request.

Source: the OpenAI API reference, "MCP and connectors", approvals.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from bridge.conversation.events import Asked
from bridge.openai.responses.object import ResponseFrame
from bridge.openai.responses.whole_items import WholeItem

LABEL = "codex"
"""The label of the only MCP server that a request to an agent can declare: Codex itself."""

_ID = re.compile(r"mcpr_[0-9a-f]{32}_(.+)")
"""The id of an item that asks; its end is the id of the question."""


class Decision(Struct, frozen=True):
    """What a client says to a question."""

    approve: bool
    words: str = ""
    """Why it declines, or what is to be done instead, for the model; empty if it says no more than no."""


def approval_request(asked: Asked, frame: ResponseFrame) -> WholeItem:
    """Return the item that asks; clients know no label but the declared one, so a tool's server is in its name."""
    item = {
        "id": frame.item_id("mcpr", asked.approval_id),
        "type": "mcp_approval_request",
        "server_label": LABEL,
        "name": asked.name if asked.server == LABEL else f"{asked.server}.{asked.name}",
        "arguments": json.dumps(asked.arguments, ensure_ascii=False),
    }
    return WholeItem(item, (), item)


def is_approval_answer(value: Any) -> bool:
    """Return whether a value that was read is an answer."""
    match value:
        case {"type": "mcp_approval_response"}:
            return True
        case _:
            return False


def approval_questions(values: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """Yield the ids of the questions that values ask or answer, each with the id of the item that asks it."""
    for value in values:
        match value:
            case {"type": "mcp_approval_request", "id": str(asked)}:
                yield _question(asked), asked
            case {"type": "mcp_approval_response", "approval_request_id": str(asked)}:
                yield _question(asked), asked
            case _:
                pass


def approval_answers(values: Sequence[Any]) -> dict[str, Decision]:
    """Return what values that were read say to questions, by the id of the question."""
    answers: dict[str, Decision] = {}
    for value in values:
        match value:
            case {"type": "mcp_approval_response", "approval_request_id": str(asked), "approve": bool(approve)}:
                words = "" if approve else (value.get("reason") or "").strip()
                answers[_question(asked)] = Decision(approve, words)
            case _:
                pass
    return answers


def _question(item_id: str) -> str:
    """Return the id of the question that an item asks; an item that is not from here keeps its own."""
    ours = _ID.fullmatch(item_id)
    return ours[1] if ours else item_id
