"""The command `service` on Linux, with stand-ins for the programs of systemd that really start the unit's command."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner

from bridge.cli import main
from tests.harness.cloudflared import write_stand_in
from tests.harness.program import PATIENCE, Outcome, free_port, http_client, program, run
from tests.harness.proxy import MODEL
from tests.harness.systemd import STARTED, write_stand_ins

NAME = "codex-openai-proxy"


@pytest.fixture(autouse=True)
async def user(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[str]:
    """The home of a user with the stand-ins on PATH; the address of the server. The service ends with the test."""
    del home
    address = f"127.0.0.1:{free_port()}"
    write_stand_ins(tmp_path / "bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", f"{write_stand_in(tmp_path / 'bin').parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CODEX_OPENAI_PROXY_ADDR", address)
    yield address
    with anyio.CancelScope(shield=True):
        await run("service", "uninstall")


async def until(holds: Callable[[Outcome], bool], verb: str) -> Outcome:
    """Repeat `service VERB` until this holds for its outcome."""
    with anyio.fail_after(PATIENCE):
        while True:
            if holds(shown := await run("service", verb)):
                return shown
            await anyio.sleep(0.05)


def calls(home: Path) -> list[str]:
    """Return the commands of systemd that changed something, and forget them."""
    log = home / ".stand-in" / "calls"
    lines = [line for line in log.read_text().splitlines() if " show" not in line]
    log.write_text("")
    return [line.removeprefix("systemctl --user ") for line in lines]


async def test_a_service_is_installed_seen_stopped_started_and_removed(user: str, tmp_path: Path) -> None:
    installed = await run("service", "install")
    assert installed.status == 0, installed.stderr
    unit = tmp_path / "config" / "systemd" / "user" / f"{NAME}.service"
    assert f"{unit} is installed and started." in installed.stdout
    assert "It starts with the system" in installed.stdout
    assert f"serve --addr {user}\n" in unit.read_text()
    assert calls(tmp_path) == ["daemon-reload", f"enable {NAME}", f"restart {NAME}", "loginctl enable-linger"]

    status = await run("service", "status")
    assert status.status == 0, status.stdout
    shown = status.stdout
    assert f"active (running), since {STARTED}, process " in shown
    assert f"\nFile      {unit}\nVersion   " in shown
    assert "\nCodex     up\n" in shown
    found = json.loads((await run("service", "status", "--json")).stdout)
    assert found["server"]["version"] == found["version"]
    assert (found["installed"], found["running"]) == (True, True)
    assert "listens on" in (await run("service", "logs")).stdout

    assert (await run("service", "install")).status == 0
    assert json.loads((await run("service", "status", "--json")).stdout)["pid"] == found["pid"]
    assert f"restart {NAME}" not in calls(tmp_path)

    assert (await run("service", "stop")).status == 0
    stopped = await run("service", "status")
    assert stopped.status == 1
    assert "inactive (dead)" in stopped.stdout
    assert "No server answers" in stopped.stdout
    assert "See why: codex-openai-proxy service logs" in stopped.stdout
    assert (await run("service", "start")).status == 0
    assert (await run("service", "status")).status == 0

    for _ in range(2):
        assert (await run("service", "uninstall")).status == 0
    assert not unit.exists()
    removed = (await run("service", "status")).stdout
    assert "not installed: codex-openai-proxy service install" in removed
    assert "service logs" not in removed
    for verb in ("start", "stop"):
        refused = await run("service", verb)
        assert (refused.status, refused.stderr) == (
            1,
            "Error: the service is not installed: codex-openai-proxy service install.\n",
        )


async def test_a_service_with_a_tunnel_runs_both_and_needs_the_new_key(tmp_path: Path) -> None:
    refused = await run("service", "install", "--tunnel", "codex.example.com")
    assert refused.status == 1
    assert "no tunnel is set up" in refused.stderr
    installed = await run("service", "install", "--tunnel", "quick")
    assert installed.status == 0, installed.stderr
    await until(lambda shown: "Deployment Name" in shown.stdout, "logs")
    assert (tmp_path / "config" / NAME / "api-key").exists()


async def test_a_friend_gets_a_key_uses_it_is_seen_and_loses_it(user: str) -> None:
    assert (await run("service", "install")).status == 0
    added = await run("keys", "add", "anna")
    assert added.status == 0, added.stderr
    key = next(word for word in added.stdout.split() if word.startswith("sk-"))
    seen = await run("service", "status", "--api-key", key)
    assert seen.status == 1
    assert "this is the key of anna" in seen.stdout
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi."}]}
    async with http_client(base_url=f"http://{user}/v1", headers={"authorization": f"Bearer {key}"}) as anna:
        assert (await anna.post("/chat/completions", json=body)).status_code == 200
        shown = await run("usage", "--by", "key", "--json")
        assert [(row["key"], row["requests"]) for row in json.loads(shown.stdout)["rows"]] == [("anna", 1)], shown
        assert (await run("keys", "revoke", "anna")).status == 0
        refused = await anna.post("/chat/completions", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("verb", ["install", "uninstall", "start", "stop", "status"])
async def test_without_systemd_each_verb_says_what_to_do(verb: str) -> None:
    refused = await run("service", verb, STAND_IN_FAULT="no bus")
    assert refused.status == 1
    assert "Failed to connect to bus: No medium found" in refused.stderr
    assert "In WSL, write `systemd=true`" in refused.stderr
    assert "In a container, run `codex-openai-proxy serve`" in refused.stderr


async def test_without_lingering_the_service_is_installed_and_the_user_is_told() -> None:
    installed = await run("service", "install", STAND_IN_FAULT="no linger")
    assert installed.status == 0
    assert "It starts when you log in and stops when you log out, because `loginctl enable-linger`" in installed.stdout


async def test_a_service_whose_server_does_not_answer_is_said_to_fail(
    user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.cli.service._PATIENCE", 1.0)
    host, _, port = user.rpartition(":")
    with socket.socket() as other:
        other.bind((host, int(port)))  # the server cannot listen on it
        for verb in ("install", "start"):
            failed = await anyio.to_thread.run_sync(CliRunner().invoke, main, ["service", verb])
            assert failed.exit_code == 1
            assert f"after 1 seconds no server answers at http://{user}. See why: " in failed.output


async def test_a_service_names_the_settings_that_it_uses(tmp_path: Path) -> None:
    settings = tmp_path / "my settings 100% $x.toml"
    settings.write_text('log_level = "warning"')
    installed = await run("service", "install", "--config", str(settings))
    assert installed.status == 0, installed.stderr
    assert f"Its settings are in {settings}." in installed.stdout
    assert (await run("service", "status")).status == 0


async def test_a_service_is_not_installed_next_to_a_server_on_the_same_address(user: str) -> None:
    async with program(port=int(user.rpartition(":")[2])):
        refused = await run("service", "install")
    assert refused.status == 1
    assert f"listens on http://{user}; stop it first" in refused.stderr


async def test_a_key_that_the_service_would_not_have_is_refused() -> None:
    refused = await run("service", "install", CODEX_OPENAI_PROXY_API_KEY="sk-secret")
    assert refused.status == 2
    assert "--api-key does not reach the service from here" in refused.stderr
