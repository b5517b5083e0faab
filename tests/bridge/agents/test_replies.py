from __future__ import annotations

from typing import Any

import pytest

from bridge.agents.replies import Replies, read_replies, way_of
from bridge.conversation.prompt import function_call, function_call_output, message
from bridge.conversation.tools import Tool, Toolbox
from bridge.openai.responses.approvals import Decision

KEY = "0123456789abcdef" * 2
USER = message("user", "Hi.")
CALL = function_call("turn-0", "codex_approval", "{}")
ASKED = {"type": "mcp_approval_request", "id": f"mcpr_{KEY}_turn-1", "name": "shell", "arguments": "{}"}

ITEM = {"turn-1": ASKED["id"]}
YES, NO = Decision(approve=True), Decision(approve=False)


def said(approve: bool, **more: Any) -> dict[str, Any]:
    return {"type": "mcp_approval_response", "approval_request_id": f"mcpr_{KEY}_turn-1", "approve": approve, **more}


def output(text: Any) -> Any:
    return function_call_output("turn-0", text)


@pytest.mark.parametrize(
    ("items", "own", "earlier", "expected"),
    [
        ([USER], [USER], [], Replies("item")),
        (
            [USER, CALL, output("yes")],
            [],
            [],
            Replies("item", ("turn-0",), {"turn-0": YES}, {}, {"turn-0": "yes"}, is_last=True),
        ),
        (
            [USER, CALL, output([{"type": "input_text", "text": "no"}]), USER],
            [],
            [],
            Replies("item", ("turn-0",), {"turn-0": NO}, {}, {"turn-0": [{"type": "input_text", "text": "no"}]}),
        ),
        ([USER], [said(True)], [ASKED], Replies("item", ("turn-1", "turn-1"), {"turn-1": YES}, ITEM, is_last=True)),
        ([USER, USER], [said(False), USER], [], Replies("item", ("turn-1",), {"turn-1": NO}, ITEM)),
        (
            [USER],
            [said(False, reason=" Not there.\n")],
            [ASKED],
            Replies(
                "item",
                ("turn-1", "turn-1"),
                {"turn-1": Decision(approve=False, words="Not there.")},
                ITEM,
                is_last=True,
            ),
        ),
        ([USER], [said(True, reason="Fine.")], [], Replies("item", ("turn-1",), {"turn-1": YES}, ITEM, is_last=True)),
        ([USER, USER], [said(False, reason=None), USER], [], Replies("item", ("turn-1",), {"turn-1": NO}, ITEM)),
        ([USER, USER], [USER], [USER, ASKED], Replies("item", ("turn-1",), {}, ITEM)),
        # An answer that the server has stored was given to an earlier request.
        ([USER, USER], [USER], [ASKED, said(True)], Replies("item", ("turn-1", "turn-1"), {}, ITEM)),
    ],
)
def test_questions_and_answers_are_read_in_both_forms(
    items: list[Any], own: list[Any], earlier: list[Any], expected: Replies
) -> None:
    assert read_replies("item", items, own, earlier) == expected


def test_a_client_is_asked_as_it_declares() -> None:
    declared = Toolbox((Tool.function("codex_approval", "", {}),))
    assert way_of(declared) == "call"
    assert way_of(declared, by_item=True) == "item"
    assert way_of(Toolbox((Tool.function("other", "", {}),))) is None
