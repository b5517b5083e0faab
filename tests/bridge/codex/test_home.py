from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bridge.codex.home import CodexHome, child_environment, file_stamp, prepare_home, real_home


@pytest.fixture(autouse=True)
def administrator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the administrator's configuration."""
    folder = tmp_path / "etc"
    folder.mkdir()
    monkeypatch.setattr("bridge.codex.home.MANAGED_CONFIG", folder / "managed_config.toml")
    monkeypatch.setattr("bridge.codex.home.SYSTEM_CONFIG", folder / "config.toml")
    return folder


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A codex home with a login, settings, a directory and instructions for the model."""
    home = tmp_path / "real"
    (home / "sessions").mkdir(parents=True)
    (home / "auth.json").write_text("secret")
    (home / ".env").write_text("KEY=1")
    (home / "config.toml").write_text('model = "gpt-5.2"\nopenai_base_url = "http://127.0.0.1:1/v1"')
    (home / "AGENTS.md").write_text("Always answer in Latin.")
    return home


@pytest.fixture
def private(tmp_path: Path) -> Path:
    return tmp_path / "state" / "home"


def names(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir())


def config(home: Path) -> dict[str, Any]:
    return tomllib.loads((home / "config.toml").read_text())


def test_the_child_gets_the_users_environment_without_variables_that_change_codex() -> None:
    environ = {
        "PATH": "/bin",
        "HTTPS_PROXY": "http://proxy",
        "SSL_CERT_FILE": "/ca.pem",
        "OPENAI_API_KEY": "sk-0",
        "CODEX_HOME": "/elsewhere",
        "CODEX_SQLITE_HOME": "/elsewhere",
        "CODEX_THREAD_ID": "1",
        "CODEX_OPENAI_PROXY_API_KEY": "s3cret",
        "CODEX_OPENAI_PROXY_ADDR": ":1",
        "CODEX_API_KEY": "sk-1",
        "CODEX_CA_CERTIFICATE": "/ca.pem",
        "CODEX_ACME_KEY": "sk-2",
        "RUST_LOG": "debug",
    }
    assert child_environment(environ, Path("/private"), frozenset({"CODEX_ACME_KEY"})) == {
        "PATH": "/bin",
        "HTTPS_PROXY": "http://proxy",
        "SSL_CERT_FILE": "/ca.pem",
        "OPENAI_API_KEY": "sk-0",
        "CODEX_HOME": str(Path("/private")),
        "CODEX_API_KEY": "sk-1",
        "CODEX_CA_CERTIFICATE": "/ca.pem",
        "CODEX_ACME_KEY": "sk-2",
    }
    assert environ["CODEX_HOME"] == "/elsewhere"


@pytest.mark.parametrize("named", [{}, {"CODEX_HOME": "/elsewhere"}])
def test_the_users_own_home_is_named_only_if_the_user_named_it(named: dict[str, str]) -> None:
    environ = {"PATH": "/bin", **named}
    assert child_environment(environ, real_home(environ)) == environ


@pytest.mark.parametrize(
    ("environ", "home"),
    [
        ({"CODEX_HOME": "/elsewhere"}, Path("/elsewhere")),
        ({"CODEX_HOME": "beside"}, Path.cwd() / "beside"),
        ({"CODEX_HOME": ""}, Path.home() / ".codex"),
        ({}, Path.home() / ".codex"),
    ],
    ids=["named", "relative", "empty", "unset"],
)
def test_the_real_home_is_the_one_that_the_users_codex_uses(environ: dict[str, str], home: Path) -> None:
    assert real_home(environ) == home


def test_a_private_home_has_only_the_connection_and_the_login(real: Path, private: Path) -> None:
    assert prepare_home(real, private) == CodexHome(private, private, ({}, {}))
    assert names(private) == [".env", "auth.json", "config.toml"]
    assert (private / "auth.json").read_text() == "secret"
    assert config(private) == {"openai_base_url": "http://127.0.0.1:1/v1", "cli_auth_credentials_store": "file"}
    assert str(real / "config.toml") in (private / "config.toml").read_text().splitlines()[0]


def test_only_the_owner_may_read_a_private_home(real: Path, private: Path) -> None:
    prepare_home(real, private)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE((private / "config.toml").stat().st_mode) == 0o600


def test_a_first_login_through_a_private_home_is_written_to_the_real_one(real: Path, private: Path) -> None:
    (real / "auth.json").unlink()
    prepare_home(real, private)
    (private / "auth.json").write_text("first login")
    assert (real / "auth.json").read_text() == "first login"
    assert file_stamp(private / "auth.json") == file_stamp(real / "auth.json") is not None


def test_a_real_home_that_does_not_exist_is_not_created(tmp_path: Path, private: Path) -> None:
    assert prepare_home(tmp_path / "nowhere", private).path == private
    assert config(private) == {"cli_auth_credentials_store": "file"}
    assert not (tmp_path / "nowhere").exists()


def test_each_start_restores_missing_or_changed_files(real: Path, private: Path) -> None:
    prepare_home(real, private)
    (private / "auth.json").unlink()
    (private / ".env").unlink()
    (private / ".env").write_text("something else")
    (private / "state.sqlite").touch()
    (real / "config.toml").write_text('model_provider = "acme"\n[model_providers.acme]\nenv_key = "ACME"')
    assert prepare_home(real, private).variables == {"ACME"}
    assert names(private) == [".env", "auth.json", "config.toml", "state.sqlite"]
    assert (private / ".env").read_text() == "KEY=1"
    assert (private / "auth.json").read_text() == "secret"
    assert config(private)["model_provider"] == "acme"


def test_another_real_home_replaces_the_links(real: Path, private: Path, tmp_path: Path) -> None:
    prepare_home(tmp_path / "first", private)
    prepare_home(real, private)
    assert (private / "auth.json").read_text() == "secret"


@pytest.mark.parametrize(
    ("store", "has_file", "is_private"),
    [("file", True, True), ("keyring", True, False), ("auto", True, True), ("auto", False, False)],
)
def test_with_a_login_in_the_keyring_the_real_home_and_its_configuration_are_used(
    real: Path, private: Path, store: str, has_file: bool, is_private: bool
) -> None:
    text = f'cli_auth_credentials_store = "{store}"\nmodel_verbosity = "high"'
    (real / "config.toml").write_text(text)
    if not has_file:
        (real / "auth.json").unlink()
    home = prepare_home(real, private)
    assert home.path == (private if is_private else real)
    assert (tomllib.loads(text) in home.foreign) != is_private
    assert ("keyring" in home.obstacle) != is_private
    assert home.instructions() == ([] if is_private else ["AGENTS.md"])
    assert config(private) == {"cli_auth_credentials_store": "file"}


@pytest.mark.parametrize(
    ("file", "users", "is_private"),
    [
        ("managed_config.toml", 'cli_auth_credentials_store = "file"', False),
        ("config.toml", "", False),
        ("config.toml", 'cli_auth_credentials_store = "file"', True),
    ],
)
def test_the_administrator_may_have_put_the_login_into_the_keyring(
    administrator: Path, tmp_path: Path, file: str, users: str, is_private: bool
) -> None:
    (administrator / file).write_text('cli_auth_credentials_store = "keyring"')
    (tmp_path / "config.toml").write_text(users)
    assert (prepare_home(tmp_path, tmp_path / "private").path == tmp_path / "private") == is_private


def test_the_configuration_of_the_administrator_is_known(real: Path, private: Path, administrator: Path) -> None:
    (administrator / "config.toml").write_text("[mcp_servers.trap]")
    assert prepare_home(real, private).foreign == ({}, {"mcp_servers": {"trap": {}}})


@pytest.mark.parametrize("content", [b"model = [", b'model = "\xff"'])
def test_the_error_names_a_config_that_cannot_be_read(real: Path, private: Path, content: bytes) -> None:
    (real / "config.toml").write_bytes(content)
    with pytest.raises(ValueError, match="is not valid TOML"):
        prepare_home(real, private)


def test_a_state_folder_that_cannot_be_written_is_an_error(real: Path, private: Path) -> None:
    private.parent.touch()
    with pytest.raises(OSError, match="home"):
        prepare_home(real, private)


@pytest.fixture
def without_symbolic_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail like Windows for a user without the right to make symbolic links."""

    def refuse(link: Path, target: Path, target_is_directory: bool = False) -> None:
        raise OSError(f"no right to link {link} to {target} ({target_is_directory=})")

    monkeypatch.setattr(Path, "symlink_to", refuse)


