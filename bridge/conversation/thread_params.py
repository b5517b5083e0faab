"""Start parameters of a thread whose model input consists only of injected items."""

from __future__ import annotations

from typing import Any

from bridge.conversation.prompt import Prompt

_OFF = {"enabled": False}

_TOOLS_OFF = {"experimental_request_user_input": _OFF, "update_plan": _OFF}


def thread_start_params(prompt: Prompt, cwd: str) -> dict[str, Any]:
    """Return the ThreadStartParams of a thread whose model input consists only of injected items.

    `cwd` is an empty directory. The effort is part of the thread's config, so that it already applies to the warm-up
    request that codex sends when the thread starts.
    """
    config: dict[str, Any] = {"web_search": "disabled", "tools": _TOOLS_OFF}
    if prompt.toolbox.web_search is not None:
        settings = {**prompt.toolbox.web_search}
        config = {"web_search": settings.pop("mode"), "tools": {**_TOOLS_OFF, "web_search": settings}}
    if prompt.effort is not None:
        config["model_reasoning_effort"] = prompt.effort
    if prompt.summary is not None:
        config["model_reasoning_summary"] = prompt.summary
    if prompt.verbosity is not None:
        config["model_verbosity"] = prompt.verbosity
    return {
        "model": prompt.model,
        "cwd": cwd,
        "ephemeral": True,
        "environments": [],
        "sandbox": "read-only",
        "approvalPolicy": "never",
        "baseInstructions": "",
        "developerInstructions": "",
        "experimentalRawEvents": True,
        "serviceTier": prompt.tier,
        "dynamicTools": prompt.toolbox.specs(),
        "config": config,
    }
