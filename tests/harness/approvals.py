"""Questions of an agent in the Responses API, and their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.harness.agents import Said, runs
from tests.harness.proxy import Proxy
from tests.harness.script import Reply

CODEX: dict[str, Any] = {
    "type": "mcp",
    "server_label": "codex",
    "server_url": "http://localhost",
    "require_approval": "always",
}
OUTSIDE: dict[str, Any] = {"sandbox_permissions": "require_escalated", "justification": "May I?"}
"""The arguments by which the model asks to run a command outside of its sandbox."""


def writes(model: str, path: Path, *, before: tuple[Said, ...] = ()) -> Reply:
    """Return the reply of a model that wants to write a file outside of its sandbox."""
    return runs(model, f"echo written > {path}", before=before, **OUTSIDE)


async def respond(proxy: Proxy, given: Any, **fields: Any) -> Any:
    """Send a request to /responses in which the client says that it answers requests for approval."""
    body = {"model": "codex-agent", "input": given, "tools": [CODEX], **fields}
    return await proxy.client.post("/responses", json=body)


def asked(response: Any) -> list[dict[str, Any]]:
    """Return the questions of a response."""
    return [item for item in response.json()["output"] if item["type"] == "mcp_approval_request"]


def answers(response: Any, *approve: bool) -> list[dict[str, Any]]:
    """Return the answers to the questions of a response."""
    return [
        {"type": "mcp_approval_response", "approval_request_id": item["id"], "approve": one}
        for item, one in zip(asked(response), approve, strict=True)
    ]


def text_of(response: Any) -> str:
    """Return the text of a response."""
    messages = [item for item in response.json()["output"] if item["type"] == "message"]
    return "".join(part["text"] for item in messages for part in item["content"])


def expired(response: Any) -> bool:
    """Return whether a response says that the question does not wait any more."""
    return (response.status_code, response.json()["error"]["code"]) == (409, "approval_expired")
