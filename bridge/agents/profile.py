"""What an agent may do: the parameters of its threads and turns.

1. The request chooses nothing here but the names of its tools; everything else comes from the agent's settings.
2. Codex forgets these parameters when it unloads a thread, so every start, resume and fork has all of them.
3. Commands see only the workspace, the system's programs and what Codex itself needs, unless `read` adds more.
4. The login, this program's settings and its data are denied in every profile.
5. A thread is opened with read access alone, and each turn gets the rest. Codex would otherwise trust the workspace:
   note that in the user's config.toml, and start the MCP servers of the workspace's own configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bridge.codex.config import switched_off
from bridge.config import AgentSettings, Ask

READING = "codex-openai-proxy-reading"
"""The id of the permission profile with which a thread is opened."""

WORKING = "codex-openai-proxy"
"""The id of the permission profile of a turn."""

_FEATURES = {"goals": False, "sleep_tool": False}
"""What would let codex work on by itself after a turn, or wait for hours in one."""

_WITHOUT_MCP = {"apps": False, "plugins": False}
"""What brings MCP servers in addition to those of the configuration."""

_ENVIRONMENT = {"inherit": "core", "exclude": ["*KEY*", "*TOKEN*", "*SECRET*", "*PASSWORD*"]}
"""Commands do not get the server's environment but for the core of it."""


class Surroundings(Struct, frozen=True):
    """What is the same for all agents of a server; all paths are real ones."""

    programs: tuple[str, ...]
    """What codex needs to start a command in its sandbox: the folder of its executable and of its helpers."""
    skills: tuple[str, ...]
    """The folders of the user's skills, which codex names to the model."""
    secrets: tuple[str, ...]
    """The files and folders that no agent may read."""
    config: Mapping[str, Any]
    """Codex's effective configuration."""
    path: str
    """The PATH of commands."""


def thread_params(
    agent: AgentSettings, around: Surroundings, model: str | None, client_namespaces: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the parameters that a start, a resume and a fork have in common.

    `model` None is codex's default. `client_namespaces` are those of the client's tools.
    """
    reading = replace(agent, write=False, git=False)
    features: dict[str, Any] = {**_FEATURES, **({} if agent.mcp else _WITHOUT_MCP)}
    if client_namespaces:
        # A model that calls tools from scripts calls those of the client directly.
        features["code_mode"] = {"direct_only_tool_namespaces": list(client_namespaces)}
    config: dict[str, Any] = {
        "permissions": {READING: permissions(reading, around), WORKING: permissions(agent, around)},
        "features": features,
        "tools": {"update_plan": {"enabled": True}},
        "shell_environment_policy": {**_ENVIRONMENT, "set": {"PATH": around.path}},
    }
    if not agent.mcp:
        servers: Mapping[str, Any] = around.config.get("mcp_servers") or {}
        config["mcp_servers"] = {name: switched_off(server) for name, server in servers.items()}
    params: dict[str, Any] = {
        "cwd": agent.folder,
        "permissions": READING,
        "approvalPolicy": "never",
        "config": config,
    }
    return params if model is None else {**params, "model": model}


def turn_params(ask: Ask) -> dict[str, Any]:
    """Return the parameters of a turn, which gives the agent all that its settings allow.

    `ask` says who decides about more than that. Codex keeps the parameters for later turns, so each turn has them all.
    """
    policy = "never" if ask == "never" else "on-request"
    reviewer = "auto_review" if ask == "auto" else "user"
    return {"permissions": WORKING, "approvalPolicy": policy, "approvalsReviewer": reviewer}


def permissions(agent: AgentSettings, around: Surroundings) -> dict[str, Any]:
    """Return the permission profile of an agent, as codex's configuration has it."""
    workspace: dict[str, str] = {".": "write" if agent.write else "read"}
    if agent.git:
        workspace[".git"] = "write"
    readable: Sequence[str] = (*around.programs, *around.skills, *agent.read)
    files: dict[str, Any] = {":minimal": "read", **dict.fromkeys(readable, "read"), ":workspace_roots": workspace}
    profile: dict[str, Any] = {"filesystem": files | dict.fromkeys(around.secrets, "deny")}
    return {**profile, "network": {"enabled": True}} if agent.network else profile
