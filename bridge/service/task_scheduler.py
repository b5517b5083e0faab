"""The service as a task of the Windows task scheduler."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from bridge.config import PROGRAM, state_folder
from bridge.service.definitions import Definition, windows_task
from bridge.service.interface import State, write
from bridge.service.programs import run, succeeds

_TASK = ("/TN", PROGRAM)
_STATE = (
    f"$info = Get-ScheduledTaskInfo -TaskName {PROGRAM}; "
    f"@{{state = [string](Get-ScheduledTask -TaskName {PROGRAM}).State; since = $info.LastRunTime.ToString('s')}} "
    "| ConvertTo-Json"
)
"""What prints the task's state and its last start as JSON, in English on every Windows."""


class TaskScheduler:
    """Controls the task by `schtasks`."""

    @property
    def file(self) -> Path:
        """The task's XML. The task scheduler keeps a copy."""
        return state_folder() / f"{PROGRAM}.task.xml"

    @property
    def log(self) -> Path:
        """The log."""
        return state_folder() / "service.log"

    def install(self, definition: Definition) -> Sequence[str]:
        """Create and start the task."""
        user = f"{os.environ['USERDOMAIN']}\\{os.environ['USERNAME']}"
        changed = write(self.file, windows_task(replace(definition, log=str(self.log), user=user)), "utf-16")
        if changed or not self._exists():
            self.stop()
            run("schtasks", "/Create", *_TASK, "/XML", str(self.file), "/F")
        self.start()
        return ["It starts when you log on, without a window."]

    def uninstall(self) -> None:
        """End and delete the task."""
        self.stop()
        if self._exists():
            run("schtasks", "/Delete", *_TASK, "/F")
        self.file.unlink(missing_ok=True)

    def start(self) -> None:
        """Start the task; a running one is not started twice."""
        run("schtasks", "/Run", *_TASK)

    def stop(self) -> None:
        """End the task if it exists."""
        if self._exists():
            run("schtasks", "/End", *_TASK)

    def state(self) -> State:
        """Return the task's state."""
        if not self._exists():
            return State(installed=False)
        known = json.loads(run("powershell", "-NoProfile", "-Command", _STATE))
        running = known["state"] == "Running"
        return State(True, running, known["state"].lower(), known["since"] if running else None)

    def logs(self, lines: int, *, follow: bool) -> Sequence[str]:
        """Return the command that shows the log."""
        wait = " -Wait" if follow else ""
        command = f"Get-Content -LiteralPath '{self.log}' -Encoding utf8 -Tail {lines}{wait}"
        return ["powershell", "-NoProfile", "-Command", command]

    def _exists(self) -> bool:
        return succeeds(("schtasks", "/Query", *_TASK))
