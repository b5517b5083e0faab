"""The API key in a file of its own, which nobody but its owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_key(path: Path) -> str:
    """Return the key, without white space around it.

    Raises:
        ValueError: there is none, or others may read it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if os.name == "posix" and mode & 0o077:
        raise ValueError(f"others may read {path} (mode {mode:04o}); run `chmod 600 {path}`")
    if not key:
        raise ValueError(f"{path} is empty")
    return key
