"""The scenarios that compare speed: first text, a burst, paced streams, short requests."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import anyio

from tests.benchmarks.figures import Row
from tests.benchmarks.lab import Lab
from tests.benchmarks.subjects import Conversation, Heard, Subject

BURST = 20_000
STREAMS, PACED, PAUSE, OPENING = 64, 32, 0.05, 3
SHORT, AT_ONCE = 60, 32
QUESTIONS = 3
SENTENCE = {"deltas": 2, "pause": 0.02}
"""The second delta comes later, as from a model: the end of an answer does not delay its first text."""
REST = 0.7
"""Seconds between two conversations, as with human users."""


Figures: TypeAlias = Mapping[str, Sequence[float]]
"""Subject name → its figure in each round."""


async def first_texts(subjects: Sequence[Subject], rounds: int) -> tuple[Figures, Figures]:
    """Return the milliseconds to the first text in new conversations, and in continued ones."""
    new: dict[str, list[float]] = defaultdict(list)
    living: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for subject in subjects:
            await anyio.sleep(REST)
            conversation = subject.conversation()
            new[subject.name].append((await conversation.ask(SENTENCE)).first)
            living[subject.name].append((await conversation.ask(SENTENCE)).first)
    return new, living


async def bursts(subjects: Sequence[Subject], rounds: int, deltas: int) -> tuple[Figures, Figures]:
    """Return the deltas a second of one stream at full speed, and the microseconds of CPU for each delta."""
    rates: dict[str, list[float]] = defaultdict(list)
    costs: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for subject in subjects:
            before = subject.cpu()
            heard = await subject.conversation().ask({"deltas": deltas})
            assert heard.words == deltas, subject.name
            costs[subject.name].append((subject.cpu() - before) / deltas * 1e6)
            rates[subject.name].append(heard.rate)
    return rates, costs


async def short_requests(subjects: Sequence[Subject], rounds: int) -> tuple[Figures, Figures]:
    """Return the requests a second in new conversations, several at once, and the milliseconds of CPU for each."""
    rates: dict[str, list[float]] = defaultdict(list)
    costs: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for subject in subjects:
            before, began = subject.cpu(), time.perf_counter()
            await _all_at_once([subject.conversation() for _ in range(SHORT)])
            rates[subject.name].append(SHORT / (time.perf_counter() - began))
            costs[subject.name].append((subject.cpu() - before) / SHORT * 1e3)
    return rates, costs


async def first_content(lab: Lab, rounds: int) -> list[Row]:
    """Time from the question to the first text, in a new and in a continued conversation."""
    new, living = await first_texts(lab.subjects, rounds * QUESTIONS)
    at = lab.transport
    return [
        Row(f"new {at}", f"First text, new conversation ({at})", "ms", new),
        Row(f"living {at}", f"First text, living conversation ({at})", "ms", living),
    ]


async def burst(lab: Lab, rounds: int) -> list[Row]:
    """One stream at full speed."""
    rates, costs = await bursts(lab.subjects, rounds, BURST)
    return [
        Row("burst", f"Burst of {BURST:,} deltas", "deltas/s", rates, "more"),
        Row("burst CPU", "CPU in a burst", "µs a delta", costs),
    ]


async def paced(lab: Lab, rounds: int) -> list[Row]:
    """Many living conversations that stream at a model's pace; the first and last delta of each are not counted."""
    middle: dict[str, list[float]] = defaultdict(list)
    slowest: dict[str, list[float]] = defaultdict(list)
    costs: dict[str, list[float]] = defaultdict(list)
    idle = lab.proxy.memory()
    conversations = {subject.name: [subject.conversation() for _ in range(STREAMS)] for subject in lab.subjects}
    for subject in lab.subjects:
        await _all_at_once(conversations[subject.name])
    memory: list[float] = []
    for _ in range(rounds):
        for subject in lab.subjects:
            begin, heard = time.monotonic() + OPENING, list[Heard]()

            async def ask(conversation: Conversation, at: float, heard: list[Heard]) -> None:
                heard.append(await conversation.ask({"deltas": PACED, "pause": PAUSE, "at": at}))

            async with anyio.create_task_group() as tasks:
                for number, conversation in enumerate(conversations[subject.name]):
                    tasks.start_soon(ask, conversation, begin + number * PAUSE / STREAMS, heard)
                await anyio.sleep(begin + PAUSE - time.monotonic())
                before = subject.cpu()
                await anyio.sleep((PACED - 2) * PAUSE)
                costs[subject.name].append((subject.cpu() - before) / STREAMS / (PACED - 2) * 1e6)
                if subject is lab.proxy:
                    memory.append((lab.proxy.memory() - idle) / STREAMS / 1000)
            assert sum(len(one.delays) for one in heard) == STREAMS * PACED
            delays = [delay for one in heard for delay in one.delays[1:-1]]
            middle[subject.name].append(statistics.median(delays))
            slowest[subject.name].append(statistics.quantiles(delays, n=100)[98])
    what = f"{STREAMS} streams, {1 / PAUSE:.0f} deltas/s each"
    return [
        Row("paced", f"{what}: delay of a delta", "ms, median", middle),
        Row("paced 99", f"{what}: delay of a delta", "ms, 99th percentile", slowest),
        Row("paced CPU", f"{what}: CPU", "µs a delta", costs),
        Row("stream memory", f"{what}: memory", "kB a stream", {lab.proxy.name: memory}),
    ]


async def many(lab: Lab, rounds: int) -> list[Row]:
    """Many short conversations at once."""
    rates, costs = await short_requests(lab.subjects, rounds)
    what = f"Rounds of {SHORT} short requests, {AT_ONCE} at once ({lab.transport})"
    return [
        Row(f"short {lab.transport}", what, "requests/s", rates, "more"),
        Row(f"short {lab.transport} CPU", f"{what}: CPU", "ms a request", costs),
    ]


async def _all_at_once(conversations: Sequence[Conversation]) -> None:
    slots = anyio.Semaphore(AT_ONCE)

    async def ask(conversation: Conversation) -> None:
        async with slots:
            await conversation.ask({"deltas": 5})

    async with anyio.create_task_group() as tasks:
        for conversation in conversations:
            tasks.start_soon(ask, conversation)
