"""`make codex`: compares codex versions with the floor, runs the integration tests with them, and writes the page."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import anyio

from codex_rpc.process.process import FLOOR
from tests.compatibility.report import Comparison, compare, page, summary
from tests.compatibility.requests import Observed, observe
from tests.compatibility.versions import codex_of

PAGE = Path("docs/codex-versions.md")


def look_at(codex: Path) -> Observed:
    """Return what a codex did."""
    with tempfile.TemporaryDirectory() as folder:
        return anyio.run(observe, codex, Path(folder))


def run_tests(codex: Path) -> str:
    """Run the integration tests with a codex; return pytest's summary."""
    command = [sys.executable, "-m", "pytest", "tests/integration", "--numprocesses", "auto", "--quiet"]
    done = subprocess.run(
        command, env={**os.environ, "CODEX_UNDER_TEST": str(codex)}, stdout=subprocess.PIPE, text=True, check=False
    )
    results = re.findall(r"\d+ (?:passed|failed|skipped|errors?)\b", done.stdout.splitlines()[-1])
    return ", ".join(results) or f"pytest ended with {done.returncode}"


def main() -> None:
    """Print a line for each version, and write the page if that is wanted."""
    arguments = argparse.ArgumentParser(prog="make codex", description=__doc__)
    arguments.add_argument("codex", nargs="+", help="a path or a version; a version comes from PyPI or npm")
    arguments.add_argument("--no-tests", action="store_true", help="do not run the integration tests")
    arguments.add_argument("--write", action="store_true", help=f"write {PAGE}")
    given = arguments.parse_args()
    floor = look_at(codex_of(".".join(map(str, FLOOR))))
    rows: list[tuple[Comparison, str]] = []
    for name in given.codex:
        codex = codex_of(name)
        compared = compare(floor, look_at(codex))
        rows.append((compared, "not run" if given.no_tests else run_tests(codex)))
        print(f"{compared.version}: {rows[-1][1]}; differences: {summary(compared)}", flush=True)  # noqa: T201
    text = page(floor.version, f"{datetime.now(UTC):%Y-%m-%d}", rows)
    if given.write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text)  # noqa: T201


if __name__ == "__main__":
    main()
