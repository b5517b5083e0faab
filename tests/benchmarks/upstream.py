"""The scripted upstream in a separate process; the last message or tool output is the script of the answer.

`{"deltas": 5}` is answered by five deltas at once; `{"deltas": 5, "pause": 0.05, "at": 12}` by one every 0.05 seconds
from the monotonic time of 12 seconds on (immediately without it), each containing its send time; `{"call": "look"}`
by a tool call. Prints its port; after that, for each line on stdin, the number of requests and of request-body bytes
since the last line.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import anyio
import anyio.to_thread
import orjson

from tests.benchmarks.subjects import MODEL
from tests.harness.script import Action, Call, Pause, Received, Reply, Text, reply
from tests.harness.upstream import scripted_upstream

PIECE = "word "
_ABOUT: dict[str, Any] = {
    "object": "response",
    "created_at": 1,
    "model": MODEL,
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
}


@dataclass(frozen=True, slots=True)
class Paced:
    """The events of an answer whose deltas come one by one; each is its send time (monotonic ns) and a blank."""

    deltas: int
    pause: float
    at: float

    def __iter__(self) -> Iterator[Action]:
        said: list[str] = []
        before, after = _around(PIECE)
        yield from before[:-1]
        for number in range(self.deltas):
            yield Pause(max(0, self.at + number * self.pause - time.monotonic()))
            said.append(f"{time.monotonic_ns()} ")
            yield {**before[-1], "delta": said[-1]}
        whole = "".join(said)
        yield from orjson.loads(orjson.dumps(after).replace(PIECE.encode(), whole.encode()))


def _around(piece: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the events of a one-piece answer before its delta, and those after it."""
    events = [event for event in _in_full(reply(piece)).actions if isinstance(event, dict)]
    at = next(number for number, event in enumerate(events) if event["type"].endswith("text.delta"))
    return events[: at + 1], events[at + 1 :]


@functools.cache
def _burst(deltas: int) -> Reply:
    return _in_full(reply(Text(tuple(f"{number % 1000:03} " for number in range(deltas)))))


def _in_full(answer: Reply) -> Reply:
    """Return the reply with the fields that Codex does not need, but that other clients check."""
    events = (action for action in answer.actions if isinstance(action, dict))
    return Reply(tuple(_completed(event, number) for number, event in enumerate(events)))


def _completed(event: dict[str, Any], number: int) -> dict[str, Any]:
    match event:
        case {"response": response}:
            return {**event, "sequence_number": number, "response": {**_ABOUT, **response}}
        case {"type": "response.content_part.added", "part": part}:
            return {**event, "sequence_number": number, "part": {"annotations": [], **part}}
        case {"type": "response.output_text.delta" | "response.output_text.done"}:
            return {**event, "sequence_number": number, "logprobs": []}
        case _:
            return {**event, "sequence_number": number}


def answer(request: Received) -> Reply:
    """Return the reply that the last message or tool output describes."""
    last = request.input[-1]
    said: Any = last.get("content", last.get("output"))
    script = orjson.loads(said if isinstance(said, str) else said[0]["text"])
    if "call" in script:
        return _in_full(reply(Call(script["call"], call_id=f"call_{time.monotonic_ns()}")))
    if "pause" in script:
        paced = Paced(script["deltas"], script["pause"], script.get("at", time.monotonic()))
        return Reply(cast("Any", paced))  # generated while it is played
    return _burst(script["deltas"])


class RunningUpstream(Protocol):
    """The upstream's process, as the benchmarks use it."""

    base_url: str

    async def received(self) -> tuple[int, int]:
        """Return the number of requests and of body bytes since the last call."""
        ...


class _Child:
    def __init__(self, child: anyio.abc.Process, port: int) -> None:
        self._child = child
        self.base_url = f"http://127.0.0.1:{port}/v1"

    async def received(self) -> tuple[int, int]:
        assert self._child.stdin is not None
        await self._child.stdin.send(b"\n")
        requests, size = (await _line(self._child)).split()
        return int(requests), int(size)


async def _line(child: anyio.abc.Process) -> bytes:
    assert child.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        line += await child.stdout.receive()
    return line


@asynccontextmanager
async def upstream_process(*, handshake: float = 0) -> AsyncGenerator[RunningUpstream]:
    """Run this module as a child while the block runs; each WebSocket takes `handshake` seconds to open."""
    command = [sys.executable, "-m", "tests.benchmarks.upstream", str(handshake)]
    async with await anyio.open_process(command, stderr=None) as child:
        try:
            yield _Child(child, int(await _line(child)))
        finally:
            child.terminate()


async def main(handshake: float) -> None:
    """Serve until stdin ends."""
    async with scripted_upstream() as upstream:
        upstream.respond = answer
        upstream.handshake = handshake
        print(upstream.port, flush=True)  # noqa: T201
        while await anyio.to_thread.run_sync(sys.stdin.readline):
            sizes = [len(orjson.dumps(request.body)) for request in upstream.requests]
            upstream.requests.clear()
            print(len(sizes), sum(sizes), flush=True)  # noqa: T201


if __name__ == "__main__":
    anyio.run(main, float(sys.argv[1]))
