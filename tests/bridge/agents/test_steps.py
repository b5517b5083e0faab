from __future__ import annotations

from typing import Any

import pytest

from bridge.agents.bounded_text import LONGEST, BoundedText, bounded
from bridge.agents.steps import begun, done, in_words
from bridge.conversation.events import StepBegun, StepDone
from codex_rpc.wire.agent_items import AgentItem, read_item
from tests.bridge.agents.wire import FOLDER, PATCH, command, mcp_call

COMMAND = "cd sub && cat a.txt | head -3; echo 'it''s'; exit 3"


def item(wire: dict[str, Any]) -> AgentItem:
    read = read_item(wire)
    assert read is not None
    return read


def done_as(wire: dict[str, Any]) -> StepDone:
    step = done(item(wire), FOLDER)
    assert step is not None
    return step


def test_a_command_begins_as_what_the_model_wrote_in_a_relative_folder():
    arguments = {"command": COMMAND, "cwd": "."}

    assert begun(item(command()), FOLDER) == StepBegun("call_1", "codex", "shell", arguments)


@pytest.mark.parametrize(
    ("line", "actions", "bare"),
    [
        ("/bin/bash -lc 'ls -la; echo \"a b\"'", ["ls -la"], 'ls -la; echo "a b"'),
        ("/usr/bin/zsh -c pwd", [], "pwd"),
        ("powershell.exe -Command dir", ["dir"], "dir"),
        ("ls -la", [], "ls -la"),
        ("/bin/bash -lc 'unbalanced", ["one", "two"], "/bin/bash -lc 'unbalanced"),
    ],
)
def test_a_command_is_shown_without_its_shell(line: str, actions: list[str], bare: str):
    parts = [{"type": "unknown", "command": one} for one in actions]
    step = begun(item(command(command=line, commandActions=parts)), FOLDER)

    assert step is not None
    assert step.arguments["command"] == bare


@pytest.mark.parametrize(
    ("cwd", "shown"),
    [("/w/site", "."), ("/w/site/src/a", "src/a"), ("/w/sitemap", "/w/sitemap"), ("/etc", "/etc"), ("/w", "/w")],
)
def test_a_path_inside_the_folder_is_relative_and_any_other_stays(cwd: str, shown: str):
    step = begun(item(command(cwd=cwd)), FOLDER)

    assert step is not None
    assert step.arguments["cwd"] == shown


@pytest.mark.parametrize(
    ("more", "output", "error"),
    [
        ({"status": "completed", "aggregatedOutput": "a\n", "exitCode": 0}, "a\n", None),
        ({"status": "completed", "aggregatedOutput": "", "exitCode": 0}, "", None),
        ({"status": "failed", "aggregatedOutput": "a\n", "exitCode": 3}, "a\n[exit 3]", None),
        ({"status": "failed", "aggregatedOutput": "a", "exitCode": 3}, "a\n[exit 3]", None),
        ({"status": "failed", "aggregatedOutput": "", "exitCode": -1}, "[exit -1]", None),
        ({"status": "failed", "aggregatedOutput": None, "exitCode": None}, "", "It did not run."),
        ({"status": "declined", "aggregatedOutput": None, "exitCode": None}, "", "It was declined."),
    ],
)
def test_a_command_ends_with_its_output_and_exit_code(more: dict[str, Any], output: str, error: str | None):
    step = done_as(command(**more))

    assert (step.name, step.output, step.error, step.is_complete) == ("shell", output, error, True)


@pytest.mark.parametrize(
    ("status", "error"),
    [("completed", None), ("failed", "The patch was not applied."), ("declined", "It was declined.")],
)
def test_a_patch_has_relative_paths_and_its_diffs(status: str, error: str | None):
    step = done_as({"type": "fileChange", "id": "call_6", "changes": PATCH, "status": status})

    changes = [
        {
            "path": "hello.txt",
            "kind": "update",
            "diff": "@@ -1,2 +1,2 @@\n-hello\n+hallo\n world\n",
            "added": 1,
            "removed": 1,
        },
        {"path": "new.py", "kind": "add", "diff": "print('new')\n", "added": 1, "removed": 0},
    ]
    assert step == StepDone("call_6", "codex", "apply_patch", {"changes": changes}, "", error)


def test_a_file_that_moves_has_both_paths():
    move = {"path": "/w/site/a", "kind": {"type": "update", "move_path": "/w/site/b/c"}, "diff": ""}
    step = done_as({"type": "fileChange", "id": "c", "changes": [move], "status": "completed"})

    (change,) = step.arguments["changes"]
    assert (change["path"], change["move_path"], change["added"]) == ("a", "b/c", 0)


def test_a_deleted_file_has_lost_all_its_lines():
    gone = {"path": "/w/site/a", "kind": {"type": "delete"}, "diff": "one\ntwo\n"}
    step = done_as({"type": "fileChange", "id": "c", "changes": [gone], "status": "completed"})

    (change,) = step.arguments["changes"]
    assert (change["added"], change["removed"]) == (0, 2)


