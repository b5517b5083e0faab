"""The errors that clients of agents receive."""

from __future__ import annotations

from bridge.errors import MODEL_NOT_FOUND, ApiError, invalid_request, retry_after


def sandbox_unavailable(reason: str) -> ApiError:
    """Return a 503: Codex cannot confine the commands of an agent on this machine, so no agent runs."""
    message = (
        f"No agent can run on this machine, because the sandbox of Codex does not work here: {reason}. "
        "docs/agents.md says what it needs."
    )
    return ApiError(503, "server_error", "sandbox_unavailable", message)


def workspace_missing(name: str, folder: str) -> ApiError:
    """Return a 503: the folder of an agent is gone."""
    message = f"The folder of the agent {name!r} does not exist any more: {folder}. Restore it, or restart the server."
    return ApiError(503, "server_error", "workspace_missing", message)


def conversation_busy() -> ApiError:
    """Return a 409: an agent still works on the previous request of this conversation."""
    message = "The agent still works on an earlier request of this conversation. Wait for its answer, or cancel it."
    return ApiError(409, "invalid_request_error", "conversation_busy", message)


def approval_expired() -> ApiError:
    """Return a 409: the request answers questions or calls of an agent that does not wait for them (any more)."""
    message = (
        "The agent does not wait for this approval or output (any more): it was answered before, it waited too long "
        "(--thread-age), it was stopped, or the server was restarted. Nothing was done. Send a new message of the user "
        "to go on."
    )
    return ApiError(409, "invalid_request_error", "approval_expired", message)


def agent_stopped() -> ApiError:
    """Return a 409: the turn of the agent was stopped on the status page."""
    message = "The agent was stopped on the status page of the server. Send a new message of the user to go on."
    return ApiError(409, "invalid_request_error", "agent_stopped", message)


def agent_turn_not_found(turn_id: str) -> ApiError:
    """Return a 404: no agent works on this turn, or it belongs to another key."""
    message = f"No agent works on the turn {turn_id!r}; it may have ended."
    return ApiError(404, "invalid_request_error", "turn_not_found", message)


def workspace_busy(name: str, seconds: float) -> ApiError:
    """Return a 429: another answer is being made that may change the files in the agent's folder."""
    message = (
        f"The agent {name!r} may change files, so it works on one answer at a time, and it has been busy for "
        f"{seconds:g} seconds (--queue-patience). Try again later."
    )
    return ApiError(429, "rate_limit_error", "workspace_busy", message, headers=retry_after(seconds))


def no_such_agent(name: str, available: list[str]) -> ApiError:
    """Return a 404: the requested model can only be an agent, and there is no such agent."""
    known = f"This server has: {', '.join(available)}." if available else "This server has no agents."
    message = f"There is no agent {name!r}. {known} Agents are set up with --agent NAME=FOLDER, see docs/agents.md."
    return ApiError(404, "invalid_request_error", MODEL_NOT_FOUND, message, "model")


def not_for_agents(what: str, param: str) -> ApiError:
    """Return a 400: the request asks for something that agents do not have."""
    return invalid_request(f"An agent does not support {what}.", param, "unsupported_value")
