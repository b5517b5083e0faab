"""The goals of the project, each a ratio or a difference within one run, and whether a run reached them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from tests.benchmarks.costs import EMPTY, OVER_WEBSOCKET
from tests.benchmarks.figures import Row

BARE, SDK, RELAY, PROXY = "bare client", "official SDK", "bare relay", "proxy"
Figure: TypeAlias = Callable[[str, str], float]
"""Row key, subject → median; KeyError if it was not measured."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is compared, how, and its bound: at most, or with `at_least` at least."""

    says: str
    value: Callable[[Figure], float]
    bound: float
    unit: str = "times"
    at_least: bool = False

    def reached(self, value: float) -> bool:
        """Tell whether a value is within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


class Verdict(NamedTuple):
    """A goal and what a run measured."""

    goal: Goal
    value: float


def _ratio(key: str, other: str, subject: str = PROXY) -> Callable[[Figure], float]:
    return lambda figure: figure(key, subject) / figure(key, other)


def _later(key: str) -> Callable[[Figure], float]:
    return lambda figure: figure(key, PROXY) - figure(key, RELAY)


def _growth(subject: str) -> Callable[[Figure], float]:
    return lambda figure: figure("turn 100", subject) / figure("turn 2", subject)


GOALS: Sequence[Goal] = (
    Goal("First text, living conversation (http): later than the relay", _later("living http"), 2, "ms"),
    Goal("First text, living conversation (websocket): later than the relay", _later("living websocket"), 2, "ms"),
    Goal("First text, new conversation (websocket): of the bare client's time", _ratio("new websocket", BARE), 0.6),
    Goal("Burst: of the bare client's rate", _ratio("burst", BARE), 1.0, at_least=True),
    Goal("Burst: of the SDK's rate", _ratio("burst", SDK), 3, at_least=True),
    Goal("Paced streams, 99th percentile: later than the relay", _later("paced 99"), 3, "ms"),
    Goal("Paced streams, CPU of a delta: of the relay's", _ratio("paced CPU", RELAY), 1.8),
    Goal("Paced streams, CPU of a delta: of the SDK's", _ratio("paced CPU", SDK), 1 / 6),
    Goal("Short requests (http): of the bare client's rate", _ratio("short http", BARE), 0.95, at_least=True),
    Goal("Short requests (websocket): of the bare client's rate", _ratio("short websocket", BARE), 0.95, at_least=True),
    Goal("Turn 100: of the cost of turn 2, whole history over HTTP", _growth(PROXY), 1.4),
    Goal("Turn 100: of the cost of turn 2, new items over WebSocket", _growth(OVER_WEBSOCKET), 1.1),
    Goal("Memory of a stream", lambda figure: figure("stream memory", PROXY), 60, "kB"),
    Goal("Memory, idle", lambda figure: figure("idle memory", PROXY), 50, "MB"),
    Goal("Start until it listens: of an empty application's time", _ratio("start", EMPTY), 1.4),
)


def verdicts(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Yield a verdict for each goal whose rows were measured."""
    by_key: Mapping[str, Row] = {row.key: row for row in rows}
    for goal in GOALS:
        try:
            value = goal.value(lambda key, subject: by_key[key].median(subject))
        except KeyError:
            continue
        yield Verdict(goal, value)