@pytest.mark.parametrize(
    ("more", "output", "error"),
    [
        ({}, "ECHO hello", None),
        ({"result": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}, "a\nb", None),
        (
            {"result": {"content": [{"type": "image", "data": "AA==", "mimeType": "image/png"}]}},
            '[{"type": "image", "data": "AA==", "mimeType": "image/png"}]',
            None,
        ),
        ({"result": {"content": [], "structuredContent": {"é": 1}}}, '{"é": 1}', None),
        ({"result": {"content": []}}, "[]", None),
        ({"status": "failed", "result": None, "error": {"message": "needs approval"}}, "", "needs approval"),
        ({"status": "failed"}, "ECHO hello", "The tool failed."),
    ],
)
def test_a_call_of_an_mcp_tool_keeps_its_server_and_its_result(more: dict[str, Any], output: str, error: str | None):
    expected = StepDone("call_1", "usermcp", "echo", {"text": "hello"}, output, error)

    assert done_as(mcp_call(**more)) == expected


@pytest.mark.parametrize(
    ("wire", "name", "arguments", "output"),
    [
        ({"type": "imageView", "path": "/w/site/dot.png"}, "view_image", {"path": "dot.png"}, ""),
        (
            {"type": "imageGeneration", "status": "completed", "revisedPrompt": "a dot", "savedPath": "/w/site/d.png"},
            "generate_image",
            {"prompt": "a dot"},
            "d.png",
        ),
        ({"type": "sleep", "durationMs": 1500}, "sleep", {"milliseconds": 1500}, ""),
        ({"type": "contextCompaction"}, "compact", {}, ""),
        (
            {"type": "subAgentActivity", "kind": "started", "agentThreadId": "t2", "agentPath": "/agents/look"},
            "sub_agent",
            {"agent": "/agents/look", "activity": "started"},
            "",
        ),
    ],
)
def test_other_work_of_codex_is_a_step(wire: dict[str, Any], name: str, arguments: dict[str, Any], output: str):
    assert done_as({"id": "i", **wire}) == StepDone("i", "codex", name, arguments, output)


def test_what_is_no_work_is_no_step():
    asked = {"type": "subAgentActivity", "id": "a", "kind": "interacted", "agentThreadId": "t", "agentPath": "/agents"}

    assert done(item(asked), FOLDER) is None
    assert begun(item({"type": "agentMessage", "id": "m", "text": "Hi"}), FOLDER) is None


def test_a_long_output_keeps_its_beginning_its_end_and_the_exit_code():
    step = done_as(command("failed", aggregatedOutput="begin" + "x" * 1_000_000 + "end", exitCode=2))

    assert step.output.startswith("begin")
    assert step.output.endswith("end\n[exit 2]")
    assert f"[{1_000_008 - LONGEST} bytes left out]" in step.output
    assert len(step.output) < LONGEST + 100


@pytest.mark.parametrize("text", ["", "a", "x" * LONGEST, "é" * (LONGEST // 2)])
def test_a_text_up_to_the_limit_is_whole(text: str):
    assert bounded(text) == text


def test_a_long_text_is_never_cut_inside_a_character():
    text = bounded("a" + "😀" * LONGEST)

    assert "\ufffd" not in text
    assert text.startswith("a😀")
    assert text.endswith("😀")


def test_a_text_that_grows_is_bounded_as_a_whole_one():
    grown = BoundedText()
    for number in range(30_000):
        grown.add(f"{number}\n")

    assert grown.text() == bounded("".join(f"{number}\n" for number in range(30_000)))


def test_a_long_diff_is_bounded():
    added = {"path": "/w/site/a", "kind": {"type": "add"}, "diff": "x" * 100_000}
    step = done_as({"type": "fileChange", "id": "c", "changes": [added], "status": "completed"})

    assert "bytes left out" in step.arguments["changes"][0]["diff"]


def in_short(server: str, name: str, **arguments: Any) -> str:
    return in_words(StepBegun("a", server, name, arguments))


def test_what_runs_is_one_short_line():
    changes = [{"path": f"{name}.py", "added": 2, "removed": 1} for name in "abcde"]

    assert in_short("codex", "shell", command="make test") == "make test"
    assert in_short("codex", "shell", command="\ncat <<E\nx\nE\n") == "cat <<E …"
    assert in_short("codex", "shell", command="") == ""
    assert in_short("codex", "shell", command="a\x1b[2J\u202eb") == "a\ufffd[2J\ufffdb"
    assert in_short("codex", "shell", command="x" * 999) == "x" * 199 + "…"
    assert in_short("codex", "apply_patch", changes=changes[:2]) == "patch a.py, b.py (+4 -2)"
    assert in_short("codex", "apply_patch", changes=changes) == "patch a.py, b.py, c.py and 2 more (+10 -5)"
    assert in_short("codex", "view_image", path="a.png") == "view image"
    assert in_short("files", "create", path="a") == "files.create"
