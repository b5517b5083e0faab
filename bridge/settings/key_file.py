"""Checks the API key, and reads it from a file that only its owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def checked_key(text: str) -> str:
    """Return a key without surrounding white space.

    Raises:
        ValueError: it is empty, or no client could send it in a header.
    """
    key = text.strip()
    if not key:
        raise ValueError("the key is empty")
    if not (key.isascii() and key.isprintable()):
        raise ValueError("the key has characters outside printable ASCII, which no client can send in a header")
    return key


def read_private(path: Path) -> str:
    """Return the text of a file.

    Raises:
        ValueError: the file cannot be read, or other users may access it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if os.name == "posix" and mode & 0o077:
        raise ValueError(f"other users may access {path} (mode {mode:04o}); run `chmod 600 {path}`")
    return text


def read_key(path: Path) -> str:
    """Return the key, without surrounding white space.

    Raises:
        ValueError: the file cannot be read, holds no key that can be used, or other users may access it.
    """
    text = read_private(path)
    try:
        return checked_key(text)
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {error}") from None
