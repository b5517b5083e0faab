"""The directories that codex runs in: an empty working directory, and a home without instructions to the model."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

INSTRUCTIONS = "AGENTS*.md"
"""Files of the home that codex shows to the model whatever its settings say."""

CREDENTIALS = "auth.json"
"""Linked even while it does not exist: a login writes it through the link into the real home. Never opened by us."""

OUR_SETTINGS = "CODEX_OPENAI_PROXY_"


def child_environment(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the environment of the codex child: the user's own, without our settings, with the home to use.

    The user's own home is not named: codex makes its usual one if there is none yet, and refuses a named one.
    """
    inherited = {name: value for name, value in environ.items() if not name.startswith(OUR_SETTINGS)}
    return inherited if home == real_home(environ) else {**inherited, "CODEX_HOME": str(home)}


def real_home(environ: Mapping[str, str]) -> Path:
    """Return the home that the user's own codex uses."""
    return Path(environ.get("CODEX_HOME") or Path.home() / ".codex")


def login_stamp(credentials: Path) -> object:
    """Return what changes whenever a login or a renewed token is written to the file; it is not opened."""
    try:
        status = credentials.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def home_without_instructions(real: Path, private: Path) -> Path:
    """Return `real`, or `private` filled with links to all of it but the instruction files, if it has such files.

    Links need no rights on Linux and macOS; on Windows, where symbolic links do, hard links and junctions serve.
    """
    if not any(real.glob(INSTRUCTIONS)):
        return real
    private.mkdir(mode=0o700, exist_ok=True)
    hidden = {path.name for path in real.glob(INSTRUCTIONS)}
    for name in sorted({path.name for path in real.iterdir()} | {CREDENTIALS}):
        link = private / name
        if name in hidden or os.path.lexists(link):
            continue
        _link(real / name, link)
    return private


def _link(target: Path, link: Path) -> None:
    try:
        link.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        if not target.exists():
            return
        try:
            _WINDOWS_LINKS[target.is_dir()](target, link)
        except OSError as error:
            logger.warning("%s is missing from codex's private home: it cannot be linked there: %s", target, error)


def _junction(target: Path, link: Path) -> None:
    winapi: Any = import_module("_winapi")  # exists on Windows alone
    winapi.CreateJunction(str(target), str(link))


def _hard_link(target: Path, link: Path) -> None:
    link.hardlink_to(target)


_WINDOWS_LINKS: Mapping[bool, Callable[[Path, Path], None]] = {True: _junction, False: _hard_link}
