"""The interface of benchmark subjects, and two that use codex directly: a bare client and the official SDK.

A subject asks questions in conversations and notes when each text arrived. `servers.py` has those that use HTTP.
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Protocol

import anyio
import orjson
from openai_codex import ApprovalMode, AsyncCodex, CodexConfig, Sandbox
from openai_codex.generated.v2_all import AgentMessageDeltaNotification

from bridge.codex.launch import Launcher
from bridge.conversation.prompt import Prompt, message
from bridge.conversation.thread_params import thread_start_params
from codex_rpc.wire.calls import initialize
from codex_rpc.wire.framing import LineSplitter

MODEL = "gpt-5.2-codex"
CODEX = "CODEX_OPENAI_PROXY_CODEX"
"""The environment variable that names the codex of all subjects; the installed one without it."""
PROMPT = Prompt(MODEL, ())
READ_SIZE = 256 * 1024


class Heard:
    """When a question was asked and each piece of the answer arrived, in monotonic nanoseconds."""

    def __init__(self) -> None:
        self.asked = time.monotonic_ns()
        self._pieces: list[tuple[int, str]] = []

    @property
    def pieces(self) -> Sequence[tuple[int, str]]:
        """The arrival time of each text, with the text."""
        return self._pieces

    def hear(self, text: str) -> None:
        """Note a piece of the answer."""
        self._pieces.append((time.monotonic_ns(), text))

    @property
    def first(self) -> float:
        """Milliseconds to the first text."""
        return (self.pieces[0][0] - self.asked) / 1e6

    @property
    def words(self) -> int:
        """Number of deltas that the upstream sent; each ends with a blank."""
        return sum(text.count(" ") for _, text in self.pieces)

    @property
    def rate(self) -> float:
        """Deltas per second, from the first to the last."""
        return self.words / (self.pieces[-1][0] - self.pieces[0][0]) * 1e9

    @property
    def delays(self) -> list[float]:
        """Milliseconds between sending and arrival of each delta of a paced answer."""
        return [(at - int(stamp)) / 1e6 for at, text in self.pieces for stamp in text.split()]


class Conversation(Protocol):
    """A conversation with the model."""

    async def ask(self, script: Mapping[str, Any]) -> Heard:
        """Send the script as the next user message; return when the answer is complete."""
        ...


class Subject(Protocol):
    """A benchmark subject: a client of codex, direct or through a server."""

    name: str

    def conversation(self) -> Conversation:
        """Return a new conversation; nothing is sent before the first question."""
        ...

    def cpu(self) -> float:
        """CPU seconds used so far between codex and the reader of the answer."""
        ...


# ── The bare client ───────────────────────────────────────────────────────────────────────────────────────────────────


class Bare:
    """A minimal client: it parses each line, looks up the thread and notes the delta."""

    name = "bare client"

    def __init__(self, codex: asyncio.subprocess.Process, cwd: str) -> None:
        assert codex.stdin is not None
        assert codex.stdout is not None
        self._stdin, self._stdout = codex.stdin, codex.stdout
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.turns: dict[str, tuple[Heard, asyncio.Future[None]]] = {}
        self.start = thread_start_params(PROMPT, cwd)

    async def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """Send a request and return its result."""
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        self.send({"id": number, "method": method, "params": params})
        return await future

    def send(self, wire: Mapping[str, Any]) -> None:
        """Write a line."""
        self._stdin.write(orjson.dumps(wire) + b"\n")

    async def read(self) -> None:
        """Read until codex ends."""
        lines = LineSplitter()
        while data := await self._stdout.read(READ_SIZE):
            for line in lines.feed(data):
                self._arrived(orjson.loads(line))

    def _arrived(self, wire: dict[str, Any]) -> None:
        match wire:
            case {"method": "item/agentMessage/delta", "params": {"threadId": thread_id, "delta": delta}}:
                self.turns[thread_id][0].hear(delta)
            case {"method": "turn/completed", "params": {"threadId": thread_id}}:
                self.turns.pop(thread_id)[1].set_result(None)
            case {"id": number, "result": result}:
                self._waiting.pop(number).set_result(result)
            case _:
                pass

    def conversation(self) -> BareConversation:
        return BareConversation(self)

    def cpu(self) -> float:
        return time.process_time()


class BareConversation:
    """A thread."""

    def __init__(self, bare: Bare) -> None:
        self._bare = bare
        self._thread_id: str | None = None

    async def ask(self, script: Mapping[str, Any], heard: Heard | None = None) -> Heard:
        heard = heard or Heard()
        bare = self._bare
        if self._thread_id is None:
            self._thread_id = (await bare.call("thread/start", bare.start))["thread"]["id"]
        assert self._thread_id is not None
        items = [message("user", orjson.dumps(script).decode())]
        await bare.call("thread/inject_items", {"threadId": self._thread_id, "items": items})
        over = asyncio.get_running_loop().create_future()
        bare.turns[self._thread_id] = heard, over
        await bare.call("turn/start", {"threadId": self._thread_id, "input": []})
        await over
        return heard


@asynccontextmanager
async def bare_client(launch: Launcher) -> AsyncGenerator[Bare]:
    """Start codex like the proxy, and do the handshake."""
    start = await launch.prepare()
    pipe, none = subprocess.PIPE, subprocess.DEVNULL
    codex = await asyncio.create_subprocess_exec(
        *start.command, stdin=pipe, stdout=pipe, stderr=none, cwd=start.cwd, env=start.env, limit=READ_SIZE
    )
    async with anyio.create_task_group() as tasks:
        bare = Bare(codex, str(launch.cwd))
        tasks.start_soon(bare.read)
        await bare.call("initialize", initialize("bare", "0").params)
        bare.send({"method": "initialized"})
        yield bare
        tasks.cancel_scope.cancel()
    codex.terminate()
    await codex.wait()


# ── The official SDK ──────────────────────────────────────────────────────────────────────────────────────────────────


class Sdk:
    """The official Python SDK, used as its documentation shows."""

    name = "official SDK"

    def __init__(self, codex: AsyncCodex, cwd: str) -> None:
        self.codex = codex
        self.start = thread_start_params(PROMPT, cwd)

    def conversation(self) -> Conversation:
        return _SdkConversation(self)

    def cpu(self) -> float:
        return time.process_time()


class _SdkConversation:
    def __init__(self, sdk: Sdk) -> None:
        self._sdk = sdk
        self._thread: Any = None

    async def ask(self, script: Mapping[str, Any]) -> Heard:
        heard = Heard()
        if self._thread is None:
            start = self._sdk.start
            self._thread = await self._sdk.codex.thread_start(
                approval_mode=ApprovalMode.deny_all,
                base_instructions="",
                developer_instructions="",
                config=start["config"],
                cwd=start["cwd"],
                ephemeral=True,
                model=MODEL,
                sandbox=Sandbox.read_only,
            )
        turn = await self._thread.turn(orjson.dumps(script).decode())
        async for event in turn.stream():
            if isinstance(event.payload, AgentMessageDeltaNotification):
                heard.hear(event.payload.delta)
        return heard


@asynccontextmanager
async def official_sdk(launch: Launcher) -> AsyncGenerator[Sdk]:
    """Start codex through the SDK, which waits for events in threads; it gets as many threads as it can use."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(128))
    start = await launch.prepare()
    config = CodexConfig(launch_args_override=tuple(start.command), cwd=str(start.cwd), env=start.env)
    async with AsyncCodex(config) as codex:
        yield Sdk(codex, str(launch.cwd))
