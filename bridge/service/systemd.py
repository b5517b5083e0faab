"""The service as a systemd user unit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bridge.config import PROGRAM
from bridge.service.definitions import Definition, systemd_unit
from bridge.service.interface import State, write
from bridge.service.programs import ServiceError, run

_CONTROL = ("systemctl", "--user")
_NO_SYSTEMD = (
    "systemd does not manage services of this user here ({error}). In WSL, write `systemd=true` under `[boot]` in "
    "/etc/wsl.conf and restart it. After `su` or `sudo`, log in as the user instead. In a container, run "
    "`codex-openai-proxy serve` as its program"
)


class Systemd:
    """Controls the unit by `systemctl --user`."""

    @property
    def file(self) -> Path:
        """The unit."""
        folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
        return Path(folder).expanduser() / "systemd" / "user" / f"{PROGRAM}.service"

    def install(self, definition: Definition) -> Sequence[str]:
        """Write, enable and start the unit; let it run while the user is not logged in."""
        self._require_systemd()
        changed = write(self.file, systemd_unit(definition))
        run(*_CONTROL, "daemon-reload")
        run(*_CONTROL, "enable", PROGRAM)
        run(*_CONTROL, "restart" if changed else "start", PROGRAM)
        try:
            run("loginctl", "enable-linger")
        except ServiceError as error:
            return [f"It starts when you log in and stops when you log out, because {error}."]
        return ["It starts with the system, and runs while you are logged out."]

    def uninstall(self) -> None:
        """Stop and remove the unit. Lingering is kept: other units may need it."""
        self._require_systemd()
        if self.file.is_file():
            run(*_CONTROL, "disable", "--now", PROGRAM)
            self.file.unlink()
            run(*_CONTROL, "daemon-reload")

    def start(self) -> None:
        """Start the unit."""
        self._require_systemd()
        run(*_CONTROL, "start", PROGRAM)

    def stop(self) -> None:
        """Stop the unit."""
        self._require_systemd()
        run(*_CONTROL, "stop", PROGRAM)

    def state(self) -> State:
        """Return the unit's state."""
        self._require_systemd()
        names = ("ActiveState", "SubState", "StateChangeTimestamp", "MainPID")
        shown = run(*_CONTROL, "show", PROGRAM, f"--property={','.join(names)}")
        values = {name: value for name, _, value in (line.partition("=") for line in shown.splitlines())}
        active, sub = values.get("ActiveState", "unknown"), values.get("SubState", "unknown")
        return State(
            installed=self.file.is_file(),
            running=active == "active",
            detail=f"{active} ({sub})",
            since=values.get("StateChangeTimestamp") or None,
            pid=int(values.get("MainPID") or 0) or None,
        )

    def logs(self, lines: int, *, follow: bool) -> Sequence[str]:
        """Return the command that shows the unit's part of the journal."""
        more = ("--follow",) if follow else ("--no-pager",)
        return ["journalctl", "--user", f"--unit={PROGRAM}", f"--lines={lines}", *more]

    def _require_systemd(self) -> None:
        try:
            run(*_CONTROL, "show-environment")
        except ServiceError as error:
            raise ServiceError(_NO_SYSTEMD.format(error=error)) from None
