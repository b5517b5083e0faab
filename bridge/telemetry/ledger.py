"""The book of requests: which run, which ended lately, what today's cost, and the counters that grow for ever.

Knows no clock: times come in, `moment` from a clock that never jumps, `epoch` and the day for people.
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
"""Answers that are remembered after their end."""

ENTRY = "codex_proxy.entry"
"""The key of a request's entry in its ASGI scope."""

_NOTHING = TokenUsage(0, 0, 0, 0)
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_KINDS = ("input", "cached_input", "output", "reasoning_output")


class RequestLogEntry(Struct, eq=False):
    """What is known of one request; what no answer of a model has stays None."""

    id: str = ""
    method: str = ""
    path: str = ""
    epoch: float = 0
    """When it came, in seconds since 1970."""
    moment: float = 0
    """The same by a clock that never jumps; all durations count from it."""
    model: str | None = None
    """The name as requested."""
    thread: str | None = None
    """What became of the conversation's thread, and why."""
    first_token: float | None = None
    """Seconds until the model said something."""
    seconds: float | None = None
    """Seconds until the end."""
    deltas: int = 0
    usage: TokenUsage = _NOTHING
    status: int | None = None
    """The HTTP status; None while there is none, and for a client that left before."""
    error: str | None = None
    """The code of the error that the client was told, in the stream too."""

    def saw(self, events: Iterable[TurnEvent], moment: float) -> None:
        """Note what happened in the answer."""
        for event in events:
            match event:
                case TextDelta(tokens=tokens):
                    self.deltas += tokens
                    self._said(moment)
                case ReasoningDelta() | ToolCall():
                    self._said(moment)
                case Used(usage):
                    self.usage += usage
                case _:
                    pass

    def _said(self, moment: float) -> None:
        if self.first_token is None:
            self.first_token = moment - self.moment


def entry_of(scope: MutableMapping[str, Any]) -> RequestLogEntry:
    """Return the entry of a request; one that nobody keeps if the scope has none."""
    return scope.setdefault(ENTRY, RequestLogEntry())


class Day(Struct):
    """What the answers of one day cost."""

    date: str
    requests: int = 0
    failed: int = 0
    usage: TokenUsage = _NOTHING


class Ledger:
    """All entries. An answer is a request that names a model."""

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
        self._deltas = Counter("codex_proxy_deltas_total", "Pieces of text that came from the model.")
        self._first_token = Histogram(
            "codex_proxy_first_token_seconds", "Time until the model said something.", _SECONDS
        )
        self._seconds = Histogram("codex_proxy_answer_seconds", "Time until an answer ended.", _SECONDS)

    @property
    def running(self) -> list[RequestLogEntry]:
        """The answers that are not over, the oldest first."""
        return [entry for entry in self._open.values() if entry.model is not None]

    def open(self, entry: RequestLogEntry) -> None:
        """A request has come."""
        self._open[id(entry)] = entry

    def close(self, entry: RequestLogEntry, route: str, moment: float, date: str) -> None:
        """A request is over; `route` is a template, so that there are few, and `date` the day on which it ended."""
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
