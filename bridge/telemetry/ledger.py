"""Keeps the running and recent requests, today's sums, and counters since the server started.

It reads no clock; callers pass all times: `moment` in seconds of a monotonic clock, `epoch` in seconds since 1970, and
the date.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

from msgspec import Struct

from bridge.conversation.events import APPROVAL, Asked, ReasoningDelta, StepDone, TextDelta, ToolCall, TurnEvent, Used
from bridge.telemetry.agent_log import AgentLog
from codex_rpc.wire.events import TokenUsage

RECENT = 100
"""How many answers are kept after they end."""

ENTRY = "codex_proxy.entry"
"""The key of a request's entry in its ASGI scope."""

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""Seconds by which durations are counted."""

_NOTHING = TokenUsage(0, 0, 0, 0)


class RequestLogEntry(Struct, eq=False):
    """The log entry of one request; fields that only answers of a model have stay None for other requests."""

    id: str = ""
    method: str = ""
    path: str = ""
    epoch: float = 0
    """When the request arrived, in seconds since 1970."""
    moment: float = 0
    """The same on a monotonic clock; all durations are measured from it."""
    key: str | None = None
    """The name of the client's key; None for the server's own key, and without keys."""
    key_id: str | None = None
    """The id of that key, which no other key gets, not even one of the same name."""
    model: str | None = None
    """The model name as requested."""
    thread: str | None = None
    """The thread outcome: whether the thread was new, continued or rebuilt, and why."""
    first_token: float | None = None
    """Seconds until the first output of the model."""
    seconds: float | None = None
    """Seconds until the request ended; None while it runs."""
    deltas: int = 0
    usage: TokenUsage = _NOTHING
    status: int | None = None
    """The HTTP status; None until the response starts, and if the client left before."""
    error: str | None = None
    """The code of the error that the client received, also inside a stream; without a code, its type."""
    did: AgentLog | None = None
    """What an agent did; None for other answers."""

    def record(self, events: Iterable[TurnEvent], moment: float) -> None:
        """Add events of the answer."""
        for event in events:
            match event:
                case TextDelta(tokens=tokens):
                    self.deltas += tokens
                    self._note_output(moment)
                case ReasoningDelta():
                    self._note_output(moment)
                case ToolCall(name=name):
                    self._note_output(moment)
                    if name == APPROVAL:
                        self._note_step(event)
                case Used(usage):
                    self.usage += usage
                case StepDone() | Asked():
                    self._note_step(event)
                case _:
                    pass

    def _note_step(self, event: TurnEvent) -> None:
        self.did = self.did or AgentLog()
        self.did.add(event)

    def _note_output(self, moment: float) -> None:
        if self.first_token is None:
            self.first_token = moment - self.moment


def entry_of(scope: MutableMapping[str, Any]) -> RequestLogEntry:
    """Return the log entry of a request; create one outside the ledger if the scope has none."""
    return scope.setdefault(ENTRY, RequestLogEntry())


class Day(Struct):
    """The sums of one day's answers."""

    date: str
    requests: int = 0
    failed: int = 0
    usage: TokenUsage = _NOTHING


class Durations:
    """Durations in seconds: their sum, and how many lie between two BOUNDS; the last number is of those above all."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration; one that equals a bound is below it."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Ledger:
    """The entries of all requests, and their numbers since the start. An answer is a request that names a model."""

    def __init__(self, date: str = "") -> None:
        self.today = Day(date)
        self.recent: deque[RequestLogEntry] = deque(maxlen=RECENT)
        self.requests: Counter[tuple[str, ...]] = Counter()
        """By method, route, status and, if it has one, the name of the key."""
        self.errors: Counter[str] = Counter()
        """Answers that failed, by error code."""
        self.usage: dict[str | None, TokenUsage] = {None: _NOTHING}
        """By the name of the key."""
        self.deltas = 0
        self.first_token = Durations()
        self.seconds = Durations()
        self.listeners: list[Callable[[RequestLogEntry], None]] = []
        """Called with each entry of an answer when it is closed."""
        self._open: dict[int, RequestLogEntry] = {}

    @property
    def running(self) -> list[RequestLogEntry]:
        """The running answers, the oldest first."""
        return [entry for entry in self._open.values() if entry.model is not None]

    def open(self, entry: RequestLogEntry) -> None:
        """Add a request that has arrived."""
        self._open[id(entry)] = entry

    def close(self, entry: RequestLogEntry, route: str, moment: float, date: str) -> None:
        """Close an entry. `route` is a path template, to keep metrics few; `date` is the day on which it ended."""
        del self._open[id(entry)]
        entry.seconds = moment - entry.moment
        self.requests[entry.method, route, str(entry.status or "gone"), *([entry.key] if entry.key else [])] += 1
        if entry.model is None:
            return
        self.recent.append(entry)
        if self.today.date != date:
            self.today = Day(date)
        self.today.requests += 1
        self.today.usage += entry.usage
        self.usage[entry.key] = self.usage.get(entry.key, _NOTHING) + entry.usage
        self.deltas += entry.deltas
        self.seconds.add(entry.seconds)
        if entry.first_token is not None:
            self.first_token.add(entry.first_token)
        if entry.error is not None:
            self.today.failed += 1
            self.errors[entry.error] += 1
        for listener in self.listeners:
            listener(entry)
