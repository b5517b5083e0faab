"""The keys of a running server: read again when their file changes, and ended at once when one is revoked."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio

from bridge.errors import key_revoked
from bridge.keys.file import OWN_KEY, KeysError, read_keys
from bridge.keys.key import NamedKey
from bridge.settings.key_file import read_key

logger = logging.getLogger(__name__)

LOOK = 0.5
"""Seconds between two checks whether the file has changed or a key has expired; each request checks as well."""

SCOPE = "codex_proxy.key"
"""The key of an ASGI scope for the `LiveKey` with which a client was admitted."""


class LiveKey:
    """A named key, and the answers that run with it."""

    def __init__(self, key: NamedKey) -> None:
        self.key = key
        """Its current limits, which can change."""
        self.revoked = anyio.Event()
        """Set when it is revoked or has expired."""
        self._answers: set[anyio.CancelScope] = set()

    @property
    def id(self) -> str:
        return self.key.id

    @property
    def name(self) -> str:
        return self.key.name

    @contextmanager
    def until_revoked(self) -> Generator[anyio.CancelScope]:
        """Cancel the block when the key is revoked."""
        with anyio.CancelScope() as scope:
            self._answers.add(scope)
            if self.revoked.is_set():
                scope.cancel()
            try:
                yield scope
            finally:
                self._answers.discard(scope)

    def check(self) -> None:
        """Raise ApiError (401) if the key is revoked."""
        if self.revoked.is_set():
            raise key_revoked(self.name)

    def revoke(self) -> None:
        """End the answers that run with this key."""
        self.revoked.set()
        for scope in tuple(self._answers):
            scope.cancel()


class Keys:
    """The server's own key, and the named keys in a file."""

    def __init__(self, own: str | None = None, path: Path | None = None, now: Callable[[], float] = time.time) -> None:
        """Read the file; `now` returns the time in epoch seconds.

        Raises:
            KeysError: the file cannot be used.
        """
        self.required = own is not None
        """Whether a request needs a key. Once true, it remains so: deleting the file does not open the server."""
        self.named: dict[str, LiveKey] = {}
        """The named keys that are valid now, by name."""
        self.own = own
        """The server's own key, which may do everything. None: it is in the file `api-key` beside the named keys, or
        there is none."""
        self._own_is_set = own is not None
        self._path = path
        self._now = now
        self._seen: object = None if path is None else _state(path)
        if path is not None and self._seen is not None:
            self._read(path)

    def find(self, sent: str) -> LiveKey | None:
        """Return the named key that a client sent; None if there is none, or if it has ended.

        All keys are compared, so that the time does not tell which one comes close.
        """
        self.refresh()
        found = [key for key in self.named.values() if key.key.matches(sent)]
        return found[0] if found else None

    def refresh(self) -> None:
        """Read the file again if it has changed, and end the keys that have expired.

        A file that cannot be used is logged, and the keys remain as they were.
        """
        if self._path is not None and (state := _state(self._path)) != self._seen:
            self._seen = state
            if state is None:
                logger.warning("%s is gone: no named key is valid, and every request still needs a key", self._path)
            elif not self.required:
                logger.info("there are named keys in %s: every request needs a key from now on", self._path)
            try:
                self._read(self._path)
            except KeysError as error:
                logger.error("%s. Until then the keys remain as they were", error)
        for key in [key for key in self.named.values() if key.key.has_expired(self._now())]:
            self._end(key, "has expired")

    async def watch(self) -> None:
        """Refresh the keys until cancelled."""
        while True:
            self.refresh()
            await anyio.sleep(LOOK)

    def _read(self, path: Path) -> None:
        keys = read_keys(path)
        own = self.own if self._own_is_set else _own_key(path.with_name(OWN_KEY))
        self.own, self.required = own, True
        for name, key in tuple(self.named.items()):
            if name not in keys or keys[name].hash != key.key.hash:
                self._end(key, "was revoked")
        now = self._now()
        for name, key in keys.items():
            if not key.has_expired(now) or name in self.named:
                self.named.setdefault(name, LiveKey(key)).key = key

    def _end(self, key: LiveKey, why: str) -> None:
        logger.info("the key %s %s", key.name, why)
        del self.named[key.name]
        key.revoke()


def key_of(scope: Mapping[str, Any]) -> LiveKey | None:
    """Return the named key with which a client was admitted; None for the server's own key, and without keys."""
    return scope.get(SCOPE)


def id_of(scope: Mapping[str, Any]) -> str | None:
    """Return the id of that key."""
    key = key_of(scope)
    return None if key is None else key.id


def name_of(scope: Mapping[str, Any]) -> str | None:
    """Return the name of that key."""
    key = key_of(scope)
    return None if key is None else key.name


def _state(path: Path) -> object:
    """Return a value that changes with the file; None if it does not exist."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a third of the time, for each request
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode


def _own_key(path: Path) -> str | None:
    try:
        return read_key(path) if path.exists() else None
    except ValueError as error:
        raise KeysError(f"the server's own key: {error}") from None
