"""The processes that a child has started, at any depth, so that none of them outlives it.

A helper of codex may leave its process group and, once codex has ended, has no parent to be found by. Only Linux shows
processes as files; elsewhere nothing is found.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

_PROCESSES = Path("/proc")


class Descendant(Struct, frozen=True):
    """A process; its start time, in clock ticks since the system's start, tells it from a later one with its id."""

    pid: int
    started: int


def descendants_of(pid: int) -> list[Descendant]:
    """Return the running processes below a process."""
    children: dict[int, list[Descendant]] = {}
    for folder in _PROCESSES.glob("[0-9]*"):
        if (found := _read(folder)) is not None:
            process, parent = found
            children.setdefault(parent, []).append(process)
    below: list[Descendant] = []
    parents = [pid]
    while parents:
        found_below = children.get(parents.pop(), [])
        below += found_below
        parents += [process.pid for process in found_below]
    return below


def kill_survivors(noted: Iterable[Descendant]) -> None:
    """Kill those of the processes that still run."""
    for process in noted:
        found = _read(_PROCESSES / str(process.pid))
        if found is not None and found[0] == process:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)


def _read(folder: Path) -> tuple[Descendant, int] | None:
    """Return the process that a folder describes, and its parent; None if it has ended."""
    try:
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return Descendant(int(folder.name), int(fields[19])), int(fields[1])