@pytest.mark.usefixtures("without_symbolic_links")
def test_without_the_right_to_make_symbolic_links_the_login_is_hard_linked(real: Path, private: Path) -> None:
    prepare_home(real, private)
    assert prepare_home(real, private).path == private
    assert names(private) == [".env", "auth.json", "config.toml"]
    (private / "auth.json").write_text("refreshed")
    assert (real / "auth.json").read_text() == "refreshed"


@pytest.mark.usefixtures("without_symbolic_links")
def test_without_the_right_to_make_symbolic_links_each_start_links_the_login_again(real: Path, private: Path) -> None:
    prepare_home(real, private)
    (real / "auth.json").unlink()
    assert prepare_home(real, private).path == private
    assert names(private) == [".env", "config.toml"]
    (real / "auth.json").write_text("new login")
    prepare_home(real, private)
    assert (private / "auth.json").samefile(real / "auth.json")


@pytest.mark.usefixtures("without_symbolic_links")
def test_a_login_that_cannot_be_linked_at_all_keeps_codex_in_the_real_home(
    real: Path, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(link: Path, target: Path) -> None:
        raise OSError(f"{link} and {target} are on two disks")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    home = prepare_home(real, private)
    assert home.path == real
    assert "are on two disks" in home.obstacle
    assert names(private) == ["config.toml"]
