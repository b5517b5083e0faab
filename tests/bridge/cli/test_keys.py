from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.cli.keys import keys
from bridge.keys.file import read_keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def run(path: Path, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(keys, [command, "--keys-file", str(path), *arguments])


def test_a_key_is_printed_once_alone_on_standard_output_and_may_use_all_models_but_no_agents(path: Path) -> None:
    done = run(path, "add", "anna")
    assert done.exit_code == 0
    key = read_keys(path)["anna"]
    assert key.matches(done.stdout.strip())
    assert (key.models, key.agents, key.expires, key.tokens_per_day) == ((), (), None, None)
    assert "cannot be shown again" in done.stderr
    assert "Every request needs a key from now on" in done.stderr
    assert str(path.with_name("api-key")) in done.stderr.replace("\n", "")
    assert path.with_name("api-key").read_text().startswith("sk-")
    assert f"need `--api-key-file {path.with_name('api-key')}`" in done.stderr
    again = run(path, "add", "ben")
    assert "Every request" not in again.stderr
    assert done.stdout.strip() not in run(path, "list").output


def test_a_key_of_a_tunnel_that_was_there_before_does_not_hide_that_every_request_needs_a_key(path: Path) -> None:
    path.with_name("api-key").write_text("sk-of-the-tunnel")
    assert "Every request needs a key from now on" in run(path, "add", "anna").stderr
    assert path.with_name("api-key").read_text() == "sk-of-the-tunnel"


@pytest.mark.parametrize("name", ["Anna", "jürgen", "a.b", "-x", "a" * 33, "", "安娜"])
def test_a_name_that_no_key_may_have_changes_nothing(path: Path, name: str) -> None:
    done = run(path, "add", "--", name)
    assert done.exit_code == 2
    assert "use up to 32 of a-z, 0-9, - and _" in done.stderr
    assert not [*path.parent.iterdir()]


@pytest.mark.parametrize("tokens", ["0", "-5", "1e6", "9" * 20])
def test_a_limit_of_tokens_that_is_no_such_number_is_refused(path: Path, tokens: str) -> None:
    assert run(path, "add", "anna", "--tokens-per-day", tokens).exit_code == 2
    assert not path.exists()


def test_the_limits_of_a_key_are_stored_and_listed(path: Path) -> None:
    limits = ("--tokens-per-day", "500000", "--models", "codex, gpt-5.5", "--agents", "all", "--expires", "30d")
    assert run(path, "add", "anna", *limits).exit_code == 0
    assert run(path, "add", "ben").exit_code == 0
    anna, ben = json.loads(run(path, "list", "--json").stdout)
    assert (anna["name"], anna["tokens_per_day"], anna["models"]) == ("anna", 500_000, ["codex", "gpt-5.5"])
    assert anna["agents"] == ["all"]
    left = datetime.fromisoformat(anna["expires"]) - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)
    assert (ben["expires"], ben["models"], ben["agents"]) == (None, [], [])
    table = run(path, "list").stdout
    for word in ("anna", "500,000", "codex, gpt-5.5", "never", "no limit", "none"):
        assert word in table


@pytest.mark.parametrize("expires", ["0d", "1x", "soon", "2001-01-01", "9999-99-99"])
def test_an_expiry_that_is_no_time_in_the_future_is_refused(path: Path, expires: str) -> None:
    done = run(path, "add", "anna", "--expires", expires)
    assert done.exit_code == 2
    assert not path.exists()


def test_an_expiry_may_be_a_date(path: Path) -> None:
    assert run(path, "add", "anna", "--expires", "2040-01-31").exit_code == 0
    expires = read_keys(path)["anna"].expires
    assert expires is not None
    assert expires.astimezone().date().isoformat() == "2040-01-31"


@pytest.mark.parametrize("names", ["", ",", " , "])
def test_an_empty_list_of_names_is_refused(path: Path, names: str) -> None:
    assert run(path, "add", "anna", "--models", names).exit_code == 2


def test_a_revoked_key_is_gone_and_another_one_is_named(path: Path) -> None:
    run(path, "add", "anna")
    run(path, "add", "ben")
    assert run(path, "revoke", "anna").exit_code == 0
    assert set(read_keys(path)) == {"ben"}
    done = run(path, "revoke", "anna")
    assert done.exit_code == 1
    assert "the keys are: ben" in done.stderr


@pytest.mark.parametrize("command", [("list",), ("add", "ben"), ("revoke", "anna")])
def test_a_bad_file_is_named_with_the_line_and_not_changed(path: Path, command: tuple[str, ...]) -> None:
    run(path, "add", "anna")
    text = path.read_text().replace("id =", "ids =")
    path.write_text(text)
    done = run(path, *command)
    assert done.exit_code == 1
    assert f"{path}, line 5" in done.stderr
    assert path.read_text() == text
