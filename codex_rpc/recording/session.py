"""A recorded session: the lines of one thread, each with its time and direction.

One connection carries many threads. `Splitter` separates them; messages about the whole process belong to none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import orjson
from msgspec import Struct, convert

from codex_rpc.errors import ProtocolError
from codex_rpc.wire.messages import ErrorResponse, Message, Notification, Request, RequestId, Response, decode, encode
from codex_rpc.wire.protocol import INJECTED


class Line(Struct, frozen=True):
    """A message; `at` is in seconds since any fixed moment, `to_codex` says which side wrote it."""

    at: float
    to_codex: bool
    message: Message


class _Written(Struct, frozen=True):
    """A line of `session.jsonl`."""

    t: float
    dir: Literal["to", "from"]
    msg: Any


def write_lines(lines: Iterable[Line]) -> bytes:
    """Return `session.jsonl`: an object with `t` (seconds), `dir` (`to` or `from` codex) and `msg` in each line."""
    wires = (
        {
            "t": round(line.at, 3),
            "dir": "to" if line.to_codex else "from",
            "msg": orjson.Fragment(encode(line.message).strip()),
        }
        for line in lines
    )
    return b"".join(orjson.dumps(wire, option=orjson.OPT_APPEND_NEWLINE) for wire in wires)


def read_lines(session: bytes) -> tuple[Line, ...]:
    """Read the output of `write_lines`.

    Raises:
        ProtocolError: a line does not have this form; the message says which.
    """
    lines: list[Line] = []
    for number, text in enumerate(session.splitlines(), 1):
        try:
            wire = convert(orjson.loads(text), _Written)
            lines.append(Line(wire.t, wire.dir == "to", decode(orjson.dumps(wire.msg))))
        except (ProtocolError, ValueError) as error:
            raise ProtocolError(f"line {number} of the session cannot be read: {error}") from None
    return tuple(lines)


class Splitter:
    """Assigns the messages of one connection to their threads."""

    def __init__(self) -> None:
        self._starting: dict[RequestId, Line] = {}
        self._asked: dict[tuple[bool, RequestId], str] = {}
        """The threads of the open requests; a key is whether we sent the request, and its id."""

    def feed(self, line: Line) -> tuple[str, list[Line]] | None:
        """Return a thread's id and the lines now known to belong to it; None if there are none.

        A `thread/start` is held back until the answer names its thread.
        """
        message = line.message
        match message:
            case Request(request_id, "thread/start") if line.to_codex:
                self._starting[request_id] = line
                return None
            case Response(request_id, result) if not line.to_codex and request_id in self._starting:
                thread_id = result["thread"]["id"]
                return thread_id, [self._starting.pop(request_id), line]
            case Response(request_id) | ErrorResponse(request_id):
                self._starting.pop(request_id, None) if not line.to_codex else None
                thread_id = self._asked.pop((not line.to_codex, request_id), None)
            case Request(request_id):
                thread_id = thread_of(message)
                if thread_id is not None:
                    self._asked[line.to_codex, request_id] = thread_id
            case _:
                thread_id = thread_of(message)
        return None if thread_id is None else (thread_id, [line])


def is_echo(message: Message) -> bool:
    """Return whether codex only repeats an injected item, which it does at random moments."""
    match message:
        case Request(params={"turnId": str(turn_id)}) | Notification(params={"turnId": str(turn_id)}):
            return turn_id.startswith(INJECTED)
        case _:
            return False


def thread_of(message: Message) -> str | None:
    """Return the id of the thread that a request or notification names."""
    match message:
        case Request(params={"threadId": str(thread_id)}) | Notification(params={"threadId": str(thread_id)}):
            return thread_id
        case _:
            return None
