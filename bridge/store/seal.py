"""Seals texts that clients keep for this server: only servers with the same key can read them, and notice changes.

A sealed text is a Fernet token: AES-128-CBC with an HMAC-SHA256 (https://github.com/fernet/spec).
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Protocol

from bridge.store.response import StoreError

KEY_LENGTH = 44
"""Characters of a key: 32 random bytes in URL-safe base64."""


class KeyStore(Protocol):
    """Stores the key of `Seal`."""

    async def key(self) -> bytes:
        """Return the key, which is the same for all servers that share the store; create it if there is none.

        Raises:
            StoreError: the store failed.
        """
        ...


class SealError(Exception):
    """The text was not sealed with this key, or it was changed."""


class Seal:
    """Seals and opens texts with one key."""

    def __init__(self, key: bytes) -> None:
        from cryptography.fernet import Fernet  # noqa: PLC0415 - most requests hold no sealed text

        self._fernet = Fernet(key)

    def close(self, text: str) -> str:
        """Return the sealed text, which is ASCII."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Return the text.

        Raises:
            SealError: it was sealed with another key, or was changed.
        """
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - as above

        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise SealError from None


def new_key() -> bytes:
    """Return a random key."""
    return base64.urlsafe_b64encode(os.urandom(32))


def key_in_file(path: Path) -> bytes:
    """Return the key in a file; create the file, readable only by its owner, if it does not exist.

    Callers make sure that no other server creates it at the same time.

    Raises:
        StoreError: the file cannot be read or written, or holds no key.
    """
    try:
        if not path.exists():
            _write_private(path, new_key())
        key = path.read_bytes().strip()
    except OSError as error:
        raise StoreError(f"the key of sealed texts {path} failed: {error}") from error
    if len(key) != KEY_LENGTH:
        raise StoreError(f"{path} holds no key; restore it, or delete it to get a new one")
    return key


def _write_private(path: Path, data: bytes) -> None:
    """Write a whole file or none."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    unfinished.replace(path)
