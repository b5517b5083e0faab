"""The files of a tunnel: the key that it needs and its configuration, in this program's own folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from bridge.config import settings_folder

KEY_FILE = settings_folder() / "api-key"
CONFIG = settings_folder() / "cloudflared.yml"
"""The configuration of the named tunnel. It is not cloudflared's own config.yml, which may serve other tunnels."""
QUICK_CONFIG = settings_folder() / "quick-tunnel.yml"
"""An empty configuration: cloudflared refuses a quick tunnel while it finds a config.yml of its own."""


def existing_config() -> Path | None:
    """Return the configuration of the named tunnel, if one has been set up."""
    return CONFIG if CONFIG.is_file() else None


def make_key(path: Path = KEY_FILE) -> None:
    """Write a new key that its owner alone may read, unless there is a file already.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"sk-{secrets.token_hex(24)}\n")
