"""Formats rows of figures as text, as a Markdown table, and as an SVG bar chart; goals as text and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tests.benchmarks.figures import Row
from tests.benchmarks.goals import Verdict

COLUMNS = ("bare client", "official SDK", "bare relay", "proxy")
_COLOURS = {"bare client": "#9aa5b1", "official SDK": "#e0a458", "bare relay": "#c7ccd1", "proxy": "#2f6f9f"}
_BAR, _GAP, _LABEL, _WIDTH = 14, 40, 330, 420


def text(row: Row) -> str:
    """Return a row as one line for a terminal: medians, and in parentheses the quartiles of the rounds."""
    return f"{row.says:62} {row.unit:20} " + "  ".join(f"{name} {_cell(row, name)}" for name in row.figures)


def table(rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> str:
    """Return the rows as a Markdown table; subjects without a column are listed in the last one."""
    lines = [f"| | | {' | '.join(columns)} | |", "| --- | --- |" + " ---: |" * len(columns) + " --- |"]
    for row in rows:
        cells = [_cell(row, name) if name in row.figures else "" for name in columns]
        more = ", ".join(f"{name}: {_cell(row, name)}" for name in row.figures if name not in columns)
        lines.append(f"| {row.says} | {row.unit} | {' | '.join(cells)} | {more} |")
    return "\n".join(lines) + "\n"


def goal_text(verdict: Verdict) -> str:
    """Return a goal as one line for a terminal."""
    return f"{'reached' if verdict.goal.reached(verdict.value) else 'MISSED':8} {verdict.goal.says}: {_value(verdict)}"


def goal_table(verdicts: Sequence[Verdict]) -> str:
    """Return the goals as a Markdown table."""
    lines = ["| Goal | | This run | |", "| --- | --- | ---: | --- |"]
    for verdict in verdicts:
        goal = verdict.goal
        reached = "reached" if goal.reached(verdict.value) else "**missed**"
        lines.append(f"| {goal.says} | {_bound(verdict)} | {_number(verdict.value)} | {reached} |")
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[Row]) -> str:
    """Return an SVG with a group of bars for each row that compares at least two subjects."""
    groups: list[str] = []
    top = 10
    for row in (row for row in rows if len(row.figures) > 1):
        medians = {name: row.median(name) for name in row.figures}
        most = max(medians.values())
        title = f"{row.says}: {row.unit}, {row.better} is better"
        groups.append(f'<text x="10" y="{top + 12}" font-weight="bold">{escape(title)}</text>')
        top += 20
        for name, figure in medians.items():
            width = max(1, figure / most * _WIDTH)
            colour = _COLOURS.get(name, "#c7ccd1")
            groups.append(
                f'<text x="{_LABEL - 8}" y="{top + 11}" text-anchor="end">{escape(name)}</text>'
                f'<rect x="{_LABEL}" y="{top}" width="{width:.0f}" height="{_BAR}" fill="{colour}"/>'
                f'<text x="{_LABEL + width + 6:.0f}" y="{top + 11}">{_number(figure)}</text>'
            )
            top += _BAR + 3
        top += _GAP - 20
    size = f'width="{_LABEL + _WIDTH + 90}" height="{top}"'
    style = (
        '<style>text { font: 12px sans-serif; fill: #24292f }</style><rect width="100%" height="100%" fill="white"/>'
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}{"".join(groups)}</svg>\n'


def _cell(row: Row, name: str) -> str:
    spread = row.spread(name)
    between = "" if spread is None else f" ({_number(spread[0])}…{_number(spread[1])})"
    return _number(row.median(name)) + between


def _value(verdict: Verdict) -> str:
    return f"{_number(verdict.value)} {verdict.goal.unit} ({_bound(verdict)})"


def _bound(verdict: Verdict) -> str:
    goal = verdict.goal
    return f"at {'least' if goal.at_least else 'most'} {_number(goal.bound)} {goal.unit}"


def _number(figure: float) -> str:
    """Return a figure with three significant digits."""
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"
