"""What codex does, as calls of tools: codex's own ones belong to the server `codex`, others to their MCP server.

Paths inside the agent's folder are relative to it, and texts are bounded.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.agents.bounded_text import bounded
from bridge.conversation.events import StepBegun, StepDone
from codex_rpc.wire.agent_items import (
    DECLINED,
    FAILED,
    AgentItem,
    Change,
    CommandExecution,
    ContextCompaction,
    FileChange,
    ImageGeneration,
    ImageView,
    McpResult,
    McpToolCall,
    Sleep,
    SubAgentActivity,
)
from codex_rpc.wire.events import PlanUpdated

CODEX = "codex"
"""The name of the server that codex's own tools belong to."""

SHELL = "shell"
PATCH = "apply_patch"
PLAN = "update_plan"

LONGEST_WORDS = 200
"""Characters of a step in words."""

_MOST_NAMES = 3
"""Files of a patch that are named."""
_UNSEEN = "\ufffd"
_REFUSED = "It was declined."
_SHELL = re.compile(r"(/usr|/usr/local|/opt/homebrew)?/bin/(ba|da|z)?sh")
"""The shells of the system. The model can name another program as the shell, which is then shown."""
_SHELL_FLAGS = frozenset({"-c", "-lc"})
_MARKS = {"completed": "[x]", "inProgress": "[~]"}
_SEPARATORS = "/\\"
_TOLD_ACTIVITIES = frozenset({"started", "completed"})


def begun(item: AgentItem, folder: str) -> StepBegun | None:
    """Return the step that an item begins; None if it is no step. `folder` is the agent's."""
    match item:
        case CommandExecution(id=step_id, cwd=cwd):
            return StepBegun(step_id, CODEX, SHELL, {"command": _bare(item), "cwd": relative(cwd, folder)})
        case FileChange(id=step_id, changes=changes):
            return StepBegun(step_id, CODEX, PATCH, {"changes": [_change(change, folder) for change in changes]})
        case McpToolCall(id=step_id, server=server, tool=tool, arguments=arguments):
            return StepBegun(step_id, server, tool, arguments)
        case ImageView(id=step_id, path=path):
            return StepBegun(step_id, CODEX, "view_image", {"path": relative(path, folder)})
        case ImageGeneration(id=step_id, revised_prompt=prompt):
            return StepBegun(step_id, CODEX, "generate_image", {"prompt": prompt})
        case Sleep(id=step_id, milliseconds=milliseconds):
            return StepBegun(step_id, CODEX, "sleep", {"milliseconds": milliseconds})
        case ContextCompaction(id=step_id):
            return StepBegun(step_id, CODEX, "compact", {})
        case SubAgentActivity(id=step_id, kind=kind, agent_path=path) if kind in _TOLD_ACTIVITIES:
            return StepBegun(step_id, CODEX, "sub_agent", {"agent": path, "activity": kind})
        case _:
            return None


def done(item: AgentItem, folder: str) -> StepDone | None:
    """Return the end of the step that an item completes; None if it is no step."""
    step = begun(item, folder)
    if step is None:
        return None
    output, error = _outcome(item, folder)
    code = item.exit_code if isinstance(item, CommandExecution) else None
    return StepDone(step.step_id, step.server, step.name, step.arguments, output, error, exit_code=code)


def in_words(step: StepBegun) -> str:
    """Return what a step does, in one short line: the beginning of a command, the files of a patch, or a tool.

    Characters that would not be seen are replaced.
    """
    match step:
        case StepBegun(server="codex", name="shell"):
            first, *more = step.arguments["command"].strip().splitlines() or [""]
            words = f"{first} …" if more else first
        case StepBegun(server="codex", name="apply_patch"):
            words = _patch_in_words(step.arguments["changes"])
        case StepBegun(server="codex", name=name):
            words = name.replace("_", " ")
        case _:
            words = f"{step.server}.{step.name}"
    short = words if len(words) <= LONGEST_WORDS else f"{words[: LONGEST_WORDS - 1]}…"
    return "".join(one if one.isprintable() else _UNSEEN for one in short)


