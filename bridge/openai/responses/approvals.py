"""The answers to requests for approval in the `input` of a request.

Source: the OpenAI API reference, "MCP and connectors", approvals.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from bridge.conversation.events import Asked
from bridge.openai.responses.object import ResponseFrame
from bridge.openai.responses.whole_items import WholeItem

_ID = re.compile(r"mcpr_[0-9a-f]{32}_(.+)")
"""The id of an item that asks; its end is the id of the question."""


def approval_request(asked: Asked, frame: ResponseFrame) -> WholeItem:
    """Return the item that asks."""
    item = {
        "id": frame.item_id("mcpr", asked.approval_id),
        "type": "mcp_approval_request",
        "server_label": asked.server,
        "name": asked.name,
        "arguments": json.dumps(asked.arguments, ensure_ascii=False),
    }
    return WholeItem(item, (), item)


def approval_answers(values: Sequence[Any]) -> dict[str, bool]:
    """Return what values that were read say to questions: the id of the question → whether it is accepted.

    An answer to a question that is not from here has its whole id.
    """
    answers: dict[str, bool] = {}
    for value in values:
        match value:
            case {"type": "mcp_approval_response", "approval_request_id": str(asked), "approve": bool(accepted)}:
                ours = _ID.fullmatch(asked)
                answers[ours[1] if ours else asked] = accepted
            case _:
                pass
    return answers
