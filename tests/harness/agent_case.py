"""A recorded session of an agent in a small folder of our own, without what belongs to the machine that recorded it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bridge.recordings.cases import Case
from codex_rpc.recording.session import Line
from codex_rpc.wire.messages import Notification, Request
from codex_rpc.wire.protocol import READ_OF_AGENTS

FILES = {
    "guests.txt": "Ada: yes\nBen: no answer yet\nCleo: yes\nDan: no answer yet\n",
    "shopping.txt": "bread\ncheese\napples\n",
}
"""The content of the agent's folder."""

_OF_THE_MACHINE = frozenset({"config", "cwd"})
"""Parameters of a thread that hold paths of the machine; a replay does not read them."""


def write_folder(folder: Path) -> Path:
    """Write the agent's folder and return its real path."""
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(content)
    return folder.resolve()


def shortened(case: Case, folder: Path, pause: float) -> Case:
    """Return a case of one exchange with the lines that a replay reads, `pause` seconds apart.

    Paths are relative to the agent's folder.
    """
    lines = tuple(replace(line, at=pause * number) for number, line in enumerate(_read_lines(case, folder)))
    [exchange] = case.exchanges
    return replace(case, lines=lines, exchanges=(replace(exchange, line=0),))


def _read_lines(case: Case, folder: Path) -> Iterator[Line]:
    for line in case.lines:
        match line.message:
            case Request(_, "thread/start", params) as message:
                kept = {name: value for name, value in params.items() if name not in _OF_THE_MACHINE}
                yield replace(line, message=replace(message, params=kept))
            case Request(_, "turn/start"):
                yield line
            case Notification(method, params) as message if method in READ_OF_AGENTS:
                yield replace(line, message=replace(message, params=_relative(params, folder)))
                if method == "turn/completed":
                    return
            case _:
                pass


def _relative(params: Any, folder: Path) -> Any:
    text = json.dumps(params)
    return json.loads(text.replace(f"{folder}/", "").replace(str(folder), "."))
