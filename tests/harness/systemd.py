"""Stand-ins for systemctl, journalctl and loginctl: they start a unit's command as systemd would, and keep its log.

Run as a program, with the name of the program that it stands for as first argument. Its state lives in
`$HOME/.stand-in`; STAND_IN_FAULT may be `no bus` or `no linger`.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path.home() / ".stand-in"
FAULT = os.environ.get("STAND_IN_FAULT")
PROGRAMS = ("systemctl", "journalctl", "loginctl")
STARTED = "Sun 2026-11-29 04:56:34 UTC"


def write_stand_ins(folder: Path) -> None:
    """Write executables that run this file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        program.chmod(0o755)


def main(program: str, arguments: list[str]) -> int:
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "calls").open("a") as calls:
        calls.write(f"{program} {' '.join(arguments)}\n")
    match [program, *(argument for argument in arguments if argument != "--user")]:
        case ["systemctl", *_] if FAULT == "no bus":
            return _fail("Failed to connect to bus: No medium found")
        case ["loginctl", "enable-linger"]:
            return _fail("Could not enable linger: Access denied") if FAULT == "no linger" else 0
        case ["systemctl", "show-environment" | "daemon-reload"]:
            return 0
        case ["systemctl", "enable" | "start" | "stop" | "restart" | "disable" as verb, *rest]:
            return _control(verb, rest[-1])
        case ["systemctl", "show", unit, properties]:
            values = _properties(unit)
            for name in properties.removeprefix("--property=").split(","):
                sys.stdout.write(f"{name}={values[name]}\n")
            return 0
        case ["journalctl", *_] if (FOLDER / "log").exists():
            sys.stdout.write((FOLDER / "log").read_text())
            return 0
        case _:
            return _fail(f"the stand-in does not know {program} {arguments}")


def _control(verb: str, unit: str) -> int:
    file = _unit_file(unit)
    if not file.exists():
        return _fail(f"Unit {unit}.service not found.")
    if verb in {"stop", "restart", "disable"} and (pid := _pid()):
        os.kill(pid, signal.SIGTERM)
        while _pid():
            time.sleep(0.02)  # as systemctl, which waits until the unit has stopped
    if verb in {"start", "restart"} and not _pid():
        _start(_service_of(file))
    return 0


def _start(values: Mapping[str, str]) -> None:
    name, _, value = shlex.split(values["Environment"])[0].partition("=")
    with (FOLDER / "log").open("ab") as log:
        child = subprocess.Popen(
            [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(values["ExecStart"])],
            env={**os.environ, name: value},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (FOLDER / "pid").write_text(str(child.pid))


def _service_of(file: Path) -> dict[str, str]:
    lines = [line for line in file.read_text().splitlines() if not line.startswith(("[", "#"))]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _unit_file(unit: str) -> Path:
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "systemd" / "user" / f"{unit}.service"


def _pid() -> int | None:
    """Return the process of the unit while it runs."""
    try:
        pid = int((FOLDER / "pid").read_text())
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return None if status.rpartition(")")[2].split()[0] == "Z" else pid


def _properties(unit: str) -> Mapping[str, str]:
    del unit
    pid = _pid()
    active, sub, since = ("active", "running", STARTED) if pid else ("inactive", "dead", "")
    return {"ActiveState": active, "SubState": sub, "StateChangeTimestamp": since, "MainPID": str(pid or 0)}


def _fail(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
