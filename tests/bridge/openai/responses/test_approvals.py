from __future__ import annotations

from typing import Any

import pytest

from bridge.openai.responses.approvals import approval_answers

KEY = "0123456789abcdef" * 2


def response(asked: object, approve: object) -> dict[str, Any]:
    return {"type": "mcp_approval_response", "approval_request_id": asked, "approve": approve}


@pytest.mark.parametrize(
    ("values", "answers"),
    [
        ([], {}),
        ([response(f"mcpr_{KEY}_turn_1-0", True)], {"turn_1-0": True}),
        (
            [response(f"mcpr_{KEY}_a", True), {"role": "user", "content": "Hi."}, response(f"mcpr_{KEY}_b", False)],
            {"a": True, "b": False},
        ),
        ([response(f"mcpr_{KEY}_a", True), response(f"mcpr_{KEY}_a", False)], {"a": False}),
        ([response("mcpr_other", True)], {"mcpr_other": True}),
        ([response(f"mcpr_{KEY}_a", 1), 5, "text", {"type": "mcp_call"}], {}),
    ],
)
def test_the_answers_to_questions_are_found_in_the_input(values: list[Any], answers: dict[str, bool]):
    assert approval_answers(values) == answers
