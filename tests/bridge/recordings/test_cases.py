from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from bridge.recordings.case_folders import load_cases, save_case
from bridge.recordings.cases import CaseError, read_case, write_case
from tests.record_fixtures import FIXTURES

CASES = load_cases(FIXTURES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_written_unchanged_after_reading(case: object) -> None:
    [same] = [one for one in CASES if one is case]
    files = write_case(same)
    assert files == {path.name: path.read_bytes() for path in (FIXTURES / same.name).iterdir()}
    assert read_case(same.name, files.__getitem__) == same


def test_a_folder_is_a_case_or_contains_cases(tmp_path: Path) -> None:
    save_case(CASES[0], tmp_path / "some" / "where" / CASES[0].name)
    assert load_cases(tmp_path) == [CASES[0]]
    assert load_cases(tmp_path / "some" / "where" / CASES[0].name) == [CASES[0]]


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [
        ("meta.json", b"{", "case/meta.json: JSONDecodeError"),
        ("meta.json", b"[]", "case/meta.json: TypeError"),
        ("meta.json", b'{"format": 0}', "case/meta.json: its format is 0, not 1; record the case again"),
        ("meta.json", b'{"format": 1}', "case/meta.json: KeyError: 'exchanges'"),
        ("session.jsonl", b"{}", "case/session.jsonl: ProtocolError: line 1 of the session cannot be read"),
        ("request-1.json", b"x", "case/request-1.json: JSONDecodeError"),
        ("response-2.sse", None, "case/response-2.sse: FileNotFoundError"),
    ],
)
def test_the_error_of_a_broken_case_names_the_file(
    file: str, content: bytes | None, error: str, tmp_path: Path
) -> None:
    [case] = [case for case in CASES if case.name == "plain-text"]
    save_case(case, tmp_path / "case")
    if content is None:
        (tmp_path / "case" / file).unlink()
    else:
        (tmp_path / "case" / file).write_bytes(content)
    with pytest.raises(CaseError) as refusal:
        load_cases(tmp_path)
    assert str(refusal.value).startswith(error)


def test_exchanges_have_the_line_of_the_session_at_which_they_begin() -> None:
    for case in CASES:
        assert all(case.lines[one.line].to_codex for one in case.exchanges)
        assert orjson.loads(write_case(case)["meta.json"])["exchanges"][0]["line"] == 0
