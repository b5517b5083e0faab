from __future__ import annotations

from typing import Any

import pytest

from bridge.conversation.events import Asked, StepBegun, StepDone, TextDelta, ToolCall, TurnEvent
from bridge.telemetry.agent_log import MOST, AgentLog, program
from bridge.telemetry.ledger import RequestLogEntry
from bridge.telemetry.logs import request_line
from bridge.telemetry.report import entry_report


def ran(command: str, **more: Any) -> StepDone:
    return StepDone("a", "codex", "shell", {"command": command, "cwd": "."}, "the output", **more)


CHANGES = [{"path": "secret.txt", "diff": "+x", "added": 2, "removed": 1}, {"path": "b", "added": 1, "removed": 0}]
STEPS: list[TurnEvent] = [
    StepBegun("a", "codex", "shell", {"command": "ls", "cwd": "."}),
    ran("ls -la /home/me", exit_code=0),
    ran("python3 -c 'print(1)'", exit_code=3),
    ran("sleep 9", is_complete=False),
    ran("rm -f x", error="It was declined."),
    StepDone("p", "codex", "apply_patch", {"changes": CHANGES}),
    StepDone("m", "files", "create", {"path": "private"}, "done"),
    StepDone("u", "codex", "update_plan", {"plan": []}, "[x] private"),
    TextDelta("private"),
    ToolCall("turn-0", "codex_approval", '{"command": "cat private"}'),
    Asked("turn-1", "a", "codex", "shell", {"command": "cat private"}),
]
WORDS = ["ls:0", "python3:3", "sleep:unfinished", "rm:failed", "patch:2(+3-1)", "files.create", "update_plan"]


def test_the_log_of_an_agent_names_programs_tools_and_exit_codes_and_no_contents() -> None:
    entry = RequestLogEntry(id="r", method="POST", path="/x", seconds=0, status=200, model="codex-agent")
    entry.record(STEPS, 0)

    assert request_line(entry).endswith(f" did={','.join(WORDS)},asked,asked 0.000s r")
    assert entry_report(entry, 0)["did"] == [*WORDS, "asked", "asked"]
    for private in ("private", "secret", "/home/me", "print", "output"):
        assert private not in request_line(entry)


def test_an_answer_without_an_agent_says_nothing_of_it() -> None:
    entry = RequestLogEntry(id="r", method="POST", path="/x", seconds=0, status=200, model="m")
    entry.record([TextDelta("Hi."), ToolCall("c", "look_up", "{}")], 0)

    assert "did" not in request_line(entry)
    assert "did" not in entry_report(entry, 0)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/bin/git status", "git"),
        ("KEY=sk-secret curl x", "curl"),
        ("ls; echo secret", "ls"),
        ("ls|wc", "ls"),
        ("make test&", "make"),
        ("> /home/me/secret ls", "?"),
        ("ls # secret", "ls"),
        ("KEY=sk-secret", "?"),
        ("'unbalanced", "?"),
        ("(cd /secret; ls)", "?"),
        ("a\nb did=forged", "a"),
        ("é", "?"),
        ("x" * 99, "?"),
        ("", "?"),
    ],
)
def test_a_program_is_its_plain_name_or_nothing(command: str, name: str) -> None:
    assert program(command) == name


def test_of_very_many_steps_the_number_is_kept() -> None:
    log = AgentLog()
    for _ in range(MOST + 2):
        log.add(ran("ls", exit_code=0))

    assert len(log.words()) == MOST + 1
    assert log.words()[-1] == "+2"
