"""The metrics for Prometheus, in its text format: made from the ledger and the server's state when they are requested.

It loads prometheus-client, which few servers need, so it is imported at the first request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import TypeAlias

from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge.telemetry.ledger import BOUNDS, Durations, Ledger

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Values: TypeAlias = Mapping[tuple[str, ...], float] | Mapping[str, float]
"""A number for each combination of label values, or for each value of the only label. The last labels may be absent."""


class ServerState(Struct, frozen=True):
    """What the server measures at this moment."""

    codex_up: bool
    codex_starts: int
    threads: Mapping[str, int]
    """Their number, by state."""
    answers: Mapping[str, int]
    """Their number by state, and their limit."""
    quota: Mapping[str, float]
    """Percent used, by window."""


def exposition(ledger: Ledger, state: ServerState) -> bytes:
    """Return all metrics as text for a scraper."""
    registry = CollectorRegistry()
    registry.register(_Metrics(ledger, state))
    return generate_latest(registry)


class _Metrics(Collector):
    def __init__(self, ledger: Ledger, state: ServerState) -> None:
        self._ledger, self._state = ledger, state

    def collect(self) -> Iterator[Metric]:
        """Yield each metric; called by prometheus-client."""
        ledger, state = self._ledger, self._state
        about_requests = "Requests by method, route and status; those with a named key have its name as `key`."
        yield _counter("requests", about_requests, ledger.requests, "method", "route", "status", "key")
        yield _counter("errors", "Answers that failed, by error code.", ledger.errors, "code")
        about_tokens = "Tokens of answers; cached_input is a part of input, reasoning_output of output."
        tokens = {
            (kind, *([key] if key else [])): getattr(usage, kind)
            for key, usage in ledger.usage.items()
            for kind in ("input", "cached_input", "output", "reasoning_output")
        }
        yield _counter("tokens", about_tokens, tokens, "kind", "key")
        yield _counter("deltas", "Text deltas received from the model.", {(): ledger.deltas})
        yield _histogram("first_token_seconds", "Seconds until the first output of the model.", ledger.first_token)
        yield _histogram("answer_seconds", "Seconds until the end of an answer.", ledger.seconds)
        yield _gauge("codex_up", "Whether codex is running.", {(): state.codex_up})
        yield _gauge("codex_starts", "How often codex was started.", {(): state.codex_starts})
        yield _gauge("threads", "Threads by state.", state.threads, "state")
        yield _gauge("answers", "Answers by state, and their limit.", state.answers, "state")
        yield _gauge("quota_used_percent", "Percent of the quota used, by window.", state.quota, "window")
        about_cache = "Share of today's input tokens that came from the upstream's cache."
        today = ledger.today.usage
        yield _gauge("cache_share_today", about_cache, {(): today.cached_input / today.input if today.input else 0})


def _counter(name: str, text: str, values: Values, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(f"codex_proxy_{name}", text, labels=labels), values)  # named …_total


def _gauge(name: str, text: str, values: Values, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(f"codex_proxy_{name}", text, labels=labels), values)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: Values) -> Metric:
    for labels, value in values.items():
        family.add_metric([labels] if isinstance(labels, str) else labels, value)
    return family


def _histogram(name: str, text: str, durations: Durations) -> Metric:
    totals = accumulate(durations.counts)
    buckets = [(f"{bound:g}", total) for bound, total in zip(BOUNDS, totals, strict=False)]
    return HistogramMetricFamily(
        f"codex_proxy_{name}", text, [*buckets, ("+Inf", sum(durations.counts))], durations.total
    )
