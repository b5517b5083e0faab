"""The program's own folders, where each operating system expects them."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_config_path, user_state_path

PROGRAM = "codex-openai-proxy"


def settings_folder() -> Path:
    """Return the folder of what a person sets: settings, the API key, the tunnel's configuration."""
    return user_config_path(PROGRAM, appauthor=False, roaming=True)


def state_folder() -> Path:
    """Return the folder of what the program keeps for itself: stored responses, codex's private home."""
    return user_state_path(PROGRAM, appauthor=False)
