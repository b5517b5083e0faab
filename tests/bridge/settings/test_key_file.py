from __future__ import annotations

from pathlib import Path

import pytest

from bridge.settings.key_file import read_key


def written(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_the_key_is_the_content_of_the_file_without_surrounding_white_space(tmp_path: Path) -> None:
    assert read_key(written(tmp_path / "key", b" s3cret\n")) == "s3cret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_file_that_other_users_may_access_is_refused(mode: int, tmp_path: Path) -> None:
    path = written(tmp_path / "key", b"s3cret", mode)
    with pytest.raises(ValueError, match=f"chmod 600 {path}") as caught:
        read_key(path)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", "schlüssel".encode(), b"two\nlines", b"tab\tbed"])
def test_a_file_without_a_usable_key_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the key is empty|cannot be read|outside printable ASCII"):
        read_key(written(tmp_path / "key", content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{tmp_path}/nowhere cannot be read"):
        read_key(tmp_path / "nowhere")
