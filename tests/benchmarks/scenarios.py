"""The scenarios. Each runs all subjects in turn in one run, so that only the subject differs."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import psutil

from bridge.codex.launch import Launcher
from tests.benchmarks.servers import HttpConversation, Server, cpu_of, hello, proxy, relay, serve
from tests.benchmarks.subjects import Heard, Subject, bare_client, official_sdk
from tests.benchmarks.upstream import RunningUpstream, upstream_process
from tests.harness.codex_home import Transport, write_home

BURST = 20_000
STREAMS, PACED, PAUSE, OPENING = 64, 100, 0.05, 6
SHORT, AT_ONCE = 300, 32
LONG = 100
REST = 0.7
"""Seconds between two conversations, as with human users."""
CONNECTIONS_GONE = 1
"""Seconds for the server to clean up connections that clients closed."""
EMPTY = "an empty application under Hypercorn"
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: subject name → figure; `better` says whether lower or higher is better."""

    scenario: str
    unit: str
    figures: Mapping[str, float]
    better: str = "less"


@dataclass(frozen=True, slots=True)
class Lab:
    """All subjects, with one transport to one upstream."""

    transport: Transport
    upstream: RunningUpstream
    launch: Launcher
    subjects: Sequence[Subject]
    relay: Server
    proxy: Server


@asynccontextmanager
async def lab(transport: Transport) -> AsyncGenerator[Lab]:
    """Start all subjects, each with a separate codex."""
    with tempfile.TemporaryDirectory() as folder:
        async with upstream_process() as upstream:
            write_home(Path(folder) / "home", upstream.base_url, transport)
            os.environ |= {
                "CODEX_HOME": f"{folder}/home",
                "SCRIPTED_KEY": "made-up",
                "XDG_STATE_HOME": f"{folder}/state",
            }
            # As in an installation, modules are compiled at the first start only.
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            os.environ["PYTHONPYCACHEPREFIX"] = f"{folder}/compiled"
            launch = Launcher()
            async with (
                bare_client(launch) as bare,
                official_sdk(launch) as sdk,
                relay() as least,
                proxy() as ours,
            ):
                yield Lab(transport, upstream, launch, (bare, sdk, least, ours), least, ours)


Scenario = Callable[[Lab, int], Awaitable[list[Row]]]


async def first_content(lab: Lab, rounds: int) -> list[Row]:
    """Time from the question to the first text, in a new and in a continued conversation."""
    new: dict[str, list[float]] = {subject.name: [] for subject in lab.subjects}
    living: dict[str, list[float]] = {subject.name: [] for subject in lab.subjects}
    for _ in range(rounds * 3):
        for subject in lab.subjects:
            await anyio.sleep(REST)
            conversation = subject.conversation()
            new[subject.name].append((await conversation.ask({"deltas": 2})).first)
            living[subject.name].append((await conversation.ask({"deltas": 2})).first)
    return [
        Row(f"First text, new conversation ({lab.transport})", "ms, median", _medians(new)),
        Row(f"First text, living conversation ({lab.transport})", "ms, median", _medians(living)),
    ]


async def burst(lab: Lab, rounds: int) -> list[Row]:
    """One stream at full speed."""
    rates: dict[str, list[float]] = {subject.name: [] for subject in lab.subjects}
    costs: dict[str, list[float]] = {subject.name: [] for subject in lab.subjects}
    for _ in range(rounds):
        for subject in lab.subjects:
            before = subject.cpu()
            heard = await subject.conversation().ask({"deltas": BURST})
            assert heard.words == BURST
            costs[subject.name].append((subject.cpu() - before) / BURST * 1e6)
            rates[subject.name].append(heard.rate)
    return [
        Row(f"Burst of {BURST:,} deltas", "deltas/s, median", _medians(rates), "more"),
        Row("CPU in a burst", "µs a delta, median", _medians(costs)),
    ]


async def paced(lab: Lab, rounds: int) -> list[Row]:
    """Many streams at a model's pace, one subject after the other; first and last deltas are not counted."""
    del rounds
    middle: dict[str, float] = {}
    slowest: dict[str, float] = {}
    costs: dict[str, float] = {}
    memory: dict[str, float] = {}
    for subject in lab.subjects:
        idle, begin, heard = lab.proxy.memory(), time.monotonic() + OPENING, list[Heard]()

        async def ask(at: float, subject: Subject, heard: list[Heard]) -> None:
            heard.append(await subject.conversation().ask({"deltas": PACED, "pause": PAUSE, "at": at}))

        async with anyio.create_task_group() as tasks:
            for number in range(STREAMS):
                tasks.start_soon(ask, begin + number * PAUSE / STREAMS, subject, heard)
            await anyio.sleep(begin + PAUSE - time.monotonic())
            before = subject.cpu()
            await anyio.sleep((PACED - 2) * PAUSE)
            costs[subject.name] = (subject.cpu() - before) / STREAMS / (PACED - 2) * 1e6
            if subject is lab.proxy:
                memory[subject.name] = (lab.proxy.memory() - idle) / STREAMS / 1000
        assert sum(len(one.delays) for one in heard) == STREAMS * PACED
        delays = [delay for one in heard for delay in one.delays[1:-1]]
        middle[subject.name] = statistics.median(delays)
        slowest[subject.name] = statistics.quantiles(delays, n=100)[98]
    what = f"{STREAMS} streams, {1 / PAUSE:.0f} deltas/s each"
    return [
        Row(f"{what}: delay of a delta", "ms, median", middle),
        Row(f"{what}: delay of a delta", "ms, 99th percentile", slowest),
        Row(f"{what}: CPU", "µs a delta", costs),
        Row(f"{what}: memory", "kB a stream", memory),
    ]


