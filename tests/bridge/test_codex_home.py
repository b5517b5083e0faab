from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bridge.codex_home import child_environment, home_without_instructions, real_home


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A codex home with a login, settings, a directory and instructions to the model."""
    home = tmp_path / "real"
    (home / "sessions").mkdir(parents=True)
    (home / "sessions" / "one.jsonl").write_text("{}")
    (home / "auth.json").write_text("secret")
    (home / "config.toml").write_text('model = "gpt-5.2"')
    (home / "AGENTS.md").write_text("Always answer in Latin.")
    return home


def names(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir())


def test_the_child_gets_the_users_environment_and_its_home_but_none_of_our_settings() -> None:
    environ = {
        "PATH": "/bin",
        "CODEX_HOME": "/elsewhere",
        "CODEX_OPENAI_PROXY_API_KEY": "s3cret",
        "CODEX_OPENAI_PROXY_ADDR": ":1",
        "CODEX_API_KEY": "sk-1",
    }
    assert child_environment(environ, Path("/home/u/.codex")) == {
        "PATH": "/bin",
        "CODEX_HOME": str(Path("/home/u/.codex")),
        "CODEX_API_KEY": "sk-1",
    }
    assert environ["CODEX_HOME"] == "/elsewhere"


@pytest.mark.parametrize(
    ("environ", "home"),
    [
        ({"CODEX_HOME": "/elsewhere"}, Path("/elsewhere")),
        ({"CODEX_HOME": ""}, Path.home() / ".codex"),
        ({}, Path.home() / ".codex"),
    ],
    ids=["named", "empty", "unset"],
)
def test_the_real_home_is_the_one_that_the_users_codex_uses(environ: dict[str, str], home: Path) -> None:
    assert real_home(environ) == home


def test_a_home_without_instructions_is_used_as_it_is(real: Path, tmp_path: Path) -> None:
    (real / "AGENTS.md").unlink()
    assert home_without_instructions(real, tmp_path / "private") == real
    assert not (tmp_path / "private").exists()


def test_a_home_that_does_not_exist_is_used_as_it_is(tmp_path: Path) -> None:
    assert home_without_instructions(tmp_path / "nowhere", tmp_path / "private") == tmp_path / "nowhere"


@pytest.mark.parametrize("name", ["AGENTS.md", "AGENTS.override.md"])
def test_a_private_home_has_everything_but_the_instructions(real: Path, tmp_path: Path, name: str) -> None:
    (real / "AGENTS.md").rename(real / name)
    private = home_without_instructions(real, tmp_path / "private")
    assert private == tmp_path / "private"
    assert names(private) == ["auth.json", "config.toml", "sessions"]
    assert (private / "auth.json").read_text() == "secret"
    assert (private / "sessions" / "one.jsonl").read_text() == "{}"
    assert private.stat().st_mode & 0o077 == 0


def test_what_codex_writes_into_a_private_home_lands_in_the_real_one(real: Path, tmp_path: Path) -> None:
    private = home_without_instructions(real, tmp_path / "private")
    (private / "auth.json").write_text("refreshed")
    (private / "sessions" / "two.jsonl").touch()
    assert (real / "auth.json").read_text() == "refreshed"
    assert (real / "sessions" / "two.jsonl").exists()


def test_a_first_login_through_a_private_home_lands_in_the_real_one(real: Path, tmp_path: Path) -> None:
    (real / "auth.json").unlink()
    private = home_without_instructions(real, tmp_path / "private")
    (private / "auth.json").write_text("first login")
    assert (real / "auth.json").read_text() == "first login"


def test_a_private_home_is_made_again_for_every_start_and_gains_what_is_new(real: Path, tmp_path: Path) -> None:
    first = home_without_instructions(real, tmp_path / "private")
    (first / "own.lock").write_text("codex made it here")
    (real / "history.jsonl").touch()
    (real / "own.lock").write_text("and later there")
    second = home_without_instructions(real, tmp_path / "private")
    assert second == first
    assert names(second) == ["auth.json", "config.toml", "history.jsonl", "own.lock", "sessions"]
    assert (second / "own.lock").read_text() == "codex made it here"


@pytest.fixture
def without_symbolic_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Windows says to a user without the right to make them."""

    def refuse(link: Path, target: Path, target_is_directory: bool = False) -> None:
        raise OSError(f"no right to link {link} to {target} ({target_is_directory=})")

    monkeypatch.setattr(Path, "symlink_to", refuse)


@pytest.mark.usefixtures("without_symbolic_links")
def test_where_symbolic_links_need_rights_a_file_is_linked_hard(real: Path, tmp_path: Path) -> None:
    (real / "sessions" / "one.jsonl").unlink()
    (real / "sessions").rmdir()
    private = home_without_instructions(real, tmp_path / "private")
    assert names(private) == ["auth.json", "config.toml"]
    (private / "auth.json").write_text("refreshed")
    assert (real / "auth.json").read_text() == "refreshed"


@pytest.mark.usefixtures("without_symbolic_links")
def test_where_symbolic_links_need_rights_a_login_that_does_not_exist_is_left_out(
    real: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (real / "sessions" / "one.jsonl").unlink()
    (real / "sessions").rmdir()
    (real / "auth.json").unlink()
    assert names(home_without_instructions(real, tmp_path / "private")) == ["config.toml"]
    assert caplog.messages == []


@pytest.mark.usefixtures("without_symbolic_links")
def test_a_file_that_cannot_be_linked_at_all_is_named_in_the_log(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (real / "sessions" / "one.jsonl").unlink()
    (real / "sessions").rmdir()

    def refuse(link: Path, target: Path) -> None:
        raise OSError(f"{link} and {target} are on two disks")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with caplog.at_level(logging.WARNING):
        private = home_without_instructions(real, tmp_path / "private")
    assert names(private) == []
    assert [record.message.split(" is missing")[0] for record in caplog.records] == [
        str(real / "auth.json"),
        str(real / "config.toml"),
    ]


@pytest.mark.parametrize("named", [{}, {"CODEX_HOME": "/elsewhere"}])
def test_the_users_own_home_is_named_only_if_the_user_named_it(named: dict[str, str]) -> None:
    environ = {"PATH": "/bin", **named}
    assert child_environment(environ, real_home(environ)) == environ
