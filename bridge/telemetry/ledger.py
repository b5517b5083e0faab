"""Keeps the running and recent requests, today's sums, and counters since the server started.

It reads no clock; callers pass all times: `moment` in seconds of a monotonic clock, `epoch` in seconds since 1970, and
the date.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

from msgspec import Struct

from bridge.conversation.events import ReasoningDelta, TextDelta, ToolCall, TurnEvent, Used
from bridge.telemetry.metrics import Counter, Histogram, Metric
from codex_rpc.wire.protocol import TokenUsage

RECENT = 100
"""How many answers are kept after they end."""

ENTRY = "codex_proxy.entry"
"""The key of a request's entry in its ASGI scope."""

_NOTHING = TokenUsage(0, 0, 0, 0)
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_KINDS = ("input", "cached_input", "output", "reasoning_output")


class RequestLogEntry(Struct, eq=False):
    """The log entry of one request; fields that only answers of a model have stay None for other requests."""

    id: str = ""
    method: str = ""
    path: str = ""
    epoch: float = 0
    """When the request arrived, in seconds since 1970."""
    moment: float = 0
    """The same on a monotonic clock; all durations are measured from it."""
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
    """The code of the error that the client received, also inside a stream."""

    def record(self, events: Iterable[TurnEvent], moment: float) -> None:
        """Add events of the answer."""
        for event in events:
            match event:
                case TextDelta(tokens=tokens):
                    self.deltas += tokens
                    self._note_output(moment)
                case ReasoningDelta() | ToolCall():
                    self._note_output(moment)
                case Used(usage):
                    self.usage += usage
                case _:
                    pass

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


class Ledger:
    """The entries of all requests. An answer is a request that names a model."""

    def __init__(self, date: str = "") -> None:
        self.today = Day(date)
        self.recent: deque[RequestLogEntry] = deque(maxlen=RECENT)
        self._open: dict[int, RequestLogEntry] = {}
        self._requests = Counter(
            "codex_proxy_requests_total", "Requests by method, route and status.", "method", "route", "status"
        )
        self._errors = Counter("codex_proxy_errors_total", "Answers that failed, by error code.", "code")
        self._tokens = Counter(
            "codex_proxy_tokens_total",
            "Tokens of answers; cached_input is a part of input, reasoning_output of output.",
            "kind",
        )
        self._deltas = Counter("codex_proxy_deltas_total", "Text deltas received from the model.")
        self._first_token = Histogram(
            "codex_proxy_first_token_seconds", "Seconds until the first output of the model.", _SECONDS
        )
        self._seconds = Histogram("codex_proxy_answer_seconds", "Seconds until the end of an answer.", _SECONDS)

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
        self._requests.add(entry.method, route, str(entry.status or "gone"))
        if entry.model is None:
            return
        self.recent.append(entry)
        if self.today.date != date:
            self.today = Day(date)
        self.today.requests += 1
        self.today.usage += entry.usage
        self._seconds.observe(entry.seconds)
        self._deltas.add(amount=entry.deltas)
        for kind in _KINDS:
            self._tokens.add(kind, amount=getattr(entry.usage, kind))
        if entry.first_token is not None:
            self._first_token.observe(entry.first_token)
        if entry.error is not None:
            self.today.failed += 1
            self._errors.add(entry.error)

    def metrics(self) -> Iterator[Metric]:
        """Yield all counters."""
        yield from (self._requests, self._errors, self._tokens, self._deltas, self._first_token, self._seconds)
