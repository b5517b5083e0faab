"""The login command and the real codex, against account servers on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.harness.account_server import AccountServer, account_server
from tests.harness.codex_home import write_home


@pytest.fixture
def accounts() -> Generator[AccountServer]:
    with account_server() as running:
        yield running


@pytest.fixture
def login_home(tmp_path: Path, accounts: AccountServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty CODEX_HOME whose account lives on loopback."""
    home = tmp_path / "codex_home"
    home.mkdir()
    accounts.write_config(home)
    monkeypatch.setenv("CODEX_HOME", str(home))
    monkeypatch.setenv("CODEX_APP_SERVER_LOGIN_ISSUER", accounts.url)
    monkeypatch.delenv("CODEX_OPENAI_PROXY_API_KEY", raising=False)
    return home


def login(*arguments: str, stdin: str = "") -> subprocess.Popen[str]:
    codex = os.environ.get("CODEX_UNDER_TEST")
    command = [sys.executable, "-m", "bridge", "login", *(["--codex", codex] if codex else []), *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdin is not None
    process.stdin.write(stdin)
    process.stdin.close()
    process.stdin = None
    return process


def test_a_login_shows_page_and_code_and_then_the_plan_with_the_address_masked(
    accounts: AccountServer, login_home: Path
) -> None:
    process = login()
    assert accounts.asked.wait(30)
    accounts.approve()
    shown, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert f"Open      {accounts.url}/codex/device\nand type  ABCD-1234\n" in shown
    assert shown.splitlines()[-1] == "✓ logged in: ChatGPT Plus, a…@example.com"
    assert "waiting for you to finish there" in said
    assert (login_home / "auth.json").exists()


def test_a_script_reads_the_login_as_json(accounts: AccountServer, login_home: Path) -> None:
    del login_home
    accounts.approve()
    shown, said = login("--json").communicate(timeout=60)
    assert [json.loads(line) for line in shown.splitlines()] == [
        {"verification_url": f"{accounts.url}/codex/device", "user_code": "ABCD-1234"},
        {"logged_in": True, "account": "ChatGPT Plus, a…@example.com"},
    ], said


def test_a_logged_in_account_is_kept_unless_a_new_login_is_requested(accounts: AccountServer, login_home: Path) -> None:
    accounts.log_in(login_home)
    shown, said = login().communicate(timeout=60)
    assert shown == "✓ already logged in: ChatGPT Plus, a…@example.com\n", said
    assert not accounts.asked.is_set()
    accounts.approve()
    shown, said = login("--again").communicate(timeout=60)
    assert shown.splitlines()[-1] == "✓ logged in: ChatGPT Plus, a…@example.com", said
    assert accounts.asked.is_set()


def test_a_login_that_is_refused_gives_the_reason_and_an_alternative(accounts: AccountServer, login_home: Path) -> None:
    del login_home
    accounts.refuse_codes = True
    process = login()
    shown, said = process.communicate(timeout=60)
    assert (process.returncode, shown) == (1, "")
    assert "Error: codex refused account/login/start" in said
    assert "codex-openai-proxy login -- --device-auth" in said
    assert "Traceback" not in said


def test_a_provider_without_login_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "codex_home"
    write_home(home, "http://127.0.0.1:9/v1")
    monkeypatch.setenv("CODEX_HOME", str(home))
    monkeypatch.setenv("SCRIPTED_KEY", "made-up")
    shown, said = login().communicate(timeout=60)
    assert shown == "✓ already logged in: your own model provider, which needs no login\n", said


def test_arguments_run_the_login_of_codex_itself(login_home: Path) -> None:
    process = login("--", "--with-api-key", stdin="sk-made-up\n")
    shown, said = process.communicate(timeout=60)
    assert process.returncode == 0, shown + said
    assert json.loads((login_home / "auth.json").read_text())["OPENAI_API_KEY"] == "sk-made-up"
    failed = login("status", "--nonsense")
    assert "--nonsense" in failed.communicate(timeout=60)[1]
    assert failed.returncode == 2
