from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from bridge.keys import changes
from bridge.keys.changes import add_key, revoke_key
from bridge.keys.file import KeysError, read_keys

EXPIRES = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "keys.toml"


def test_an_added_key_is_read_back_with_its_limits_and_only_its_hash_is_stored(path: Path) -> None:
    text = add_key(path, "anna", expires=EXPIRES, tokens_per_day=1000, models=("codex", 'a"b'), agents=("all",))
    key = read_keys(path)["anna"]
    assert (key.name, key.expires, key.tokens_per_day) == ("anna", EXPIRES, 1000)
    assert (key.models, key.agents) == (("codex", 'a"b'), ("all",))
    assert key.matches(text)
    assert not key.matches(text + "x")
    assert text not in path.read_text()
    assert len(text.removeprefix("sk-")) == 64


def test_equal_names_in_two_files_have_different_keys_salts_and_hashes(tmp_path: Path) -> None:
    texts = {add_key(tmp_path / name, "anna") for name in ("a", "b")}
    keys = [read_keys(tmp_path / name)["anna"] for name in ("a", "b")]
    assert len(texts) == len({key.salt for key in keys}) == len({key.hash for key in keys}) == 2


@pytest.mark.skipif(os.name != "posix", reason="Windows has no file modes")  # so nothing to test there
def test_only_the_owner_may_read_the_file_and_another_mode_is_refused(path: Path) -> None:
    add_key(path, "anna")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(KeysError, match="chmod 600"):
        read_keys(path)


@pytest.mark.parametrize("name", ["", "Anna", "-a", "a b", "a/b", "a\n", "ä", "a.b", "x" * 33])
def test_a_name_that_cannot_be_a_label_is_refused(path: Path, name: str) -> None:
    with pytest.raises(KeysError, match="cannot be the name of a key"):
        add_key(path, name)
    assert read_keys(path) == {}


def test_a_name_is_taken_until_its_key_is_revoked(path: Path) -> None:
    first = add_key(path, "anna")
    with pytest.raises(KeysError, match="already"):
        add_key(path, "anna")
    assert read_keys(path)["anna"].matches(first)
    old = read_keys(path)["anna"]
    revoke_key(path, "anna")
    assert path.exists()
    add_key(path, "anna")
    assert not read_keys(path)["anna"].matches(first)
    assert read_keys(path)["anna"].id != old.id


def test_revoking_an_unknown_key_names_those_there_are(path: Path) -> None:
    add_key(path, "ben")
    add_key(path, "anna")
    with pytest.raises(KeysError, match=r"no key 'carl'; the keys are: anna, ben"):
        revoke_key(path, "carl")
    assert set(read_keys(path)) == {"anna", "ben"}


def test_keys_added_at_the_same_time_are_all_kept(path: Path) -> None:
    names = [f"key-{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(add_key, path), names))
    assert set(read_keys(path)) == set(names)


def test_a_lock_that_was_left_behind_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "LOCK_PATIENCE", 0)
    path.parent.mkdir()
    path.with_name("keys.toml.new").touch()
    with pytest.raises(KeysError, match=r"delete .*keys\.toml\.new"):
        add_key(path, "anna")


GOOD = f'id = "1"\nsalt = "00"\nhash = "{"0" * 64}"\ncreated = 2030-01-01T00:00:00Z\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[anna", "line 1"),
        ("[anna]\n", "'anna' in .*, line 1, .*missing required field `id`"),
        ("anna = 1\n", "line 1, .*Expected `object`, got `int`"),
        (f"[ben]\n{GOOD}\n[anna]\n{GOOD}tokens = 1\n", "'anna' in .*, line 12, .*unknown field `tokens`"),
        (f'[anna]\n{GOOD}\ntokens_per_day = "x"\n', "line 7, .*tokens_per_day"),
        (f"[anna]\n{GOOD}tokens_per_day = 0\n", "line 6, .*>= 1"),
        (f"[Anna]\n{GOOD}", "line 1, .*'Anna' cannot be the name of a key"),
        (f"[anna]\n{GOOD.replace('Z', '')}", "needs a time zone"),
        (f"[anna]\n{GOOD.replace('00', 'xy', 1)}", "hexadecimal"),
    ],
)
def test_a_file_with_a_fault_is_refused_with_its_name_the_line_and_a_remedy(path: Path, text: str, reason: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeysError, match=reason) as failure:
        read_keys(path)
    assert str(path) in str(failure.value)
    assert "correct the line" in str(failure.value)
    with pytest.raises(KeysError):
        add_key(path, "ben")
    assert path.read_text() == text


def test_the_file_says_that_it_is_written_as_a_whole(path: Path) -> None:
    add_key(path, "anna", expires=EXPIRES)
    assert "does not keep comments" in path.read_text().splitlines()[0]
    assert "expires = 2040-01-02T03:04:05Z" in path.read_text().splitlines()
