"""What an agent did, as a log may say it: the names of programs and tools, exit codes and sizes, never contents."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.conversation import events
from bridge.conversation.events import Asked, StepDone, ToolCall, TurnEvent

MOST = 50
"""Steps that are named; of more, only the number is kept."""

_NAME = re.compile(r"[\w.+-]{1,40}", re.ASCII)
_CODEX = "codex"


class AgentLog:
    """The steps of one answer in the order in which they ended."""

    def __init__(self) -> None:
        self._steps: list[str] = []
        self._more = 0

    def add(self, event: TurnEvent) -> None:
        """Add a step that is over, or a question to the client; other events are skipped."""
        match event:
            case StepDone():
                self._add(_step(event))
            case Asked() | ToolCall(name=events.APPROVAL):
                self._add("asked")
            case _:
                pass

    def words(self) -> Sequence[str]:
        """Return one word for each step; the last one may say how many more there were."""
        return [*self._steps, *([f"+{self._more}"] if self._more else [])]

    def _add(self, word: str) -> None:
        if len(self._steps) < MOST:
            self._steps.append(word)
        else:
            self._more += 1


def _step(step: StepDone) -> str:
    match step:
        case StepDone(server="codex", name="shell"):
            word, end = program(step.arguments["command"]), step.exit_code
        case StepDone(server="codex", name="apply_patch"):
            word, end = f"patch:{_size(step.arguments['changes'])}", None
        case _:
            word, end = _named(step.server, step.name), None
    if not step.is_complete:
        return f"{word}:unfinished"
    if step.error is not None:
        return f"{word}:failed"
    return word if end is None else f"{word}:{end}"


def program(command: str) -> str:
    """Return the name of the program that a command begins with; `?` if that is no plain name."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:
        words = command.split()
    first = next((word for word in words if "=" not in word), "")
    return _plain(first.rpartition("/")[2])


def _size(changes: Sequence[Mapping[str, Any]]) -> str:
    added, removed = (sum(change[name] for change in changes) for name in ("added", "removed"))
    return f"{len(changes)}(+{added}-{removed})"


def _named(server: str, name: str) -> str:
    return _plain(name) if server == _CODEX else f"{_plain(server)}.{_plain(name)}"


def _plain(name: str) -> str:
    return name if _NAME.fullmatch(name) else "?"
