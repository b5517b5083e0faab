"""Reads the API key from a file that only its owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_key(path: Path) -> str:
    """Return the key, without surrounding white space.

    Raises:
        ValueError: the file cannot be read, is empty, or other users may access it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if os.name == "posix" and mode & 0o077:
        raise ValueError(f"other users may access {path} (mode {mode:04o}); run `chmod 600 {path}`")
    if not key:
        raise ValueError(f"{path} is empty")
    return key
