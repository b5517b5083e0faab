"""`make bench`: runs the scenarios, prints the table, and with `--write FOLDER` also writes it there with its plot."""

from __future__ import annotations

import argparse
from pathlib import Path

import anyio

from tests.benchmarks.report import plot, table, text
from tests.benchmarks.scenarios import Row, measure


async def main(rounds: int, wanted: list[str], folder: Path | None) -> None:
    """Run the scenarios; print each row as soon as it is measured."""
    rows: list[Row] = []
    async for row in measure(rounds, wanted):
        rows.append(row)
        print(text(row), flush=True)  # noqa: T201
    if folder is not None:
        write(rows, folder)


def write(rows: list[Row], folder: Path) -> None:
    """Write the table between the markers in performance.md, and the plot next to it."""
    page = folder / "performance.md"
    head, mark, rest = page.read_text(encoding="utf-8").partition("<!-- figures -->\n")
    _, end, tail = rest.partition("<!-- end of figures -->\n")
    page.write_text(head + mark + table(rows) + end + tail, encoding="utf-8")
    (folder / "performance.svg").write_text(plot(rows), encoding="utf-8")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(prog="make bench", description=__doc__)
    arguments.add_argument("scenario", nargs="*", help="names of functions in scenarios.py; all without any")
    arguments.add_argument("--rounds", type=int, default=7, help="how often what is reported as a median is measured")
    arguments.add_argument("--write", type=Path, metavar="FOLDER", help="where performance.md lies")
    given = arguments.parse_args()
    anyio.run(main, given.rounds, given.scenario, given.write)
