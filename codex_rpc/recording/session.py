"""A recorded session as a value: the lines of one thread, each with its time and direction; and the way to get there.

One connection carries many threads. `Splitter` tells them apart; what concerns the whole process belongs to none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import orjson
from msgspec import Struct

from codex_rpc.errors import ProtocolError
from codex_rpc.wire.messages import ErrorResponse, Message, Request, RequestId, Response, decode, encode
from codex_rpc.wire.protocol import INJECTED

_DIRECTIONS = {True: "to", False: "from"}


class Line(Struct, frozen=True):
    """A message; `at` is in seconds since any fixed moment, `to_codex` tells who wrote it."""

    at: float
    to_codex: bool
    message: Message


def write_lines(lines: Iterable[Line]) -> bytes:
    """Return `session.jsonl`: an object with `t` (seconds), `dir` (`to` or `from` codex) and `msg` in each line."""
    wires = (
        {
            "t": round(line.at, 3),
            "dir": _DIRECTIONS[line.to_codex],
            "msg": orjson.Fragment(encode(line.message).strip()),
        }
        for line in lines
    )
    return b"".join(orjson.dumps(wire, option=orjson.OPT_APPEND_NEWLINE) for wire in wires)


def read_lines(session: bytes) -> tuple[Line, ...]:
    """Read what `write_lines` has written.

    Raises:
        ProtocolError: a line is not of this form; the message says which.
    """
    lines: list[Line] = []
    for number, text in enumerate(session.splitlines(), 1):
        try:
            wire: Any = orjson.loads(text)
            lines.append(Line(float(wire["t"]), {"to": True, "from": False}[wire["dir"]], decode(_msg(wire))))
        except (ProtocolError, ValueError, KeyError, TypeError) as error:
            raise ProtocolError(f"line {number} of the session cannot be read: {error}") from None
    return tuple(lines)


def _msg(wire: Mapping[str, Any]) -> bytes:
    return orjson.dumps(wire["msg"])


class Splitter:
    """Sorts the messages of one connection by thread."""

    def __init__(self) -> None:
        self._starting: dict[RequestId, Line] = {}
        self._asked: dict[tuple[bool, RequestId], str] = {}
        """The thread that an open request belongs to, by who asked and its id."""

    def feed(self, line: Line) -> tuple[str, list[Line]] | None:
        """Return the thread's id and the lines that are now known to be its own; None if they are no thread's.

        A `thread/start` waits for the answer that names its thread.
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
    """Whether codex only repeats what was injected; when it does so is a matter of chance."""
    params: object = getattr(message, "params", None)
    turn_id = cast("dict[str, object]", params).get("turnId") if isinstance(params, dict) else None
    return isinstance(turn_id, str) and turn_id.startswith(INJECTED)


def thread_of(message: Message) -> str | None:
    """Return the thread that a request or notification names."""
    params: object = getattr(message, "params", None)
    thread_id = cast("dict[str, object]", params).get("threadId") if isinstance(params, dict) else None
    return thread_id if isinstance(thread_id, str) else None
