"""What codex adds to a request is found wherever the model reads."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.conversation.foreign_text import foreign_text
from bridge.conversation.prompt import message

OURS = [message("user", "Our own text."), {"description": "Our tool does this."}]
TOOL = {"type": "function", "name": "ours", "description": "Our tool does this.", "parameters": {"type": "object"}}
BODY: dict[str, Any] = {"model": "m", "instructions": "", "input": [message("user", "Our own text.")], "tools": [TOOL]}
NAMES = frozenset({"ours", "functions"})


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"instructions": None, "tools": None, "client_metadata": {"note": "not read by the model"}}, []),
        (
            {
                "input": [
                    {"type": "additional_tools", "tools": [{"type": "namespace", "name": "functions", "tools": [TOOL]}]}
                ]
            },
            [],
        ),
        ({"instructions": "You are a coding agent."}, ["You are a coding agent."]),
        ({"input": [message("developer", "<skills>\nnone")]}, ["<skills>\nnone"]),
        ({"input": [message("user", "Our own text. And more.")]}, ["Our own text. And more."]),
        ({"tools": [TOOL, {"type": "function", "name": "exec"}]}, ["the tool exec"]),
        ({"tools": [TOOL, {"type": "web_search"}]}, ["the tool web_search"]),
        ({"tools": [{**TOOL, "description": "Our tool does this, and that."}]}, ["Our tool does this, and that."]),
        (
            {"input": [{"type": "additional_tools", "tools": [{"type": "namespace", "name": "web", "tools": [TOOL]}]}]},
            ["the tool web"],
        ),
    ],
)
def test_only_text_and_tools_of_others_are_found(change: dict[str, Any], found: list[str]) -> None:
    assert foreign_text({**BODY, **change}, OURS, NAMES) == found
