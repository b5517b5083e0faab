"""The tests that docs/reliability.md names exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEST = re.compile(r"def (test_\w+)")


def test_every_test_that_the_reliability_table_names_exists() -> None:
    existing = {name for path in (ROOT / "tests").rglob("test_*.py") for name in TEST.findall(path.read_text())}
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text()))
    assert len(named) > 30
    assert named <= existing


def test_every_fault_of_the_reliability_table_has_a_test() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text().partition("## Faults")[2].partition("## Load")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert all(re.search(r"`test_\w+`", row.split("|")[3]) for row in rows)
