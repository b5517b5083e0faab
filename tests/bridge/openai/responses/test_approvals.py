from __future__ import annotations

from typing import Any

import pytest

from bridge.conversation.events import Asked
from bridge.openai.responses.approvals import Decision, approval_answers, approval_request
from bridge.openai.responses.object import ResponseFrame

KEY = "0123456789abcdef" * 2
YES, NO = Decision(approve=True), Decision(approve=False)


def response(asked: object, approve: object) -> dict[str, Any]:
    return {"type": "mcp_approval_response", "approval_request_id": asked, "approve": approve}


@pytest.mark.parametrize(
    ("values", "answers"),
    [
        ([], {}),
        ([response(f"mcpr_{KEY}_turn_1-0", True)], {"turn_1-0": YES}),
        (
            [response(f"mcpr_{KEY}_a", True), {"role": "user", "content": "Hi."}, response(f"mcpr_{KEY}_b", False)],
            {"a": YES, "b": NO},
        ),
        ([response(f"mcpr_{KEY}_a", True), response(f"mcpr_{KEY}_a", False)], {"a": NO}),
        ([response("a", False) | {"reason": " Not now.\n"}], {"a": Decision(approve=False, words="Not now.")}),
        ([response("a", True) | {"reason": "Go on."}, response("b", False) | {"reason": None}], {"a": YES, "b": NO}),
        ([response("mcpr_other", True)], {"mcpr_other": YES}),
        ([response(f"mcpr_{KEY}_a", 1), 5, "text", {"type": "mcp_call"}], {}),
    ],
)
def test_the_answers_to_questions_are_found_in_the_input(values: list[Any], answers: dict[str, Decision]):
    assert approval_answers(values) == answers


@pytest.mark.parametrize(("server", "name"), [("codex", "shell"), ("files", "files.shell")])
def test_every_question_has_the_label_that_the_client_declares(server: str, name: str):
    frame = ResponseFrame(KEY, 1, lambda: 1, {}, encrypted=False)
    item = approval_request(Asked("turn-0", "", server, "shell", {"reason": "é"}), frame).done
    assert item == {
        "id": f"mcpr_{KEY}_turn-0",
        "type": "mcp_approval_request",
        "server_label": "codex",
        "name": name,
        "arguments": '{"reason": "é"}',
    }
