"""The tests that docs/reliability.md names exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEST = re.compile(r"def (test_\w+)")
NAMED_FILE = re.compile(r"`((?:bridge|codex_rpc|tests|docs|deploy|fixtures)/[\w./-]+)`")
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")


def test_every_test_that_the_reliability_table_names_exists() -> None:
    existing = {name for path in (ROOT / "tests").rglob("test_*.py") for name in TEST.findall(path.read_text())}
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text()))
    assert len(named) > 30
    assert named <= existing


def test_every_fault_of_the_reliability_table_has_a_test() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text().partition("## Faults")[2].partition("## Load")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert all(re.search(r"`test_\w+`", row.split("|")[3]) for row in rows)


def test_every_file_that_a_document_names_exists() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    named = {name for page in pages for name in NAMED_FILE.findall(page.read_text(encoding="utf-8"))}
    assert len(named) > 30
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_link_of_a_record_leads_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs" / "decisions").glob("*.md")]:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            assert "://" in link or (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_decision_is_listed_in_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [
        record.name
        for record in (ROOT / "docs" / "decisions").iterdir()
        if f"({record.parent.name}/{record.name})" not in page
    ] == []
