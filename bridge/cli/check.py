"""Replays recorded cases through the whole server and compares the answers byte by byte."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast, get_args

import anyio
import orjson
from msgspec import Struct
from starlette.types import ASGIApp, Message, Scope

from bridge.asgi import IDS_AND_CLOCK, service
from bridge.config import ReasoningDisplay, Settings
from bridge.recordings.backend_mode import replay_mode
from bridge.recordings.cases import Case, RecordedExchange
from bridge.recordings.library import Library
from bridge.recordings.recorder import FILLERS
from bridge.recordings.redaction import Redactor
from bridge.recordings.replay import Replay
from codex_rpc.process.process import ByteStream

LONGEST = 60.0
"""Time limit for one replayed answer, in seconds; without pauses each takes milliseconds."""
AROUND = 40
"""Bytes shown on each side of a difference."""


class Mismatch(Struct, frozen=True):
    """An answer that differs from the recorded one."""

    file: str
    reason: str


async def check_case(case: Case, wrap: Callable[[ByteStream], ByteStream] = lambda stream: stream) -> list[Mismatch]:
    """Replay the exchanges of a case in order, without pauses; `wrap` may split the codex output differently."""
    library = Library([case], Redactor())
    replay = Replay(library, IDS_AND_CLOCK, math.inf, wrap)
    settings = Settings(reasoning=_reasoning(case))
    mismatches: list[Mismatch] = []
    async with service(settings, replay_mode(replay)) as it:
        for number, exchange in enumerate(case.exchanges, 1):
            status, answer = await ask(it.app, exchange)
            file = f"{case.name}/{case.answer_file(number)}"
            if status != exchange.status:
                mismatches.append(Mismatch(file, f"status {status} instead of {exchange.status}: {answer[:300]!r}"))
            elif answer != exchange.answer:
                mismatches.append(Mismatch(file, _difference(exchange.answer, answer)))
    return mismatches


async def ask(app: ASGIApp, exchange: RecordedExchange) -> tuple[int, bytes]:
    """Send a recorded request to the application; return the status and the body without keep-alive bytes."""
    status, body = 0, b""
    to_deliver: list[Message] = [{"type": "http.request", "body": orjson.dumps(exchange.request), "more_body": False}]

    complete = anyio.Event()

    async def receive() -> Message:
        if to_deliver:
            return to_deliver.pop()
        await complete.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status, body
        if message["type"] == "http.response.start":
            status = message["status"]
        elif (data := message.get("body", b"")) not in FILLERS:
            body += data
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            complete.set()

    with anyio.fail_after(LONGEST):
        await app(_scope(exchange), receive, send)
    return status, body


def _scope(exchange: RecordedExchange) -> Scope:
    agent = b"Cursor/1.0" if exchange.cursor else b"codex-openai-proxy"
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": exchange.path,
        "raw_path": exchange.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"user-agent", agent), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }


def _reasoning(case: Case) -> ReasoningDisplay:
    return cast("ReasoningDisplay", case.reasoning) if case.reasoning in get_args(ReasoningDisplay) else "off"


def _difference(recorded: bytes, replayed: bytes) -> str:
    pairs = enumerate(zip(recorded, replayed, strict=False))
    at = next((n for n, (one, other) in pairs if one != other), min(len(recorded), len(replayed)))
    near = slice(max(0, at - AROUND), at + AROUND)
    return f"differs at byte {at}: recorded {recorded[near]!r}, replayed {replayed[near]!r}"
