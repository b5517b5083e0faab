"""The commands `models`, `status` and `completion`; the Codex CLI with the entry that `models` prints for it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from rich.console import Console

from bridge.cli.status import status_parts
from codex_rpc.process.process import find_codex
from tests.harness.program import closed_pipe, free_port, http_client, run, run_here, run_into
from tests.harness.proxy import served
from tests.harness.script import reply
from tests.harness.upstream import Upstream


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


async def test_models_and_status_show_a_running_server(home: Path) -> None:
    del home
    async with served() as server, http_client() as client:
        where = ("--addr", f"127.0.0.1:{server.port}")
        body = {"model": "xedoc-2.5-tpg", "messages": [{"role": "user", "content": "hi"}]}
        assert (await client.post(f"{server.url}/v1/chat/completions", json=body)).status_code == 200
        shown = (await run_here("models", *where)).stdout.splitlines()
        assert shown[0].split() == ["xedoc-2.5-tpg", "gpt-5.2-codex"]
        names = json.loads((await run_here("models", *where, "--json")).stdout)
        assert names[:4] == ["xedoc-2.5-tpg", "xam-xedoc-1.5-tpg", "inim-xedoc-1.5-tpg", "2.5-tpg"]
        assert len(names) == 2 * len(shown)
        lines = (await run_here("status", *where)).stdout.splitlines()
        assert lines[:3] == ["Codex     up", "Account   none, ready", "Today     1 request, 812 tokens in, 40 out"]
        assert lines[-1].split()[:2] == ["xedoc-2.5-tpg", "200"]
        assert json.loads((await run_here("status", *where, "--json")).stdout)["today"]["requests"] == 1


async def test_a_clients_entry_names_the_running_server_its_models_and_no_key(home: Path) -> None:
    del home
    async with served(api_key="sk-secret") as server:
        where = ("--addr", f"127.0.0.1:{server.port}", "--api-key", "sk-secret")
        listed = json.loads((await run_here("models", *where, "--json")).stdout)
        shown = await run_here("models", *where, "--for", "vscode")
        cursor = await run_here("models", *where, "--for", "cursor")
    (provider,) = json.loads(shown.stdout)
    names = [model["id"] for model in provider["models"]]
    assert names[0] == "codex"
    assert len(names) > 2
    assert set(names) <= set(listed)
    assert {model["url"] for model in provider["models"]} == {f"{server.base_url}/chat/completions"}
    assert provider["apiKey"] == "YOUR-KEY"
    assert "This goes into chatLanguageModels.json" in shown.stderr
    assert "sk-secret" not in shown.stdout + cursor.stdout
    assert "  Add model                 xedoc\n" in cursor.stdout
    assert "no tunnel is set up" in cursor.stderr


async def test_without_a_server_an_entry_has_the_address_of_the_settings_and_says_so() -> None:
    port = free_port()
    shown = await run_here("models", "--for", "openwebui", CODEX_OPENAI_PROXY_ADDR=f":{port}")
    assert shown.status == 0
    assert shown.stdout == f"OPENAI_API_BASE_URL=http://localhost:{port}/v1\nOPENAI_API_KEY=any\n"
    assert f"No server answers at http://localhost:{port}" in shown.stderr
    assert (await run_here("models", "--for", "llm", "--json")).status == 2


async def test_the_codex_cli_answers_with_the_entry_that_is_printed_for_it(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    del home
    upstream.will_reply(reply("Hello from the entry."))
    (client_home := tmp_path / "client_home").mkdir()
    async with served() as server:
        shown = await run_here("models", "--for", "codex", "--addr", f"127.0.0.1:{server.port}")
        (client_home / "config.toml").write_text(shown.stdout)
        codex = os.environ.get("CODEX_UNDER_TEST") or str(find_codex())
        with anyio.fail_after(60):
            done = await anyio.run_process(
                [codex, "exec", "--skip-git-repo-check", "Say hi."],
                cwd=tmp_path,
                env={**os.environ, "CODEX_HOME": str(client_home)},
                stdin=subprocess.DEVNULL,
                check=False,
            )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().strip() == "Hello from the entry."
    assert "metadata" not in done.stderr.decode()


@pytest.mark.parametrize("command", ["models", "status"])
async def test_without_a_server_they_say_how_to_start_it(command: str) -> None:
    refused = await run_here(command, "--addr", f"127.0.0.1:{free_port()}")
    assert refused.status == 1
    assert "nothing listens there. Start the server: codex-openai-proxy serve" in refused.stderr


async def test_without_the_key_they_say_how_to_give_it(home: Path) -> None:
    del home
    async with served(api_key="right") as server:
        where = ("--addr", f"127.0.0.1:{server.port}")
        refused = await run_here("status", *where)
        assert "the server refuses the key (401)" in refused.stderr
        assert (await run_here("status", *where, CODEX_OPENAI_PROXY_API_KEY="right")).status == 0


def status_text(width: int, *keys: str, agents: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return what `status` shows on a terminal of this width without colours."""
    window = {"used_percent": 50, "window_minutes": 300, "resets_at": 1000 + 3660}
    week = {"used_percent": 95, "window_minutes": 10080, "resets_at": 1000 + 90000}
    entry = {
        "key": keys[0] if keys else None, "model": "gpt-5.2-codex", "status": None, "first_token_seconds": None,
        "input_tokens": 12345, "output_tokens": 678, "cache_share": None, "thread": "continued; reason=same-history",
    }  # fmt: skip
    usage = {
        "account": {"type": "chatgpt", "plan": "plus", "ready": True},
        "codex": {"state": "up"},
        "quota": [{"limit": "codex", "name": None, "primary": window, "secondary": week}],
        "today": {"requests": 0, "input_tokens": 0, "output_tokens": 0},
        "keys": [
            {"name": key, "tokens_today": 1300 + number, "tokens_per_day": 5000} for number, key in enumerate(keys)
        ],
        "running": [entry],
        "recent": [],
        "agents": agents,
    }
    console = Console(file=StringIO(), width=width, color_system=None)
    with console.capture() as shown:
        console.print(*status_parts(usage, 1000), sep="\n")
    return shown.get()


