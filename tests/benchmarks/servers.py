"""The proxy and the minimal relay as benchmark subjects, with an HTTP client that reads their sockets."""

from __future__ import annotations

import asyncio
import itertools
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

import anyio
import h11
import orjson
import psutil

from bridge.openai import sse
from tests.benchmarks.subjects import MODEL, Heard

READ_SIZE = 256 * 1024
LAST_CHUNK = b"\r\n0\r\n\r\n"
"""The end of a chunked answer; it occurs nowhere else, because JSON has no such line breaks."""
LONGEST = 120
"""Seconds that an answer may take."""
CONVERSATION = "x-conversation"
"""The header with the conversation's name for the relay; the proxy recognises conversations by their messages."""
KEY = "benchmark"
"""The API key that is sent; peers that demand one get it."""
_numbers = itertools.count(1)


class Server:
    """A server in a separate process."""

    def __init__(self, name: str, port: int, pid: int, prefix: str = "/v1") -> None:
        self.name = name
        self.port = port
        self.pid = pid
        self.prefix = prefix

    def conversation(self) -> HttpConversation:
        return HttpConversation(self)

    def cpu(self) -> float:
        return cpu_of(self.pid)

    def memory(self) -> int:
        """Resident memory of the process, in bytes."""
        return psutil.Process(self.pid).memory_info().rss


class HeardOverHttp(Heard):
    """The bytes of an answer as they arrived; parsed after the measurement."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: list[tuple[int, bytes]] = []

    @property
    def ending(self) -> bytes:
        """The last bytes of the answer."""
        return b"".join(data for _, data in self.arrived[-3:])[-200:]

    @property
    def pieces(self) -> Sequence[tuple[int, str]]:
        return [(at, text) for at, delta in self._deltas if (text := delta.get("content"))]

    def message(self) -> dict[str, Any]:
        """Return the assistant message that the client would store."""
        text = "".join(text for _, text in self.pieces)
        calls: list[dict[str, Any]] = []
        for piece in (call for _, delta in self._deltas for call in delta.get("tool_calls") or ()):
            if piece.get("id"):
                calls.append(piece)
            else:
                calls[-1]["function"]["arguments"] += piece["function"]["arguments"]
        return {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}

    @cached_property
    def _deltas(self) -> list[tuple[int, dict[str, Any]]]:
        http = h11.Connection(h11.CLIENT)
        http.send(h11.Request(method="POST", target="/", headers=[("host", "localhost")]))
        deltas: list[tuple[int, dict[str, Any]]] = []
        rest = b""
        for at, data in self.arrived:
            http.receive_data(data)
            while (event := http.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                if isinstance(event, h11.Response):
                    assert event.status_code == 200
                if isinstance(event, h11.EndOfMessage):
                    break
                if isinstance(event, h11.Data):
                    rest += event.data
            *lines, rest = rest.split(b"\n")
            for line in lines:
                if line.startswith(b"data: {"):
                    deltas += [(at, choice["delta"]) for choice in orjson.loads(line[6:])["choices"]]
        return deltas


class HttpConversation:
    """Sends its whole history with each question over one connection, as clients of the Chat Completions API do."""

    def __init__(self, server: Server, tools: Sequence[Mapping[str, Any]] = (), *, edited: bool = False) -> None:
        """With `edited` the first message changes each time, so that no thread can be continued."""
        self._server = server
        self._edited = edited
        self._name = next(_numbers)
        self._fields = {"model": MODEL, "stream": True, **({"tools": tools} if tools else {})}
        self._messages: list[dict[str, Any]] = []
        self._last: HeardOverHttp | None = None
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, script: Mapping[str, Any]) -> HeardOverHttp:
        """Send the script as a user message, or as the outputs of the calls that the model has made."""
        body = orjson.dumps({**self._fields, "messages": self._history(orjson.dumps(script).decode())})
        head = (
            f"POST {self._server.prefix}/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            f"{CONVERSATION}: {self._name}\r\nauthorization: Bearer {KEY}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        heard = self._last = HeardOverHttp()
        if self._connection is None:
            self._connection = await asyncio.open_connection("127.0.0.1", self._server.port)
            weakref.finalize(self, self._connection[1].close).atexit = False
        reader, writer = self._connection
        writer.write(head.encode() + body)
        tail = end = b""
        closes = False
        with anyio.fail_after(LONGEST):
            while not end or not tail.endswith(end):
                data = await reader.read(READ_SIZE)
                if not data:
                    closes = True
                    break
                heard.arrived.append((time.monotonic_ns(), data))
                if not end:
                    end = sse.DONE if b"\r\ncontent-length:" in data.lower() else LAST_CHUNK
                    closes = b"\r\nconnection: close" in data.lower()
                tail = tail[-len(end) :] + data
        if closes:
            writer.close()
            self._connection = None
        assert sse.DONE in heard.ending, heard.ending
        return heard

    def _history(self, said: str) -> list[dict[str, Any]]:
        calls: list[Any] = []
        if self._last is not None:
            self._messages.append(self._last.message())
            calls = self._messages[-1].get("tool_calls", [])
        self._messages += [{"role": "tool", "tool_call_id": call["id"], "content": said} for call in calls] or [
            {"role": "user", "content": said}
        ]
        edit = [{"role": "system", "content": f"{len(self._messages)}"}] if self._edited else []
        return [*edit, *self._messages]


@asynccontextmanager
async def _process(*command: str, says: bytes = b"listens") -> AsyncGenerator[int]:
    """Run a Python module; yield its process id when it prints that it listens."""
    start = [sys.executable, "-m", *command]
    async with await anyio.open_process(start, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
        try:
            assert server.stderr is not None
            said = b""
            while says not in said:
                said += await server.stderr.receive()
            yield server.pid
        finally:
            server.terminate()


@asynccontextmanager
async def serve(*options: str) -> AsyncGenerator[Server]:
    """Start the proxy; yield when it listens."""
    port = free_port()
    async with _process("bridge", "serve", "--addr", f"127.0.0.1:{port}", "--log-level", "error", *options) as pid:
        yield Server("proxy", port, pid)


@asynccontextmanager
async def proxy(*options: str) -> AsyncGenerator[Server]:
    """Start the proxy; yield when it has answered once."""
    async with serve(*options) as server:
        await server.conversation().ask({"deltas": 1})
        yield server


@asynccontextmanager
async def relay() -> AsyncGenerator[Server]:
    """Start the relay; yield when it has answered once."""
    port = free_port()
    async with _process("tests.benchmarks.relay", str(port)) as pid:
        server = Server("bare relay", port, pid)
        await server.conversation().ask({"deltas": 1})
        yield server


@asynccontextmanager
async def hello() -> AsyncGenerator[int]:
    """Start an empty application under Hypercorn; yield its process id when it listens."""
    async with _process("tests.benchmarks.hello", str(free_port()), says=b"Running on") as pid:
        yield pid


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process has used, to the nanosecond (Linux).

    Source: clock_getcpuclockid(3); its number is (~pid << 3) | CPUCLOCK_SCHED in the kernel's posix-timers.h.
    """
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9
