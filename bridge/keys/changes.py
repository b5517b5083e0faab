"""Adds and revokes keys in their file.

1. The file is replaced as a whole, so that a server never reads a half of it.
2. The unfinished file is also the lock: of two commands that change the keys, the second one waits.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bridge.keys.file import KeysError, as_toml, read_keys
from bridge.keys.key import NamedKey, check_name, hash_of

LOCK_PATIENCE = 5.0
"""Seconds to wait for another command that changes the keys."""


def add_key(
    path: Path,
    name: str,
    *,
    expires: datetime | None = None,
    tokens_per_day: int | None = None,
    models: tuple[str, ...] = (),
    agents: tuple[str, ...] = (),
) -> str:
    """Add a key and return it; it can never be read again. Arguments as the fields of `NamedKey`.

    Raises:
        KeysError: the name is taken or invalid, or the file cannot be read or written.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise KeysError(str(error)) from None
    text, salt = f"sk-{secrets.token_hex(32)}", secrets.token_bytes(16)
    created = datetime.now(UTC).replace(microsecond=0)
    new = NamedKey(
        name, secrets.token_hex(8), salt, hash_of(text, salt), created, expires, tokens_per_day, models, agents
    )

    def add(keys: dict[str, NamedKey]) -> None:
        if name in keys:
            raise KeysError(f"there is a key {name!r} already; revoke it first, or choose another name")
        keys[name] = new

    _change(path, add)
    return text


def revoke_key(path: Path, name: str) -> None:
    """Remove a key.

    Raises:
        KeysError: there is no such key, or the file cannot be read or written.
    """

    def remove(keys: dict[str, NamedKey]) -> None:
        if keys.pop(name, None) is None:
            raise KeysError(f"there is no key {name!r}; the keys are: {', '.join(sorted(keys)) or 'none'}")

    _change(path, remove)


def _change(path: Path, change: Callable[[dict[str, NamedKey]], None]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _replacement(path) as file:
            keys = read_keys(path)
            change(keys)
            os.write(file, as_toml(keys).encode())
            os.fsync(file)
    except OSError as error:
        raise KeysError(f"the keys in {path} cannot be changed: {error.strerror or error}") from None


@contextmanager
def _replacement(path: Path) -> Generator[int]:
    """Yield the descriptor of a new file, which replaces the file unless the block fails."""
    new = path.with_name(path.name + ".new")
    file = _create(new, time.monotonic() + LOCK_PATIENCE)
    try:
        try:
            yield file
        finally:
            os.close(file)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _create(new: Path, until: float) -> int:
    while True:
        try:
            return os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if time.monotonic() >= until:
                message = f"another command is changing the keys; if none is running, delete {new}"
                raise KeysError(message) from None
            time.sleep(0.02)
