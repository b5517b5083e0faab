"""Numbers that a monitoring system reads: counters and histograms that we keep, gauges that are read when asked for.

Source: the Prometheus text exposition format, version 0.0.4.
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
    """One name with what it means, and its values."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Literal["counter", "gauge", "histogram"]: ...

    @property
    def help(self) -> str: ...

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Yield each value: what follows the name, the labels, the number."""
        ...


class Counter:
    """A number for each set of labels; it only grows."""

    kind: Literal["counter"] = "counter"

    def __init__(self, name: str, help_text: str, *labels: str) -> None:
        self.name, self.help, self._labels = name, help_text, labels
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0}

    def add(self, *labels: str, amount: float = 1) -> None:
        """Count for these values of the labels."""
        self._values[labels] = self._values.get(labels, 0) + amount

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Yield each value."""
        for values, number in self._values.items():
            yield "", dict(zip(self._labels, values, strict=True)), number


class Histogram:
    """How many observations were at most as large as each of some bounds."""

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
        """Yield the buckets, each with all that is in those before it, then sum and count."""
        totals = list(accumulate(self._counts))
        for bound, total in zip((*self._bounds, float("inf")), totals, strict=True):
            yield "_bucket", {"le": _number(bound)}, total
        yield "_sum", {}, self._sum
        yield "_count", {}, totals[-1]


class Gauge(Struct, frozen=True):
    """What a number is now, for each value of one label, or without one."""

    name: str
    help: str
    values: Mapping[str, float] | float
    label: str = ""

    @property
    def kind(self) -> Literal["gauge"]:
        return "gauge"

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Yield each value."""
        if isinstance(self.values, Mapping):
            yield from (("", {self.label: value}, number) for value, number in self.values.items())
        else:
            yield "", {}, self.values


def exposition(metrics: Iterable[Metric]) -> str:
    """Return the text that a scraper reads."""
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
