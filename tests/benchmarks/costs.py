"""The scenarios that compare costs: bytes upstream, CPU of long conversations, memory, a start."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Sequence

import anyio
import psutil

from tests.benchmarks.figures import Row
from tests.benchmarks.lab import Lab
from tests.benchmarks.servers import HttpConversation, Server, cpu_of, hello, proxy, serve
from tests.benchmarks.subjects import Conversation, bare_client, official_sdk
from tests.benchmarks.websocket import WebSocketConversation

LONG = 100
THREADS = 100
NOTE = "what a person or a tool has to say " * 60
"""2 kB of text in each question of a long conversation."""
CONNECTIONS_GONE = 1
"""Seconds for the server to clean up connections that clients closed."""
EMPTY = "an empty application under Hypercorn"
NEW_THREADS = "a new thread each step"
OVER_WEBSOCKET = "proxy, client on WebSocket"
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


async def agent(lab: Lab, rounds: int) -> list[Row]:
    """Ten steps of an agent: the bytes that the upstream receives, with and without continued threads."""
    del rounds  # the same number of bytes each time
    sizes: dict[str, Sequence[float]] = {}
    for name, edited in ((lab.proxy.name, False), (NEW_THREADS, True)):
        await lab.upstream.received()
        await agent_steps(lab.proxy, edited=edited)
        requests, size = await lab.upstream.received()
        sizes[name] = [size / requests / 1000]
    what = f"Ten steps of an agent, sent upstream ({lab.transport})"
    return [Row(f"agent {lab.transport}", what, "kB a step", sizes)]


async def agent_steps(server: Server, steps: int = 10, *, edited: bool = False) -> None:
    """Let a model call a tool; each output is a kilobyte."""
    conversation = HttpConversation(server, [LOOK], edited=edited)
    for _ in range(steps):
        await conversation.ask({"call": "look", "note": "a line of a file or of a log " * 30})


async def long_conversation(lab: Lab, rounds: int) -> list[Row]:
    """A conversation of 100 turns: the cost of a turn at the beginning and at the end.

    The relay shows the cost that any server has when clients send the whole history: receiving and decoding the bytes.
    """
    early: dict[str, list[float]] = defaultdict(list)
    late: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, server, conversation in (
            (lab.relay.name, lab.relay, lab.relay.conversation()),
            (lab.proxy.name, lab.proxy, lab.proxy.conversation()),
            (OVER_WEBSOCKET, lab.proxy, WebSocketConversation(lab.proxy.port)),
        ):
            costs = await _costs_of_turns(server, conversation)
            early[name].append(statistics.median(costs[1:11]))
            late[name].append(statistics.median(costs[-10:]))
    return [
        Row("turn 2", f"{LONG} turns of 2 kB: CPU of turns 2 to 11", "ms a turn", early),
        Row("turn 100", f"{LONG} turns of 2 kB: CPU of the last 10", "ms a turn", late),
    ]


async def _costs_of_turns(server: Server, conversation: Conversation) -> list[float]:
    costs: list[float] = []
    for _ in range(LONG):
        before = server.cpu()
        await conversation.ask({"deltas": 5, "note": NOTE})
        costs.append((server.cpu() - before) * 1e3)
    return costs


async def idle_threads(lab: Lab, rounds: int) -> list[Row]:
    """Memory of the proxy and of codex for each waiting thread."""
    del lab, rounds  # the memory of a process that has just started differs little from run to run
    async with proxy("--threads", "1000") as fresh:
        ours = psutil.Process(fresh.pid)
        codex = ours.children()[0]

        async def open_threads() -> tuple[int, int]:
            for _ in range(THREADS):
                await fresh.conversation().ask({"deltas": 5})
            await anyio.sleep(CONNECTIONS_GONE)
            return ours.memory_info().rss, codex.memory_info().rss

        before, codex_before = await open_threads()
        after, codex_after = await open_threads()
    waiting = {
        fresh.name: [(after - before) / THREADS / 1000],
        "its codex": [(codex_after - codex_before) / THREADS / 1000],
    }
    return [
        Row("thread memory", "Memory of a thread that waits", "kB", waiting),
        Row("idle memory", "Memory, idle", "MB", {fresh.name: [before / 1e6]}),
    ]


async def start_up(lab: Lab, rounds: int) -> list[Row]:
    """Time from the start of the process until it listens, and until codex has answered the first request."""
    listens: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    answers: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds * 3):
        began = time.perf_counter()
        async with hello() as pid:
            listens[EMPTY].append(time.perf_counter() - began)
            cpu[EMPTY].append(cpu_of(pid))
        began = time.perf_counter()
        async with serve() as started:
            listens[started.name].append(time.perf_counter() - began)
            cpu[started.name].append(cpu_of(started.pid))
            await started.conversation().ask({"deltas": 1})
            answers[started.name].append(time.perf_counter() - began)
        for open_subject in (bare_client, official_sdk):
            began = time.perf_counter()
            async with open_subject(lab.launch) as subject:
                await subject.conversation().ask({"deltas": 1})
                answers[subject.name].append(time.perf_counter() - began)
    return [
        Row("start", "Start until it listens", "s", listens),
        Row("start CPU", "Start until it listens: CPU", "s", cpu),
        Row("first answer", "Start until the first answer", "s", answers),
    ]
