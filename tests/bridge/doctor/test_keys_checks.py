from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.doctor.keys_checks import named_keys
from bridge.doctor.subject import Subject
from bridge.keys.changes import add_key

pytestmark = pytest.mark.anyio


async def test_the_named_keys_are_counted_and_none_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    for subject in (Subject(), Subject(keys_file=path)):
        assert (await named_keys(subject)).mark == "skip"
    add_key(path, "anna")
    found = await named_keys(Subject(keys_file=path))
    assert (found.mark, found.reason) == ("ok", f"1 in {path}")


async def test_an_expired_key_is_a_warning_with_the_command_that_removes_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    add_key(path, "anna", expires=datetime(2001, 1, 1, tzinfo=UTC))
    add_key(path, "ben")
    found = await named_keys(Subject(keys_file=path))
    assert (found.mark, found.reason) == ("warn", f"2 in {path}; expired: anna")
    assert found.fix.endswith("codex-openai-proxy keys revoke anna")


async def test_a_file_that_cannot_be_used_is_a_fault_with_the_line_and_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    add_key(path, "anna")
    path.write_text(path.read_text().replace("salt", "pepper"))
    found = await named_keys(Subject(keys_file=path))
    assert found.mark == "fail"
    assert f"{path}, line 6" in found.reason
    assert found.fix.startswith("correct the line")
