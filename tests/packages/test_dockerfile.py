from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.packages.dockerfile import Image, instructions


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    """An image without a Python, which these Dockerfiles do not need."""
    monkeypatch.setattr("tests.packages.dockerfile.VENV", ("true",))
    return Image(tmp_path / "image")


def build(image: Image, folder: Path, dockerfile: str, ignored: str = "") -> None:
    folder.mkdir()
    (folder / "Dockerfile").write_text(dockerfile)
    (folder / ".dockerignore").write_text(ignored)
    (folder / "code").mkdir()
    (folder / "code" / "one.py").write_text("1")
    image.build(folder / "Dockerfile")


def test_instructions_are_joined_over_lines_and_comments_left_out() -> None:
    text = "# first\nFROM python\n\nRUN one \\\n  # between\n  two\n"
    assert list(instructions(text)) == [("FROM", "python"), ("RUN", "one    two")]


def test_files_are_copied_and_commands_run_below_the_root(image: Image, tmp_path: Path) -> None:
    steps = 'RUN useradd -m me\nWORKDIR /srv/app\nCOPY code code\nRUN cp code/one.py /home/me\nCMD ["serve"]\n'
    build(image, tmp_path / "context", f"FROM python\n{steps}", "*\n!code\n")
    assert (image.root / "home" / "me" / "one.py").read_text() == "1"
    assert (image.root / "srv" / "app" / "code" / "one.py").exists()
    assert (image.command, image.health) == (["serve"], [])


@pytest.mark.parametrize(
    ("dockerfile", "ignored", "error"),
    [
        ("COPY none .", "", LookupError),
        ("COPY code code", "*", LookupError),
        ("COPY code code", "**/one.py", LookupError),
        ("ONBUILD RUN true", "", LookupError),
        ("RUN false", "", subprocess.CalledProcessError),
    ],
    ids=["missing", "excluded", "excluded at any depth", "unknown", "failed"],
)
def test_a_dockerfile_that_docker_would_refuse_is_refused(
    image: Image, tmp_path: Path, dockerfile: str, ignored: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        build(image, tmp_path / "context", dockerfile, ignored)
