"""The processes that a child has started, at any depth, so that none of them outlives it.

A helper of codex may leave its process group and, once codex has ended, has no parent to be found by. Then its session,
which is that of codex, shows where it comes from; a process that began a session of its own must be noted before.
Only Linux shows processes as files; elsewhere nothing is found.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

_PROCESSES = Path("/proc")


class Descendant(Struct, frozen=True):
    """A process; its start time, in clock ticks since the system's start, tells it from a later one with its id."""

    pid: int
    started: int
    parent: int
    session: int


def descendants_of(pid: int) -> list[Descendant]:
    """Return the running processes below a process."""
    children: dict[int, list[Descendant]] = {}
    for process in _running():
        children.setdefault(process.parent, []).append(process)
    below: list[Descendant] = []
    parents = [pid]
    while parents:
        found = children.get(parents.pop(), [])
        below += found
        parents += [process.pid for process in found]
    return below


def members_of_session(leader: int) -> list[Descendant]:
    """Return the running processes of the session that a process has begun, which may have ended."""
    return [process for process in _running() if process.session == leader]


def kill_survivors(noted: Iterable[Descendant]) -> None:
    """Kill those of the processes that still run."""
    for process in noted:
        found = _read(_PROCESSES / str(process.pid))
        if found is not None and found.started == process.started:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)


def _running() -> Iterator[Descendant]:
    return filter(None, map(_read, _PROCESSES.glob("[0-9]*")))


def _read(folder: Path) -> Descendant | None:
    """Return the process that a folder describes; None if it has ended."""
    try:
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return Descendant(int(folder.name), int(fields[19]), int(fields[1]), int(fields[3]))
