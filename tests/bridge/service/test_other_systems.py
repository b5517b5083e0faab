"""The services of macOS and Windows, with a stand-in for their programs."""

from __future__ import annotations

import plistlib
from pathlib import Path

import pytest

from bridge.service import launchd, programs, task_scheduler
from bridge.service.definitions import Definition
from bridge.service.interface import State
from bridge.service.programs import ServiceError

DEFINITION = Definition(("/bin/codex-openai-proxy", "serve"), ("/bin",))
CHANGED = Definition(("/bin/codex-openai-proxy", "serve", "--tunnel", "quick"), ("/bin",))


class System:
    """Whether the service is loaded, and the commands that were run since the last look."""

    def __init__(self) -> None:
        self.loaded = False
        self.calls: list[str] = []

    def run(self, *command: str) -> str:
        match command:
            case ["launchctl", "print", _] | ["schtasks", "/Query", *_]:
                if not self.loaded:
                    raise ServiceError("it is not known")
                return "\tstate = running\n\tpid = 123\n"
            case ["launchctl", "bootstrap", *_] | ["schtasks", "/Create", *_]:
                self.loaded = True
            case ["launchctl", "bootout", _] | ["schtasks", "/Delete", *_]:
                self.loaded = False
            case ["ps", *_]:
                return "Sun Nov 29 04:56:34 2026\n"
            case ["powershell", *_]:
                return '{"state": "Running", "since": "2026-11-29T04:56:34"}'
            case _:
                pass
        self.calls.append(" ".join(command[:2]))
        return ""

    def taken(self) -> list[str]:
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> System:
    """The stand-in, with an empty home."""
    system = System()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_STATE_HOME", "USERDOMAIN", "USERNAME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for module in (launchd, task_scheduler, programs):
        monkeypatch.setattr(module, "run", system.run)
    return system


def test_a_launchd_agent_is_loaded_once_and_reloaded_after_a_change(system: System) -> None:
    agent = launchd.Launchd(sleep=lambda _: None)
    agent.install(DEFINITION)
    assert system.taken() == ["launchctl enable", "launchctl bootstrap"]
    agent.install(DEFINITION)
    assert system.taken() == ["launchctl enable", "launchctl kickstart"]
    agent.install(CHANGED)
    assert system.taken() == ["launchctl bootout", "launchctl enable", "launchctl bootstrap"]
    assert plistlib.loads(agent.file.read_bytes())["ProgramArguments"] == [*CHANGED.command]
    assert agent.state() == State(True, True, "running", "Sun Nov 29 04:56:34 2026", 123)


def test_a_launchd_agent_is_unloaded_and_removed_twice_without_harm(system: System) -> None:
    agent = launchd.Launchd(sleep=lambda _: None)
    agent.install(DEFINITION)
    system.taken()
    for expected in (["launchctl bootout"], []):
        agent.uninstall()
        assert system.taken() == expected
    assert agent.state() == State(False, detail="not loaded")


def test_a_windows_task_is_created_once_and_again_after_a_change(system: System) -> None:
    task = task_scheduler.TaskScheduler()
    task.install(DEFINITION)
    assert system.taken() == ["schtasks /Create", "schtasks /Run"]
    task.install(DEFINITION)
    assert system.taken() == ["schtasks /Run"]
    task.install(CHANGED)
    assert system.taken() == ["schtasks /End", "schtasks /Create", "schtasks /Run"]
    assert "--tunnel quick" in task.file.read_text("utf-16")
    assert task.state() == State(True, True, "running", "2026-11-29T04:56:34")


def test_a_windows_task_is_deleted_twice_without_harm(system: System) -> None:
    task = task_scheduler.TaskScheduler()
    task.install(DEFINITION)
    system.taken()
    for expected in (["schtasks /End", "schtasks /Delete"], []):
        task.uninstall()
        assert system.taken() == expected
    assert task.state() == State(False)
