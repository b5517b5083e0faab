"""Formats rows of figures as text, as a Markdown table, and as an SVG bar chart."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tests.benchmarks.scenarios import Row

COLUMNS = ("bare client", "official SDK", "bare relay", "proxy")
_COLOURS = {"bare client": "#9aa5b1", "official SDK": "#e0a458", "bare relay": "#c7ccd1", "proxy": "#2f6f9f"}
_BAR, _GAP, _LABEL, _WIDTH = 14, 40, 330, 420


def text(row: Row) -> str:
    """Return a row as one line for a terminal."""
    return f"{row.scenario:62} {row.unit:20} " + "  ".join(f"{name} {_number(it)}" for name, it in row.figures.items())


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table; subjects without a column are listed in the last one."""
    lines = [f"| | | {' | '.join(COLUMNS)} | |", "| --- | --- |" + " ---: |" * len(COLUMNS) + " --- |"]
    for row in rows:
        cells = [_number(row.figures[name]) if name in row.figures else "" for name in COLUMNS]
        more = ", ".join(f"{name}: {_number(it)}" for name, it in row.figures.items() if name not in COLUMNS)
        lines.append(f"| {row.scenario} | {row.unit} | {' | '.join(cells)} | {more} |")
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[Row]) -> str:
    """Return an SVG with a group of bars for each row that compares at least two subjects."""
    groups: list[str] = []
    top = 10
    for row in (row for row in rows if len(row.figures) > 1):
        most = max(row.figures.values())
        title = f"{row.scenario}: {row.unit}, {row.better} is better"
        groups.append(f'<text x="10" y="{top + 12}" font-weight="bold">{escape(title)}</text>')
        top += 20
        for name, figure in row.figures.items():
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


def _number(figure: float) -> str:
    """Return a figure with three significant digits."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
