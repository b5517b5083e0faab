from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bridge.store.response import StoreError
from bridge.store.seal import Seal, SealError, key_in_file, new_key


def test_a_sealed_text_is_opened_by_the_same_key_only_and_hides_its_content() -> None:
    key, text = new_key(), 'The word is "slate", grüß.\n'
    sealed = Seal(key).close(text)
    assert sealed.isascii()
    assert "slate" not in sealed
    assert Seal(key).open(sealed) == text
    with pytest.raises(SealError):
        Seal(new_key()).open(sealed)


def test_every_change_of_a_sealed_text_is_noticed() -> None:
    seal = Seal(new_key())
    sealed = seal.close("hi")
    for place, sign in enumerate(sealed.rstrip("=")[:-1]):
        with pytest.raises(SealError):
            seal.open(sealed[:place] + ("B" if sign == "A" else "A") + sealed[place + 1 :])


@pytest.mark.parametrize("text", ["", "hi", "gAAAAABpM0Yj-...=", "ä", "gAAAAA" * 40, "\x00"])
def test_a_text_that_was_never_sealed_is_refused(text: str) -> None:
    with pytest.raises(SealError):
        Seal(new_key()).open(text)


def test_a_key_file_is_created_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "responses.key"
    key = key_in_file(path)
    assert key_in_file(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [path]


def test_a_key_file_that_an_interrupted_start_left_unfinished_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "responses.key"
    (tmp_path / "responses.key.new").write_bytes(b"half")
    assert len(key_in_file(path)) == 44


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 100])
def test_a_file_without_a_key_is_not_replaced_silently(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "responses.key"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="holds no key"):
        key_in_file(path)
    assert path.read_bytes() == content
