"""The files that define the service for each system."""

from __future__ import annotations

import plistlib
import shlex
from pathlib import Path
from xml.etree import ElementTree

from bridge.service.definitions import Definition, launchd_agent, systemd_unit, windows_task
from bridge.service.system import STANDARD_PATH

DEPLOY = Path(__file__).parents[3] / "deploy"
HOME = "/home/you"
COMMAND = (f"{HOME}/.local/bin/codex-openai-proxy", "serve")
ODD = Definition(
    ("/opt/my tools/codex-openai-proxy", "serve", "--tunnel", "100%$HOME"),
    ("/opt/my tools", "/usr/bin"),
    "/tmp/<the> log",
    "PC\\Anna & Co",
)


def standard(platform: str) -> list[str]:
    return [folder.replace("~", HOME) for folder in STANDARD_PATH[platform]]


def test_the_unit_in_deploy_is_the_one_that_is_installed() -> None:
    unit = systemd_unit(Definition(COMMAND, standard("linux")))
    assert unit.replace(HOME, "%h") == (DEPLOY / "codex-openai-proxy.service").read_text()


def test_the_agent_in_deploy_is_the_one_that_is_installed() -> None:
    agent = launchd_agent(Definition(COMMAND, standard("darwin"), f"{HOME}/Library/Logs/codex-openai-proxy.log"))
    assert agent.replace(HOME, "HOME_FOLDER") == (DEPLOY / "codex-openai-proxy.plist").read_text()


def test_spaces_specifiers_and_variables_in_a_unit_are_quoted() -> None:
    lines = {name: value for name, _, value in (line.partition("=") for line in systemd_unit(ODD).splitlines())}
    assert shlex.split(lines["ExecStart"]) == [*ODD.command[:3], "100%%$$HOME"]
    assert shlex.split(lines["Environment"]) == ["PATH=/opt/my tools:/usr/bin"]


def test_a_launchd_agent_starts_the_command_again_when_it_fails() -> None:
    agent = plistlib.loads(launchd_agent(ODD).encode())
    assert agent["ProgramArguments"] == [*ODD.command]
    assert agent["EnvironmentVariables"] == {"PATH": "/opt/my tools:/usr/bin"}
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert agent["StandardErrorPath"] == ODD.log


def test_a_windows_task_runs_as_its_user_and_writes_the_log() -> None:
    task = ElementTree.fromstring(windows_task(ODD).encode("utf-16"))  # noqa: S314 - our own text
    name = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
    values = {one.tag.removeprefix(name): one.text for one in task.iter()}
    assert values["UserId"] == "PC\\Anna & Co"
    assert values["Command"] == "conhost.exe"
    assert values["Arguments"] == (
        '--headless cmd.exe /d /s /c ""/opt/my tools/codex-openai-proxy" serve --tunnel "100%$HOME"'
        ' >> "/tmp/<the> log" 2>&1"'
    )
    assert (values["ExecutionTimeLimit"], values["Count"]) == ("PT0S", "10")
