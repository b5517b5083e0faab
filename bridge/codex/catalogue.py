"""Makes a Codex thread behave like the plain model: codex's switches and the model catalogue.

Each setting prevents codex from adding to the model's input or from cutting or rewriting the client's text.
docs/architecture.md says how each was found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.codex.config import to_toml
from bridge.codex.models import NAMED, reverse

UNBOUNDED = 1_000_000_000
"""A number of tokens or bytes that no request reaches; codex neither truncates nor compacts below it."""

_OFF = {"enabled": False}

_FEATURES_OFF = (
    "apps",
    "browser_use",
    "code_mode_host",
    "computer_use",
    "default_mode_request_user_input",
    "goals",
    "hooks",
    "image_generation",
    "memories",
    "multi_agent",
    "plugins",
    "remote_plugin",
    "shell_snapshot",
    "shell_tool",
    "skill_search",
    "sleep_tool",
    "tool_suggest",
    "unified_exec",
    "unified_image_budget",  # replaces the client's detail of every image by `original`
    "view_image",
    "workspace_dependencies",
)


_OF_NAMED: Mapping[str, Any] = {
    "description": "",
    "upgrade": None,
    # As codex had it while these models were in its catalogue: it then sends `original` as `high`.
    "supports_image_detail_original": False,
}
"""How the named models differ from the newer model whose metadata they get."""

_SWITCHES: Mapping[str, Any] = {
    "notify": [],
    "thread_unload_delay_secs": 1,
    # No silent truncation of tool outputs and no compaction.
    "tool_output_token_limit": UNBOUNDED,
    "model_context_window": UNBOUNDED,
    "model_auto_compact_token_limit": UNBOUNDED,
    "model_post_turn_compact_threshold_percent": 0,
    # No text from codex, and none from a folder above the working directory.
    "project_root_markers": [],
    "project_doc_max_bytes": 0,
    "include_environment_context": False,
    "include_permissions_instructions": False,
    "include_apps_instructions": False,
    "include_collaboration_mode_instructions": False,
    "skills": {"include_instructions": False, "bundled": _OFF},
    # No reasoning summary unless the client requests one.
    "model_reasoning_summary": "none",
}


def command_line(
    codex: str, catalogue: str, overruled: Mapping[str, Any] | None = None, features: Mapping[str, bool] | None = None
) -> list[str]:
    """Return the command that starts app-server; its settings override every config.toml.

    `catalogue` is the path of the rewritten catalogue. `overruled` and `features` replace settings of configuration
    that this server does not write.
    """
    # Set here because the `features` in a thread's config would replace these.
    off = dict.fromkeys(_FEATURES_OFF, False)
    values = {
        **_SWITCHES,
        **(overruled or {}),
        "features": {**(features or {}), **off},
        "model_catalog_json": catalogue,
    }
    options = [option for key, value in values.items() for option in ("-c", f"{key}={to_toml(value)}")]
    return [codex, "app-server", *options]


def read_catalogue(printed: bytes) -> list[dict[str, Any]]:
    """Read the JSON catalogue that `codex debug models` prints, and add the named models that it no longer has.

    Raises:
        ValueError: `printed` is not a catalogue.
    """
    catalogue: Any = json.loads(printed)
    try:
        models: list[dict[str, Any]] = [{**model} for model in catalogue["models"]]
        slugs = {model["slug"] for model in models}
        pattern = next(model for model in models if not model.get("use_responses_lite"))
    except (KeyError, TypeError, StopIteration) as error:
        raise ValueError(f"not a model catalogue: {error!r}") from error
    return models + [
        {**pattern, "slug": slug, "display_name": slug, **_OF_NAMED} for slug in NAMED if slug not in slugs
    ]


def plain_catalogue(models: Sequence[Mapping[str, Any]]) -> bytes:
    """Rewrite a catalogue for our own codex, as JSON."""
    return json.dumps({"models": [_plain(model) for model in models]}).encode()


def client_models(models: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return a catalogue for Codex CLIs that are clients of this server: each model under both of its names."""
    return [{**model, "slug": name} for model in models for name in (model["slug"], reverse(model["slug"]))]


def _plain(model: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **model,
        # No tool, role or text from codex.
        "tool_mode": "direct",
        "multi_agent_version": "disabled",
        "apply_patch_tool_type": None,
        "experimental_supported_tools": [],
        "supports_search_tool": False,
        # Without codex's preference for short answers, the upstream's default applies.
        "default_verbosity": None,
        # No silent truncation of tool outputs and no compaction.
        "truncation_policy": {"mode": "bytes", "limit": UNBOUNDED},
        "context_window": UNBOUNDED,
        "max_context_window": UNBOUNDED,
        "auto_compact_token_limit": UNBOUNDED,
    }