async def many(lab: Lab, rounds: int) -> list[Row]:
    """Many short conversations at once."""
    del rounds
    rates: dict[str, float] = {}
    costs: dict[str, float] = {}
    for subject in lab.subjects:
        slots, before, began = anyio.Semaphore(AT_ONCE), subject.cpu(), time.perf_counter()

        async def ask(subject: Subject, slots: anyio.Semaphore) -> None:
            async with slots:
                await subject.conversation().ask({"deltas": 5})

        async with anyio.create_task_group() as tasks:
            for _ in range(SHORT):
                tasks.start_soon(ask, subject, slots)
        rates[subject.name] = SHORT / (time.perf_counter() - began)
        costs[subject.name] = (subject.cpu() - before) / SHORT * 1e3
    what = f"{SHORT} short requests, {AT_ONCE} at once"
    return [Row(what, "requests/s", rates, "more"), Row(f"{what}: CPU", "ms a request", costs)]


async def agent(lab: Lab, rounds: int) -> list[Row]:
    """Ten steps of an agent: the bytes that the upstream receives, with and without continued threads."""
    del rounds
    sizes: dict[str, float] = {}
    for name, edited in (("proxy", False), ("a new thread each step", True)):
        await lab.upstream.received()
        conversation = HttpConversation(lab.proxy.port, [LOOK], edited=edited)
        for _ in range(10):
            await conversation.ask({"call": "look", "note": "a line of a file or of a log " * 30})
        requests, size = await lab.upstream.received()
        sizes[name] = size / requests / 1000
    return [Row(f"Ten steps of an agent, sent upstream ({lab.transport})", "kB a step", sizes)]


async def long_conversation(lab: Lab, rounds: int) -> list[Row]:
    """A conversation of 100 turns: the cost of a turn at the beginning and at the end.

    The relay shows the cost that any server has when clients send the whole history: receiving and decoding the bytes.
    """
    del rounds
    early: dict[str, float] = {}
    late: dict[str, float] = {}
    for subject in (lab.relay, lab.proxy):
        conversation = subject.conversation()
        costs: list[float] = []
        for _ in range(LONG):
            before = subject.cpu()
            await conversation.ask({"deltas": 5, "note": "what a person or a tool has to say " * 60})
            costs.append((subject.cpu() - before) * 1e3)
        early[subject.name], late[subject.name] = statistics.median(costs[1:11]), statistics.median(costs[-10:])
    return [
        Row(f"{LONG} turns of 2 kB: CPU of turns 2 to 11", "ms a turn", early),
        Row(f"{LONG} turns of 2 kB: CPU of the last 10", "ms a turn", late),
    ]


async def idle_threads(lab: Lab, rounds: int) -> list[Row]:
    """Memory of the proxy and of codex for each waiting thread."""
    del rounds
    async with proxy("--threads", "1000") as fresh:
        ours = psutil.Process(fresh.pid)
        codex = ours.children()[0]

        async def open_threads(count: int) -> tuple[int, int]:
            for _ in range(count):
                await fresh.conversation().ask({"deltas": 5})
            await anyio.sleep(CONNECTIONS_GONE)
            return ours.memory_info().rss, codex.memory_info().rss

        count = 100
        before, codex_before = await open_threads(count)
        after, codex_after = await open_threads(count)
    figures = {"proxy": (after - before) / count / 1000, "its codex": (codex_after - codex_before) / count / 1000}
    return [Row("Memory of a thread that waits", "kB", figures), Row("Memory, idle", "MB", {"proxy": before / 1e6})]


async def start_up(lab: Lab, rounds: int) -> list[Row]:
    """Time from the start of the process until it listens, and until codex has answered the first request."""
    listens: dict[str, list[float]] = {"proxy": [], EMPTY: []}
    cpu: dict[str, list[float]] = {"proxy": [], EMPTY: []}
    answers: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds * 3):
        began = time.perf_counter()
        async with hello() as pid:
            listens[EMPTY].append(time.perf_counter() - began)
            cpu[EMPTY].append(cpu_of(pid))
        began = time.perf_counter()
        async with serve() as started:
            listens["proxy"].append(time.perf_counter() - began)
            cpu["proxy"].append(cpu_of(started.pid))
            await started.conversation().ask({"deltas": 1})
            answers["proxy"].append(time.perf_counter() - began)
        for open_subject in (bare_client, official_sdk):
            began = time.perf_counter()
            async with open_subject(lab.launch) as subject:
                await subject.conversation().ask({"deltas": 1})
                answers[subject.name].append(time.perf_counter() - began)
    return [
        Row("Start until it listens", "s", _medians(listens)),
        Row("Start until it listens: CPU", "s", _medians(cpu)),
        Row("Start until the first answer", "s", _medians(answers)),
    ]


def _medians(figures: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in figures.items()}


HTTP: Sequence[Scenario] = (
    first_content,
    burst,
    paced,
    many,
    agent,
    long_conversation,
    idle_threads,
    start_up,
)
WEBSOCKET: Sequence[Scenario] = (first_content, many, agent)


async def measure(rounds: int, wanted: Sequence[str]) -> AsyncGenerator[Row]:
    """Yield the rows of all scenarios, or of the named ones."""
    plans: Mapping[Transport, Sequence[Scenario]] = {"http": HTTP, "websocket": WEBSOCKET}
    for transport, scenarios in plans.items():
        chosen = [one for one in scenarios if not wanted or getattr(one, "__name__", "") in wanted]
        if not chosen:
            continue
        async with lab(transport) as it:
            for scenario in chosen:
                for row in await scenario(it, rounds):
                    yield row
