"""Reports on the usage of many days, as JSON."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from bridge.store.usage import COLUMNS, Grouping, Numbers
from bridge.telemetry.ledger import BOUNDS

_EDGES = (0, *BOUNDS, BOUNDS[-1])
"""Where each count of the histogram begins, and the next one; longer durations than the last bound count as that."""


def usage_report(
    days: Sequence[str], by: Grouping, lines: Mapping[str, Numbers], account: Mapping[str, int] | None
) -> Mapping[str, Any]:
    """Return the lines of these days, days in order and others by their tokens, the most first.

    `account` is what codex knows: the tokens of each day of the whole account, other clients included. A line by day
    has them in `account_tokens`, also on days without an answer of this server.
    """
    known = {day: account[day] for day in days if day in account} if account and by == "day" else {}
    nothing = [0] * len(COLUMNS)
    rows: list[Mapping[str, Any]] = []
    for name in sorted({*lines, *known}):
        more = {"account_tokens": known.get(name)} if by == "day" else {}
        rows.append({by: name or None, **_line(lines.get(name, nothing)), **more})
    if by != "day":
        rows.sort(key=lambda row: row["input_tokens"] + row["output_tokens"], reverse=True)
    return {"from": days[0], "to": days[-1], "by": by, "rows": rows}


def _line(numbers: Numbers) -> Mapping[str, Any]:
    requests, errors, input_tokens, cached, output_tokens, reasoning, *counts = numbers
    return {
        "requests": requests,
        "errors": errors,
        "input_tokens": input_tokens,
        "cached_input_tokens": cached,
        "output_tokens": output_tokens,
        "reasoning_output_tokens": reasoning,
        "cache_share": round(cached / input_tokens, 4) if input_tokens else None,
        "first_token_seconds": {"median": quantile(counts, 0.5), "p90": quantile(counts, 0.9)},
    }


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Estimate a quantile of durations counted by BOUNDS, within the two bounds evenly; None without durations."""
    up_to = (0, *accumulate(counts))
    wanted = up_to[-1] * share
    if not wanted:
        return None
    above = bisect_left(up_to, wanted)
    low, high = _EDGES[above - 1], _EDGES[above]
    return round(low + (high - low) * (wanted - up_to[above - 1]) / counts[above - 1], 3)
