"""The service as a launchd agent of macOS."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from bridge.config import PROGRAM
from bridge.service.definitions import Definition, launchd_agent
from bridge.service.interface import State, write
from bridge.service.programs import ServiceError, run, succeeds

STOPPING = 30
"""Seconds for the agent to end; launchd unloads it only then."""


class Launchd:
    """Controls the agent by `launchctl`. `sleep` waits a number of seconds."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._user = f"gui/{os.getuid()}"
        self._agent = f"{self._user}/{PROGRAM}"

    @property
    def file(self) -> Path:
        """The agent's property list."""
        return Path.home() / "Library" / "LaunchAgents" / f"{PROGRAM}.plist"

    @property
    def log(self) -> Path:
        """The log."""
        return Path.home() / "Library" / "Logs" / f"{PROGRAM}.log"

    def install(self, definition: Definition) -> Sequence[str]:
        """Write and load the agent, which starts it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if write(self.file, launchd_agent(replace(definition, log=str(self.log)))):
            self.stop()
        self.start()
        return ["It starts when you log in."]

    def uninstall(self) -> None:
        """Unload and remove the agent."""
        self.stop()
        self.file.unlink(missing_ok=True)

    def start(self) -> None:
        """Load the agent, or start it if it is loaded."""
        run("launchctl", "enable", self._agent)
        if self._loaded():
            run("launchctl", "kickstart", self._agent)
        else:
            run("launchctl", "bootstrap", self._user, str(self.file))

    def stop(self) -> None:
        """Unload the agent, and wait for its end: until then it cannot be loaded again."""
        if not self._loaded():
            return
        run("launchctl", "bootout", self._agent)
        for _ in range(STOPPING):
            if not self._loaded():
                return
            self._sleep(1)
        raise ServiceError(f"the agent did not end within {STOPPING} seconds")

    def state(self) -> State:
        """Return the agent's state."""
        installed = self.file.is_file()
        try:
            shown = run("launchctl", "print", self._agent)
        except ServiceError:
            return State(installed, detail="not loaded")
        found = re.search(r"^\s*pid = (\d+)$", shown, re.MULTILINE)
        detail = re.search(r"^\s*state = (.+)$", shown, re.MULTILINE)
        pid = int(found[1]) if found else None
        since = run("ps", "-o", "lstart=", "-p", str(pid)).strip() if pid else None
        return State(installed, running=pid is not None, detail=detail[1] if detail else "loaded", since=since, pid=pid)

    def logs(self, lines: int, *, follow: bool) -> Sequence[str]:
        """Return the command that shows the log."""
        return ["tail", "-n", str(lines), *(("-F",) if follow else ()), str(self.log)]

    def _loaded(self) -> bool:
        return succeeds(("launchctl", "print", self._agent))