def test_quota_limits_are_bars_with_the_time_until_their_reset() -> None:
    lines = [line.rstrip() for line in status_text(100).splitlines()]
    assert "Account   chatgpt plus, ready" in lines
    assert any(line.endswith(" 50% of the codex 5-hour limit, resets in 1 h 01 min") for line in lines)
    assert any(line.endswith(" 95% of the codex 168-hour limit, resets in 1 d 1 h") for line in lines)
    assert "running" in lines[-1]


def test_a_named_key_has_a_line_with_its_tokens_and_is_named_at_its_requests() -> None:
    facts, _, requests = status_text(100, "anna").partition("\n\n")
    assert "Key       anna: 1,300 of 5,000 tokens today" in facts
    assert requests.split()[0] == "key"
    assert "anna" in requests
    assert "key" not in status_text(100).partition("\n\n")[2]


def test_of_many_keys_those_that_used_most_are_shown() -> None:
    lines = status_text(100, *(f"key{number}" for number in range(99))).splitlines()
    shown = [line.split(":")[0].split()[1] for line in lines if line.startswith("Key")]
    assert shown == [f"key{number}" for number in range(98, 90, -1)]
    assert any(line.strip() == "and 91 more" for line in lines)


def test_what_agents_do_and_ask_has_a_line_for_each() -> None:
    thinks: dict[str, Any] = {"agent": "site", "folder": "/w/site", "key": None, "since": 940, "state": "running"}
    thinks |= {"doing": [], "questions": []}
    works = {**thinks, "doing": ["make [red]"]}
    asks = {**thinks, "state": "waiting", "key": "anna", "questions": [{"action": "run a command"}]}
    waits = {**asks, "questions": []}
    lines = [line.rstrip() for line in status_text(100, agents=(works, thinks, asks, waits)).splitlines()]
    assert "Agent     site in /w/site: make [red], since 0 h 01 min" in lines
    assert "Agent     site in /w/site: thinks or writes, since 0 h 01 min" in lines
    assert "Agent     site in /w/site: asks to run a command, since 0 h 01 min, key anna" in lines
    assert "Agent     site in /w/site: waits for its client, since 0 h 01 min, key anna" in lines


@pytest.mark.parametrize("width", [40, 80])
def test_on_a_narrow_terminal_no_line_is_longer_and_nothing_is_lost(width: int) -> None:
    text = status_text(width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    facts = text.partition("\n\n")[0]
    assert {"chatgpt", "plus,", "codex", "5-hour", "limit,", "resets", "min", "requests,"} <= set(facts.split())


def test_on_a_terminal_of_eighty_columns_each_value_of_a_request_is_whole() -> None:
    requests = status_text(80).partition("\n\n")[2]
    assert {"gpt-5.2-codex", "running", "12,345", "678", "continued;", "reason=same-history"} <= set(requests.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_each_shell_gets_its_completion(shell: str) -> None:
    shown = await run("completion", shell)
    assert "_CODEX_OPENAI_PROXY_COMPLETE" in shown.stdout
    assert (await run("completion", "tcsh")).status == 2


READERLESS = (
    ("--help",),
    ("doctor", "--only", "port"),
    ("doctor", "--only", "port", "--json"),
    ("doctor", "--explain", "502"),
    ("completion", "bash"),
    ("serve", "--print-config"),
)


@pytest.mark.parametrize("arguments", READERLESS)
async def test_a_command_whose_output_is_not_read_ends_without_a_complaint(arguments: tuple[str, ...]) -> None:
    with closed_pipe() as stdout:
        done = await run_into(stdout, *arguments, CODEX_OPENAI_PROXY_ADDR=f"127.0.0.1:{free_port()}")
    assert done.status == 1
    assert [line for line in done.stderr.splitlines() if not line.endswith(" ...")] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no /dev/full")
@pytest.mark.parametrize("arguments", READERLESS)
async def test_a_command_whose_output_does_not_fit_on_the_disk_says_so(arguments: tuple[str, ...]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = await run_into(full, *arguments, CODEX_OPENAI_PROXY_ADDR=f"127.0.0.1:{free_port()}")
    finally:
        os.close(full)
    assert done.status == 1
    assert done.stderr.splitlines()[-1] == "Error: No space left on device"
    assert "Traceback" not in done.stderr


async def test_signs_that_the_encoding_lacks_are_replaced() -> None:
    done = await run("doctor", "--explain", "502", PYTHONIOENCODING="cp1252")
    assert (done.status, done.stderr) == (0, "")
    assert "? start the server" in done.stdout
