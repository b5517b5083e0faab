"""The files of a tunnel, in this program's folder: the API key and the configuration."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from bridge.config import settings_folder
from bridge.tunnel.config import Config, parse_config
from bridge.tunnel.errors import TunnelError

KEY_FILE = settings_folder() / "api-key"
CONFIG = settings_folder() / "cloudflared.yml"
"""The configuration of the named tunnel; separate from cloudflared's config.yml, which may serve other tunnels."""
QUICK_CONFIG = settings_folder() / "quick-tunnel.yml"
"""An empty configuration; cloudflared refuses a quick tunnel if it finds its default config.yml."""


def existing_config() -> Path | None:
    """Return the path of the named tunnel's configuration, or None if no tunnel is set up."""
    return CONFIG if CONFIG.is_file() else None


def read_config(path: Path) -> Config:
    """Return the values of a tunnel's configuration.

    Raises:
        TunnelError: the file cannot be read, or is not a configuration.
    """
    try:
        return parse_config(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TunnelError(f"{path} cannot be read: {error}") from None


def make_key(path: Path = KEY_FILE) -> None:
    """Write a new key that only its owner can read, unless the file exists.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"sk-{secrets.token_hex(24)}\n")
