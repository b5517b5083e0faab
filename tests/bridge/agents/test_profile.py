from __future__ import annotations

from typing import Any

import pytest

from bridge.agents.profile import READING, WORKING, Surroundings, permissions, thread_params, turn_params
from bridge.config import AgentSettings, Ask

AROUND = Surroundings(
    ("/codex",), ("/skills",), ("/home/auth.json",), {"mcp_servers": {"mine": {"command": "x"}}}, "/bin"
)


def files(**may: Any) -> dict[str, Any]:
    return permissions(AgentSettings("site", "/srv/site", **may), AROUND)["filesystem"]


def test_an_agent_reads_its_folder_and_what_codex_needs() -> None:
    assert files() == {
        ":minimal": "read",
        "/codex": "read",
        "/skills": "read",
        ":workspace_roots": {".": "read"},
        "/home/auth.json": "deny",
    }


@pytest.mark.parametrize("read", [("/",), ("/home/auth.json",)])
def test_secrets_are_denied_whatever_may_be_read(read: tuple[str, ...]) -> None:
    assert files(read=read)["/home/auth.json"] == "deny"


def test_a_thread_is_opened_with_read_access_and_a_turn_gets_the_rest() -> None:
    agent = AgentSettings("site", "/srv/site", write=True, git=True, network=True)
    params = thread_params(agent, AROUND, "gpt-6")
    profiles = params["config"]["permissions"]
    assert params["permissions"] == READING
    assert profiles[READING]["filesystem"][":workspace_roots"] == {".": "read"}
    assert turn_params("never")["permissions"] == WORKING
    assert profiles[WORKING]["filesystem"][":workspace_roots"] == {".": "write", ".git": "write"}
    assert profiles[WORKING]["network"] == {"enabled": True}


@pytest.mark.parametrize(
    ("ask", "policy", "reviewer"),
    [("never", "never", "user"), ("client", "on-request", "user"), ("auto", "on-request", "auto_review")],
)
def test_each_turn_says_who_decides_about_more(ask: Ask, policy: str, reviewer: str) -> None:
    params = turn_params(ask)
    assert (params["approvalPolicy"], params["approvalsReviewer"]) == (policy, reviewer)


def test_a_model_that_writes_scripts_calls_the_tools_of_the_client_directly() -> None:
    agent = AgentSettings("site", "/srv/site")
    features = thread_params(agent, AROUND, None, ("client", "client__crm"))["config"]["features"]
    assert features["code_mode"] == {"direct_only_tool_namespaces": ["client", "client__crm"]}
    assert "code_mode" not in thread_params(agent, AROUND, None)["config"]["features"]


def test_mcp_servers_of_the_user_can_be_switched_off() -> None:
    on, off = (thread_params(AgentSettings("site", "/srv", mcp=mcp), AROUND, None) for mcp in (True, False))
    assert "mcp_servers" not in on["config"]
    assert off["config"]["mcp_servers"]["mine"]["enabled"] is False
    assert "model" not in on
