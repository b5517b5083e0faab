"""Which kind of service this system has, and what it would run."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from bridge.config import PROGRAM
from bridge.service.interface import Service

STANDARD_PATH = {
    "darwin": ("~/.local/bin", "/opt/homebrew/bin", "/usr/local/bin", "/usr/bin", "/bin"),
    "linux": ("~/.local/bin", "~/.npm-global/bin", "/usr/local/bin", "/usr/bin", "/bin"),
}
"""Folders in which programs are usually installed."""


def this_service() -> Service:
    """Return the service of this system. Its module is imported only here: each is for one system."""
    match sys.platform:
        case "darwin":
            from bridge.service.launchd import Launchd  # noqa: PLC0415

            return Launchd()
        case "win32":
            from bridge.service.task_scheduler import TaskScheduler  # noqa: PLC0415

            return TaskScheduler()
        case _:
            from bridge.service.systemd import Systemd  # noqa: PLC0415

            return Systemd()


def this_program() -> list[str]:
    """Return the command line of the program that runs now."""
    program = Path(sys.argv[0]).absolute()
    return [str(program)] if program.stem == PROGRAM else [sys.executable, "-m", "bridge"]


def search_path(program: str) -> list[str]:
    """Return the folders of the program and of today's codex and cloudflared, then those where programs usually are."""
    found = [shutil.which(name) for name in ("codex", "cloudflared")]
    folders = [str(Path(one).absolute().parent) for one in (program, *found) if one]
    return [*dict.fromkeys((*folders, *map(os.path.expanduser, STANDARD_PATH.get(sys.platform, ()))))]