def _patch_in_words(changes: Sequence[Mapping[str, Any]]) -> str:
    paths = [change["path"] for change in changes]
    more = f" and {len(paths) - _MOST_NAMES} more" if len(paths) > _MOST_NAMES else ""
    added, removed = (sum(change[name] for change in changes) for name in ("added", "removed"))
    return f"patch {', '.join(paths[:_MOST_NAMES])}{more} (+{added} -{removed})"


def plan_step(event: PlanUpdated, step_id: str) -> StepDone:
    """Return the plan as a step that is over at once."""
    plan = [{"step": step.step, "status": step.status} for step in event.plan]
    output = "\n".join(f"{_MARKS.get(step.status, '[ ]')} {step.step}" for step in event.plan)
    return StepDone(step_id, CODEX, PLAN, {"explanation": event.explanation, "plan": plan}, output)


def without_shell(command: str) -> str | None:
    """Return the script that a command line runs in a shell of the system; None if it is something else."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    match words:
        case [shell, flag, script] if _SHELL.fullmatch(shell) and flag in _SHELL_FLAGS:
            return script
        case _:
            return None


def _bare(item: CommandExecution) -> str:
    """Return the command without the shell that codex runs it with."""
    script = without_shell(item.command)
    if script is not None:
        return script
    return item.actions[0].command if len(item.actions) == 1 else item.command


def relative(path: str, folder: str) -> str:
    """Return a path relative to the folder if it is inside of it."""
    if path == folder:
        return "."
    inner = path.removeprefix(folder)
    return inner[1:] if inner != path and inner[0] in _SEPARATORS else path


def _change(change: Change, folder: str) -> Mapping[str, Any]:
    moved = change.kind.move_path
    added, removed = _counts(change)
    told = {
        "path": relative(change.path, folder),
        "kind": change.kind.type,
        "diff": bounded(change.diff),
        "added": added,
        "removed": removed,
    }
    return told if moved is None else {**told, "move_path": relative(moved, folder)}


def _counts(change: Change) -> tuple[int, int]:
    """Return how many lines a change adds and removes."""
    lines = change.diff.splitlines()
    match change.kind.type:
        case "add":
            return len(lines), 0
        case "delete":
            return 0, len(lines)
        case _:
            return sum(line.startswith("+") for line in lines), sum(line.startswith("-") for line in lines)


def _outcome(item: AgentItem, folder: str) -> tuple[str, str | None]:
    """Return the output and the error of a completed item."""
    match item:
        case CommandExecution(status=status) | FileChange(status=status) if status == DECLINED:
            return "", _REFUSED
        case CommandExecution(output=output, exit_code=code):
            return _printed(bounded(output or ""), code), None if item.status != FAILED or code else "It did not run."
        case FileChange(status=status) if status == FAILED:
            return "", "The patch was not applied."
        case McpToolCall(result=result, error=error):
            output = "" if result is None else bounded(_result(result))
            return output, error.message if error else "The tool failed." if item.status == FAILED else None
        case ImageGeneration(saved_path=path):
            return relative(path, folder) if path else "", "No image was made." if item.status == FAILED else None
        case _:
            return "", None


def _printed(output: str, exit_code: int | None) -> str:
    """Return the output with the exit code on a line of its own, if it is not 0."""
    if not exit_code:
        return output
    gap = "" if not output or output.endswith("\n") else "\n"
    return f"{output}{gap}[exit {exit_code}]"


def _result(result: McpResult) -> str:
    texts = [part["text"] for part in result.content if part.get("type") == "text" and "text" in part]
    if texts and len(texts) == len(result.content):
        return "\n".join(texts)
    value = result.structured if result.structured is not None and not result.content else list(result.content)
    return json.dumps(value, ensure_ascii=False)
