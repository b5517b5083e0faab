"""The report on the usage of days, and the table that shows it."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from bridge.cli.usage import usage_parts
from bridge.store.usage import DURATIONS, Numbers
from bridge.telemetry.usage_report import quantile, usage_report

DAYS = ["2026-11-26", "2026-11-27", "2026-11-28", "2026-11-29"]


def numbers(requests: int, tokens: int) -> Numbers:
    histogram = [0] * DURATIONS
    histogram[3] = requests
    return [requests, 1, tokens, tokens // 2, 10, 5, *histogram]


def line(**more: Any) -> dict[str, Any]:
    return {
        "requests": 2, "errors": 1, "input_tokens": 100, "cached_input_tokens": 50, "output_tokens": 10,
        "reasoning_output_tokens": 5, "cache_share": 0.5, "first_token_seconds": {"median": 0.375, "p90": 0.475},
        **more,
    }  # fmt: skip


def test_days_are_in_order_with_what_codex_knows_of_them() -> None:
    lines = {"2026-11-29": numbers(2, 100)}
    report = usage_report(DAYS, "day", lines, {"2026-11-27": 500, "2026-11-29": 700, "2026-01-01": 9})
    assert (report["from"], report["to"], report["by"]) == ("2026-11-26", "2026-11-29", "day")
    assert [(row["day"], row["requests"], row["account_tokens"]) for row in report["rows"]] == [
        ("2026-11-27", 0, 500),
        ("2026-11-29", 2, 700),
    ]
    assert report["rows"][1] == line(day="2026-11-29", account_tokens=700)


def test_other_lines_are_ordered_by_their_tokens_and_no_key_is_null() -> None:
    report = usage_report(DAYS, "key", {"anna": numbers(1, 100), "": numbers(1, 300)}, {"2026-11-27": 500})
    assert [row["key"] for row in report["rows"]] == [None, "anna"]
    assert "account_tokens" not in report["rows"][0]


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([0] * 13, 0.5, None),
        ([4, *[0] * 12], 0.5, 0.025),
        ([0, 0, 0, 10, *[0] * 9], 0.9, 0.475),
        ([1, 0, 0, 0, 0, 1, *[0] * 7], 0.5, 0.05),
        ([*[0] * 12, 3], 0.5, 1800),
    ],
)
def test_a_quantile_is_estimated_within_its_bounds(counts: list[int], share: float, expected: float | None) -> None:
    assert quantile(counts, share) == expected


def shown(report: Any, width: int = 100) -> list[str]:
    console = Console(file=StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        console.print(*usage_parts(report), sep="\n")
    return [text.rstrip() for text in captured.get().splitlines()]


def test_the_table_has_every_day_since_the_first_and_bars_by_tokens() -> None:
    lines = {"2026-11-27": numbers(2, 190), "2026-11-29": numbers(1, 90)}
    head, *days, _, total = shown(usage_report(DAYS, "day", lines, None))
    assert head.split() == ["day", "requests", "errors", "in", "cached", "out", "first", "tokens"]
    assert [day.split()[:7] for day in days] == [
        ["2026-11-27", "2", "1", "190", "50%", "10", "0.4"],
        ["2026-11-28", *["-"] * 6],
        ["2026-11-29", "1", "1", "90", "50%", "10", "0.4"],
    ]
    assert [day.count("━") for day in days] == [20, 0, 10]
    assert total == "3 requests, 280 tokens in, 20 out"
    assert shown(usage_report(DAYS, "key", {"anna": numbers(1, 90)}, None))[-1] == "1 request, 90 tokens in, 10 out"


def test_the_table_shows_the_account_where_it_is_known_and_names_requests_without_a_key() -> None:
    report = usage_report(DAYS, "day", {}, {"2026-11-29": 1234})
    assert shown(report)[1].split() == ["2026-11-29", *["-"] * 6, "1.2k"]
    assert shown(usage_report(DAYS, "key", {"": numbers(1, 1)}, None))[1].startswith("(no name)")
    assert shown(usage_report(DAYS, "day", {}, None)) == ["No requests from 2026-11-26 to 2026-11-29."]


@pytest.mark.parametrize(("width", "bars"), [(60, False), (80, True), (200, True)])
def test_a_day_stays_on_its_line_and_bars_are_left_out_where_they_have_no_room(width: int, bars: bool) -> None:
    lines = shown(usage_report(DAYS, "day", {day: numbers(412, 2_300_000) for day in DAYS}, None), width)
    assert [line[:10] for line in lines[1:5]] == DAYS
    assert max(map(len, lines)) <= width
    assert ("tokens" in lines[0], "━" in lines[1]) == (bars, bars)
    assert lines[1].split()[:6] == [DAYS[0], "412", "1", "2.3M", "50%", "10"]


def test_on_a_terminal_of_eighty_columns_no_number_is_cut() -> None:
    days = {day: numbers(99_999, 999_999_999) for day in DAYS}
    lines = shown(usage_report(DAYS, "day", days, dict.fromkeys(DAYS, 1_999_999_999)), width=80)
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    assert lines[1].split()[:8] == [DAYS[0], "100.0k", "1", "1000.0M", "50%", "10", "0.4", "s"]
    assert "━" in lines[1]
