"""Planted faults: doctor finds exactly these, with the real codex and a real server."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncGenerator, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bridge.codex.models import NAMED
from bridge.doctor.checks import CHECKS
from bridge.tunnel.config import NamedTunnel, config_text
from tests.harness.account_server import AccountServer, account_server
from tests.harness.agents import without_a_sandbox
from tests.harness.cloudflared import write_stand_in
from tests.harness.codex_home import write_home
from tests.harness.program import Server, free_port, run, run_here
from tests.harness.proxy import served
from tests.harness.public_front import Front, public_front
from tests.harness.script import http_error
from tests.harness.upstream import Upstream

ON_LOOPBACK = {"base-url"}
"""The check that always fails in tests, because their addresses are not public."""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user's home, with no cloudflared on PATH."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return tmp_path


@pytest.fixture
async def server(upstream: Upstream, home: Path) -> AsyncGenerator[Server]:
    """A server that answers `ok`."""
    del upstream, home
    async with served() as running:
        yield running


@pytest.fixture
def front(server: Server) -> Generator[Front]:
    """A reverse proxy in front of the server."""
    with public_front(server.port) as running:
        yield running


async def doctor(*arguments: str, port: int | None = None) -> dict[str, dict[str, Any]]:
    """Run doctor; return check id → finding."""
    where = ["--addr", f"127.0.0.1:{port or free_port()}"]
    done = await run_here("doctor", "--json", *where, *arguments)
    assert done.status in {0, 1}, done.stderr
    whole = json.loads(done.stdout)
    assert whole["ok"] is (done.status == 0)
    return {check["id"]: check for check in whole["checks"]}


def faults(found: dict[str, dict[str, Any]]) -> set[str]:
    """Return the ids of the failed checks, each of which must give a reason and a fix."""
    wrong = {name for name, check in found.items() if check["status"] == "fail"}
    assert all(found[name]["reason"] and found[name]["fix"] for name in wrong)
    return wrong


async def test_a_running_server_has_no_faults(server: Server) -> None:
    found = await doctor(port=server.port)
    assert faults(found) == set()
    assert found["chat"]["reason"].startswith("xedoc said 'ok', the first word after ")
    assert found["sandbox"]["status"] == "ok"
    assert found["port"]["reason"] == f"{server.port} is used by this server"
    assert found["models"]["reason"].endswith("the first is xedoc-2.5-tpg")
    assert found["login-models"]["reason"].endswith(f"not for this login, and perhaps refused: {', '.join(NAMED)}")
    assert {name for name, check in found.items() if check["status"] == "skip"} == {
        "quota", "keys", "cloudflared", "tunnel-config", "tunnel", "base-url", "public-models", "public-cors", "stream",
    }  # fmt: skip


async def test_a_public_server_has_no_faults_except_its_name(front: Front) -> None:
    found = await doctor("--url", front.url, "--long", "--silence", "1", port=front.upstream_port)
    assert faults(found) == ON_LOOPBACK | {"cloudflared", "tunnel"}
    assert found["stream"]["status"] == found["silence"]["status"] == "ok"


async def test_the_text_shows_each_check_with_its_fix(home: Path) -> None:
    del home
    shown = (await run("doctor", "--addr", f"127.0.0.1:{free_port()}", "--only", "port")).stdout
    assert shown.startswith("! Port")
    assert "→ codex-openai-proxy serve\n" in shown
    assert "\x1b" not in shown


# ── planted faults on this machine ────────────────────────────────────────────────────────────────────────────────────


async def test_a_missing_codex_is_found() -> None:
    found = await doctor("--codex", "/nowhere/codex")
    assert faults(found) == {"codex"}
    assert "/nowhere/codex" in found["codex"]["reason"]
    assert "npm install -g @openai/codex" in found["codex"]["fix"]
    assert found["login"]["status"] == "skip"


async def test_a_sandbox_that_does_not_work_is_a_warning(home: Path, tmp_path: Path) -> None:
    del home
    found = await doctor("--codex", without_a_sandbox(tmp_path), "--only", "sandbox")
    assert (found["sandbox"]["status"], faults(found)) == ("warn", set())
    assert "no namespaces here" in found["sandbox"]["reason"]


async def test_a_codex_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "codex"
    old.write_text("#!/bin/sh\necho codex-cli 0.20.0\n")
    old.chmod(0o755)
    found = await doctor("--codex", str(old))
    assert faults(found) == {"codex"}
    assert "is version 0.20.0, but at least 0.163.0 is needed" in found["codex"]["reason"]


async def test_a_missing_login_is_found(upstream: Upstream, home: Path) -> None:
    write_home(home, upstream.base_url, "websocket", logged_in=False)
    found = await doctor()
    assert faults(found) == {"login"}
    assert (found["login"]["reason"], found["login"]["fix"]) == ("Codex is not logged in", "codex-openai-proxy login")


async def test_a_config_that_codex_cannot_read(home: Path) -> None:
    (home / "config.toml").write_text("model = [")
    found = await doctor()
    assert faults(found) == {"codex"}
    assert f"{home}/config.toml is not valid TOML" in found["codex"]["reason"]


@pytest.mark.parametrize("file", ["AGENTS.md", "AGENTS.override.md"])
async def test_instructions_that_the_model_sees_because_the_login_is_in_the_keyring(home: Path, file: str) -> None:
    config = (home / "config.toml").read_text()
    (home / file).write_text("Always answer in Latin.")
    assert (await doctor("--only", "codex"))["codex"]["status"] == "ok"
    (home / "config.toml").write_text(f'cli_auth_credentials_store = "keyring"\n{config}')
    found = await doctor("--only", "codex")
    assert found["codex"]["status"] == "warn"
    assert f"the model sees {file} in {home}" in found["codex"]["reason"]


@pytest.fixture
def accounts(home: Path) -> Generator[AccountServer]:
    """A logged-in ChatGPT account whose quota the test sets."""
    with account_server() as running:
        (home / "config.toml").unlink()
        running.write_config(home)
        running.log_in(home)
        yield running


async def test_the_quota_is_used_up(accounts: AccountServer) -> None:
    accounts.used = (100, 17)
    found = await doctor()
    assert faults(found) == {"quota"}
    assert found["quota"]["reason"].startswith("no quota left; 5-hour limit: 100% used")
    assert found["login"]["reason"] == "ChatGPT Plus, a…@example.com"


QUOTA = {"error": {"type": "usage_limit_reached", "message": "limit", "plan_type": "plus", "resets_in_seconds": 60}}


async def test_the_quota_is_reported_while_some_is_left(accounts: AccountServer) -> None:
    found = await doctor()
    words = "5-hour limit: 42% used; 7-day limit: 17% used"
    assert (found["quota"]["status"], found["quota"]["reason"]) == ("ok", words)
    accounts.used = (95, 17)
    assert (await doctor("--only", "quota"))["quota"]["status"] == "warn"


class Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's own signature
        del format, args


async def test_another_program_has_the_port(home: Path) -> None:
    del home
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        thread = threading.Thread(target=stranger.serve_forever, args=(0.05,))
        thread.start()
        found = await doctor(port=stranger.server_port)
        stranger.shutdown()
        thread.join()
    assert faults(found) == {"port"}
    assert found["port"]["reason"].endswith("is taken by another program, which answers with status 404")
    assert f"--addr 127.0.0.1:{stranger.server_port + 1}" in found["port"]["fix"]


async def test_a_program_that_speaks_no_http_has_the_port(home: Path) -> None:
    del home
    with socket.create_server(("127.0.0.1", 0)) as mute:
        found = await doctor("--only", "port", port=mute.getsockname()[1])
    assert faults(found) == {"port"}


async def test_the_server_does_not_run(home: Path) -> None:
    del home
    found = await doctor()
    assert faults(found) == set()
    assert (found["port"]["status"], found["port"]["fix"]) == ("warn", "codex-openai-proxy serve")


async def test_the_key_is_wrong(upstream: Upstream, home: Path) -> None:
    del upstream, home
    async with served(api_key="right") as running:
        found = await doctor("--api-key", "wrong", port=running.port)
        assert faults(found) == {"models"}
        assert found["models"]["reason"] == "the server refuses the key (401)"
        assert faults(await doctor("--api-key", "right", port=running.port)) == set()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http_error(429, QUOTA), "quota is used up (429)"),
        (http_error(400, {"error": {"message": "no such thing", "code": "bad"}}), "status 400: no such thing"),
    ],
    ids=["quota", "refusal"],
)
async def test_the_upstream_does_not_answer_the_chat(
    server: Server, upstream: Upstream, answer: Any, words: str
) -> None:
    upstream.respond = lambda _: answer
    found = await doctor(port=server.port)
    assert faults(found) == {"chat"}
    assert words in found["chat"]["reason"]


# ── planted faults of the tunnel ──────────────────────────────────────────────────────────────────────────────────────


def tunnel_config(folder: Path, port: int, **changes: str) -> Path:
    text = config_text(NamedTunnel("id", str(folder / "id.json"), "codex.example.com", port))
    for old, new in changes.items():
        text = text.replace(old, new)
    path = folder / "cloudflared.yml"
    path.write_text(f"metrics: 127.0.0.1:{free_port()}\n{text}")
    return path


async def test_cloudflared_is_missing(server: Server, tmp_path: Path) -> None:
    config = tunnel_config(tmp_path, server.port)
    only = ("--only", "cloudflared", "--only", "tunnel-config")
    found = await doctor("--tunnel-config", str(config), *only, port=server.port)
    assert faults(found) == {"cloudflared"}
    assert found["cloudflared"]["reason"] == "there is no cloudflared on PATH"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("http2", "quic", "protocol is quic"),
        ("protocol: http2", "", "protocol is not set"),
        ("127.0.0.1:", "127.0.0.1:9", "no ingress rule leads to http://127.0.0.1:"),
        ("http_status:404", "http://localhost:80", "The last ingress rule must match all URLs"),
    ],
)
async def test_the_configuration_of_the_tunnel_does_not_fit(tmp_path: Path, old: str, new: str, words: str) -> None:
    program = write_stand_in(tmp_path / "bin")
    config = tunnel_config(tmp_path, 11435, **{old: new})
    arguments = ("--cloudflared", str(program), "--tunnel-config", str(config))
    found = await doctor(*arguments, "--only", "cloudflared", "--only", "tunnel-config", port=11435)
    assert faults(found) == {"tunnel-config"}
    assert words in found["tunnel-config"]["reason"]


async def test_the_tunnel_does_not_run(tmp_path: Path) -> None:
    config = tunnel_config(tmp_path, 11435)
    found = await doctor("--tunnel-config", str(config), "--only", "tunnel")
    assert found["tunnel"]["reason"] == "cloudflared is not running on this machine"


async def test_a_public_server_without_a_key_is_found(front: Front) -> None:
    found = await doctor("--url", front.url, "--only", "key", port=front.upstream_port)
    assert found["key"]["status"] == "warn"
    assert "can use your account" in found["key"]["reason"]


async def public(front: Front) -> set[str]:
    """Return the public checks that fail."""
    only = ("base-url", "public-models", "public-cors", "stream")
    arguments = [part for name in only for part in ("--only", name)]
    return faults(await doctor("--url", front.url, *arguments, port=front.upstream_port)) - ON_LOOPBACK


async def test_a_proxy_that_holds_streams_back_is_found(front: Front) -> None:
    front.fault = "buffers"
    assert await public(front) == {"stream"}


async def test_a_proxy_that_cuts_streams_is_found(front: Front) -> None:
    front.fault = "cuts"
    assert await public(front) == {"stream"}
    found = await doctor("--url", front.url, "--only", "silence", "--silence", "1", port=front.upstream_port)
    assert faults(found) == {"silence"}


async def test_a_proxy_that_answers_preflights_itself_is_found(front: Front) -> None:
    front.fault, front.status = "no cors", 403
    assert await public(front) == {"public-cors"}


async def test_a_proxy_that_refuses_requests_is_found(front: Front) -> None:
    for status, body, words in (
        (502, b"error code: 502", "the tunnel is connected but the server does not answer"),
        (530, b"error code: 1033", "Cloudflare's error 1033"),
        (403, b"", "Cloudflare Access"),
        (404, b"404 page not found", "the tunnel's ingress knows no such hostname"),
        (429, b"", "too many requests at once"),
        (418, b"", "does not come from this server"),
    ):
        front.fault, front.status, front.body = "refuses", status, body
        found = await doctor("--url", front.url, "--only", "public-models", port=front.upstream_port)
        assert words in found["public-models"]["reason"]
        assert found["public-models"]["fix"]


async def test_an_unreachable_public_address_is_found(home: Path) -> None:
    del home
    found = await doctor("--url", f"http://127.0.0.1:{free_port()}", "--only", "public-models")
    assert "cannot be reached: nothing listens there" in found["public-models"]["reason"]
    found = await doctor("--url", "https://nowhere.invalid", "--only", "public-models")
    assert "https://nowhere.invalid cannot be reached" in found["public-models"]["reason"]


# ── the command line ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_unknown_check_is_refused_with_a_list_of_checks() -> None:
    refused = await run("doctor", "--only", "liver")
    assert refused.status == 2
    assert all(check.id in refused.stderr for check in CHECKS)


async def test_a_message_of_cursor_is_explained() -> None:
    shown = (await run("doctor", "--explain", "Connection failed")).stdout
    assert "Cursor's servers did not reach the base URL" in shown
    assert "Error 1033" in (await run("doctor", "--explain", "1033")).stdout
    unknown = await run("doctor", "--explain", "headache")
    assert (unknown.status, "there is no explanation for 'headache'" in unknown.stderr) == (1, True)
