"""`make bench`: runs the scenarios, prints the table and the goals, and writes them to a folder with `--write`."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import anyio

from tests.benchmarks import costs, peers, scenarios
from tests.benchmarks.figures import Row
from tests.benchmarks.goals import verdicts
from tests.benchmarks.lab import Scenario, lab
from tests.benchmarks.report import COLUMNS, goal_table, goal_text, plot, table, text
from tests.benchmarks.subjects import CODEX
from tests.harness.codex_home import Transport

PLANS: Mapping[Transport, Sequence[Scenario]] = {
    "http": (
        scenarios.first_content,
        scenarios.burst,
        scenarios.paced,
        scenarios.many,
        costs.agent,
        costs.long_conversation,
        costs.idle_threads,
        costs.start_up,
    ),
    "websocket": (scenarios.first_content, scenarios.many, costs.agent),
}
NAMES = sorted({getattr(scenario, "__name__", "") for plan in PLANS.values() for scenario in plan})


async def measure(rounds: int, wanted: Sequence[str]) -> AsyncGenerator[Row]:
    """Yield the rows of all scenarios, or of the named ones."""
    for transport, plan in PLANS.items():
        chosen = [one for one in plan if not wanted or getattr(one, "__name__", "") in wanted]
        if not chosen:
            continue
        async with lab(transport) as it:
            for scenario in chosen:
                for row in await scenario(it, rounds):
                    yield row


async def main(given: argparse.Namespace) -> None:
    """Print each row as soon as it is measured, then the goals."""
    rows: list[Row] = []
    async for row in peers.measure(given.rounds) if given.peers else measure(given.rounds, given.scenario):
        rows.append(row)
        print(text(row), flush=True)  # noqa: T201
    reached = list(verdicts(rows))
    for verdict in reached:
        print(goal_text(verdict), flush=True)  # noqa: T201
    if given.write is None:
        return
    page = given.write / "performance.md"
    if given.peers:
        _replace(page, "peers", table(rows, peers.COLUMNS))
        (given.write / "peers.svg").write_text(plot(rows), encoding="utf-8")
        return
    version = given.name
    _replace(page, f"figures {version}", table(rows, COLUMNS))
    _replace(page, f"goals {version}", goal_table(reached))
    (given.write / f"performance-{version}.svg").write_text(plot(rows), encoding="utf-8")


def _replace(page: Path, name: str, content: str) -> None:
    """Write the content between the two comments of that name; ValueError without them."""
    before, start, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->\n")
    if not end:
        raise ValueError(f"{page} has no comments <!-- {name} --> and <!-- end of {name} -->")
    page.write_text(before + start + content + end + after, encoding="utf-8")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(prog="make bench", description=__doc__)
    arguments.add_argument("scenario", nargs="*", choices=[*NAMES, []], help="all without any")
    arguments.add_argument("--rounds", type=int, default=5, help="how often everything is measured, in turn")
    arguments.add_argument("--codex", metavar="FILE", help="the codex to measure with; the installed one without it")
    arguments.add_argument("--peers", action="store_true", help="compare with the servers that people use instead")
    arguments.add_argument("--write", type=Path, metavar="FOLDER", help="where performance.md lies")
    arguments.add_argument("--name", default="oldest", help="the part of performance.md to write: oldest, newest")
    arguments = arguments.parse_args()
    if arguments.codex is not None:
        os.environ[CODEX] = arguments.codex
    anyio.run(main, arguments)
