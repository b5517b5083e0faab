"""The rows of the benchmark's table: what was measured in each round, its median and its spread."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One row: subject name → its figure in each round; `better` says whether lower or higher is better.

    `key` is what the goals call the row.
    """

    key: str
    says: str
    unit: str
    figures: Mapping[str, Sequence[float]]
    better: str = "less"

    def median(self, subject: str) -> float:
        """Return the middle figure of a subject; KeyError without any."""
        return statistics.median(self.figures[subject])

    def spread(self, subject: str) -> tuple[float, float] | None:
        """Return the first and the third quartile of a subject's figures; None with less than three rounds."""
        figures = self.figures[subject]
        if len(figures) < 3:
            return None
        low, _, high = statistics.quantiles(figures, n=4, method="inclusive")
        return low, high
