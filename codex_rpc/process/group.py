"""A process group for a child: signals to our group spare it, and signals to its group reach its own children too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any, Literal, Protocol

OWN_GROUP: dict[str, Any] = (
    {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if sys.platform == "win32" else {"start_new_session": True}
)
"""Arguments with which the child is started."""


class Leader(Protocol):
    """A child that was started with OWN_GROUP."""

    @property
    def pid(self) -> int: ...

    def terminate(self) -> None: ...


def signal_group(leader: Leader, name: Literal["SIGTERM", "SIGKILL"]) -> None:
    """Send a signal to all processes of the group, if there are any; on Windows, kill the leader instead."""
    with suppress(ProcessLookupError, PermissionError):  # macOS refuses when only a zombie is left
        if sys.platform == "win32":
            leader.terminate()
        else:
            os.killpg(leader.pid, getattr(signal, name))
