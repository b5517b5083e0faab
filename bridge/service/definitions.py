"""The files that define the service for each system: systemd unit, launchd agent, Windows task."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

from msgspec import Struct

from bridge.config import PROGRAM

DESCRIPTION = f"{PROGRAM}, your own Codex CLI as an OpenAI API"


class Definition(Struct, frozen=True):
    """What the system starts. All paths are absolute."""

    command: Sequence[str]
    """The program with its arguments."""
    path: Sequence[str]
    """Folders in which codex and cloudflared are searched; a service does not get the PATH of the shell."""
    log: str = ""
    """The file for the log, where the system keeps none itself."""
    user: str = ""
    """The user's name with the domain, where the definition must name it."""


def systemd_unit(definition: Definition) -> str:
    """Return the systemd user unit."""
    return f"""\
[Unit]
Description={DESCRIPTION}
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={" ".join(_systemd_word(word, command=True) for word in definition.command)}
# A user service does not get the PATH of the shell. codex and cloudflared are searched here.
Environment={_systemd_word(f"PATH={':'.join(definition.path)}")}
Restart=on-failure
RestartSec=5
TimeoutStopSec=20
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


def _systemd_word(text: str, *, command: bool = False) -> str:
    """Quote one word of a unit, in which `%` begins a specifier and, in a command, `$` a variable."""
    text = text.replace("\\", "\\\\").replace("%", "%%")
    if command:
        text = text.replace("$", "$$")
    return text if re.fullmatch(r"[^\s\"';]+", text) else '"' + text.replace('"', '\\"') + '"'


def launchd_agent(definition: Definition) -> str:
    """Return the property list of the launchd agent."""
    agent = {
        "Label": PROGRAM,
        "ProgramArguments": [*definition.command],
        "EnvironmentVariables": {"PATH": ":".join(definition.path)},
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "StandardErrorPath": definition.log,
    }
    return plistlib.dumps(agent, sort_keys=False).decode()


def windows_task(definition: Definition) -> str:
    """Return the XML of a task that starts when its user logs on, as that user, and again when it fails.

    The headless console shows no window. The task scheduler keeps no output, so the shell writes it to the log.
    """
    line = " ".join(word if re.fullmatch(r"[\w.:\\/-]+", word) else f'"{word}"' for word in definition.command)
    arguments = f'--headless cmd.exe /d /s /c "{line} >> "{definition.log}" 2>&1"'
    return f"""\
<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>{escape(DESCRIPTION)}</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <UserId>{escape(definition.user)}</UserId>
    </LogonTrigger>
  </Triggers>
  <Principals>
    <Principal>
      <UserId>{escape(definition.user)}</UserId>
      <LogonType>InteractiveToken</LogonType>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>10</Count>
    </RestartOnFailure>
  </Settings>
  <Actions>
    <Exec>
      <Command>conhost.exe</Command>
      <Arguments>{escape(arguments)}</Arguments>
    </Exec>
  </Actions>
</Task>
"""
