"""Metrics for monitoring: counters and histograms that are kept, and gauges that are read on request.

The format is the Prometheus text exposition format, version 0.0.4.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Literal, Protocol

from msgspec import Struct

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Metric(Protocol):
    """A named metric with a help text and samples."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Literal["counter", "gauge", "histogram"]: ...

    @property
    def help(self) -> str: ...

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Yield each sample: the suffix of its name, its labels, its value."""
        ...


class Counter:
    """A number for each combination of label values; it never decreases."""

    kind: Literal["counter"] = "counter"

    def __init__(self, name: str, help_text: str, *labels: str) -> None:
        self.name, self.help, self._labels = name, help_text, labels
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0}

    def add(self, *labels: str, amount: float = 1) -> None:
        """Add `amount` to the number for these label values."""
        self._values[labels] = self._values.get(labels, 0) + amount

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Yield each sample."""
        for values, number in self._values.items():
            yield "", dict(zip(self._labels, values, strict=True)), number


class Histogram:
    """Counts observations in buckets with the given upper bounds."""

    kind: Literal["histogram"] = "histogram"

    def __init__(self, name: str, help_text: str, bounds: Sequence[float]) -> None:
        self.name, self.help = name, help_text
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count an observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Yield the buckets, which are cumulative, then sum and count."""
        totals = list(accumulate(self._counts))
        for bound, total in zip((*self._bounds, float("inf")), totals, strict=True):
            yield "_bucket", {"le": _number(bound)}, total
        yield "_sum", {}, self._sum
        yield "_count", {}, totals[-1]


class Gauge(Struct, frozen=True):
    """The current value of a number, or one number for each value of a label."""

    name: str
    help: str
    values: Mapping[str, float] | float
    label: str = ""

    @property
    def kind(self) -> Literal["gauge"]:
        return "gauge"

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Yield each sample."""
        if isinstance(self.values, Mapping):
            yield from (("", {self.label: value}, number) for value, number in self.values.items())
        else:
            yield "", {}, self.values


def exposition(metrics: Iterable[Metric]) -> str:
    """Return the metrics as text for a scraper."""
    return "".join(_family(metric) for metric in metrics)


def _family(metric: Metric) -> str:
    lines = [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
    lines += [
        f"{metric.name}{suffix}{_labels(labels)} {_number(number)}" for suffix, labels, number in metric.samples()
    ]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else f"{value:.15g}"
