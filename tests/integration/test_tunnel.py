"""Tunnels with a stand-in for cloudflared: set-up, running with the server, announcing the address."""

from __future__ import annotations

import asyncio
import json
import stat
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio
import pytest

from bridge.doctor.subject import Subject
from bridge.doctor.tunnel_checks import PublicAddress, public_address
from tests.harness.cloudflared import QUICK, write_stand_in
from tests.harness.program import PATIENCE, closed_pipe, free_port, http_client, program, run, survivors

HOSTNAME = "codex.example.com"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This program's folder in an empty home, with cloudflared on PATH."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", f"{write_stand_in(tmp_path / 'bin').parent}:/usr/bin:/bin")
    monkeypatch.delenv("CODEX_OPENAI_PROXY_API_KEY", raising=False)
    return tmp_path / "config" / "codex-openai-proxy"


async def until(log: Path, words: str) -> str:
    """Wait until a log contains the words; return its text."""
    text = ""
    with anyio.move_on_after(PATIENCE):
        while True:
            if words in (text := log.read_text()):
                return text
            await anyio.sleep(0.02)
    pytest.fail(f"the log lacks {words!r}:\n{text}")


async def test_setting_up_creates_tunnel_name_configuration_and_key(own_folder: Path, tmp_path: Path) -> None:
    done = await run("tunnel", "--hostname", HOSTNAME, "--addr", ":8123", "--setup")
    assert done.status == 0, done.stderr
    assert f"codex-openai-proxy serve --tunnel {HOSTNAME}" in done.stdout
    (known,) = json.loads((tmp_path / ".cloudflared" / "tunnels.json").read_text())
    assert (tmp_path / ".cloudflared" / f"{HOSTNAME}.dns").read_text() == known["id"]
    config = (own_folder / "cloudflared.yml").read_text().splitlines()
    assert config[1:3] == [f"tunnel: {known['id']}", f'credentials-file: "{tmp_path}/.cloudflared/{known["id"]}.json"']
    assert config[4:] == [
        "protocol: http2",
        "ingress:",
        f"  - hostname: {HOSTNAME}",
        "    service: http://127.0.0.1:8123",
        "  - service: http_status:404",
    ]
    assert stat.S_IMODE((own_folder / "api-key").stat().st_mode) == 0o600


async def test_setting_up_again_keeps_tunnel_and_key(own_folder: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert (await run("tunnel", "--hostname", HOSTNAME, "--setup")).status == 0
    assert len(json.loads((tmp_path / ".cloudflared" / "tunnels.json").read_text())) == 1
    key = (own_folder / "api-key").read_text().strip()
    assert key.startswith("sk-")
    assert len(key) == 51
    shown = json.loads((await run("tunnel", "--show", "--json")).stdout)
    assert shown == {"api_key": key, "base_url": f"https://{HOSTNAME}", "model": "xedoc"}
    text = (await run("tunnel", "--show")).stdout
    assert f"OpenAI API Key            {key}\n" in text
    assert f"  Base URL                  https://{HOSTNAME}\n  Deployment Name           xedoc\n" in text


async def test_serve_with_a_tunnel_shows_the_values_for_cursor(home: Path, own_folder: Path, tmp_path: Path) -> None:
    del home
    port, log = free_port(), tmp_path / "log"
    assert (await run("tunnel", "--hostname", HOSTNAME, "--addr", f":{port}", "--setup")).status == 0
    async with program("--tunnel", HOSTNAME, port=port, log=log) as server, http_client() as client:
        text = await until(log, "Add model")
        key = (own_folder / "api-key").read_text().strip()
        assert f"  OpenAI API Key            {key}\n  Override OpenAI Base URL  https://{HOSTNAME}\n" in text
        assert "the tunnel is connected to fra07" in text
        headers = {"authorization": f"Bearer {key}"}
        assert (await client.get(f"{server.url}/v1/models")).status_code == 401
        assert (await client.get(f"{server.url}/v1/models", headers=headers)).status_code == 200
        examined = (await client.get(f"{server.url}/doctor", headers=headers)).json()
        found = {check["id"]: check for check in examined["checks"]}
        assert (found["tunnel"]["status"], found["tunnel-config"]["status"]) == ("ok", "ok"), found
        assert (await run("doctor", "--only", "tunnel", "--addr", f":{port}")).status == 0


async def test_a_quick_tunnel_is_announced_with_its_address_and_its_warning(home: Path, tmp_path: Path) -> None:
    del home
    log = tmp_path / "log"
    async with program("--tunnel", "quick", log=log) as server:
        text = await until(log, "Add model")
        assert f"Override OpenAI Base URL  https://{QUICK}\n" in text
        assert "a quick tunnel is for testing" in text
        headers = {"authorization": f"Bearer {(tmp_path / 'config/codex-openai-proxy/api-key').read_text().strip()}"}
        url = None
        async with http_client() as client:
            with anyio.fail_after(30):
                while url is None:  # cloudflared may be slow to report it
                    url = (await client.get(f"{server.url}/doctor", headers=headers)).json()["url"]
    assert url == f"https://{QUICK}"


async def test_a_tunnel_that_fails_is_restarted_while_the_server_keeps_running(home: Path, tmp_path: Path) -> None:
    del home
    log = tmp_path / "log"
    async with program("--tunnel", "quick", log=log, STAND_IN_FAULT="crash") as server, http_client() as client:
        text = await until(log, "restarting it")
        assert "Unauthorized: Tunnel not found" in text
        assert "cloudflared ended with status 1" in text
        assert (await client.get(f"{server.url}/healthz")).status_code == 200


async def test_no_cloudflared_outlives_a_server_that_is_killed(home: Path, tmp_path: Path) -> None:
    del home
    log = tmp_path / "log"
    with anyio.fail_after(60):
        async with program("--tunnel", "quick", log=log) as server:
            await until(log, "Add model")
            family = server.family()
            assert any("cloudflared" in " ".join(child.cmdline()) for child in family)
            server.process.kill()
            assert await survivors(family) == []


async def test_a_server_that_stops_leaves_no_cloudflared(home: Path, tmp_path: Path) -> None:
    del home
    log = tmp_path / "log"
    async with program("--tunnel", "quick", log=log) as server:
        await until(log, "Add model")
        family = server.family()
    assert [child for child in family if child.is_running()] == []


async def test_a_server_whose_output_is_not_read_keeps_running_with_its_tunnel(home: Path, tmp_path: Path) -> None:
    del home
    log = tmp_path / "log"
    with closed_pipe() as stdout:
        async with program("--tunnel", "quick", log=log, stdout=stdout) as server, http_client() as client:
            text = await until(log, "cannot be printed")
            assert f"the address is https://{QUICK}" in text
            assert (await client.get(f"{server.url}/healthz")).status_code == 200
    assert "Traceback" not in log.read_text()


async def test_a_tunnel_without_a_connection_is_not_announced(home: Path, tmp_path: Path) -> None:
    del home
    log = tmp_path / "log"
    async with program("--tunnel", "quick", log=log, STAND_IN_FAULT="no connection") as server:
        text = await until(log, "Unable to establish connection")
        assert "Paste into Cursor" not in text
        found = json.loads((await run("doctor", "--only", "tunnel", "--addr", f":{server.port}", "--json")).stdout)
    assert found["checks"][0]["reason"].startswith("cloudflared is not connected")


async def test_a_server_without_a_key_gets_no_tunnel(home: Path) -> None:
    del home
    async with program() as server:
        refused = await run("tunnel", "--quick", "--addr", f"127.0.0.1:{server.port}")
    assert refused.status == 1
    assert "anyone could use your account" in refused.stderr
    without_server = await run("tunnel", "--quick", "--addr", f"127.0.0.1:{free_port()}")
    assert "the server does not answer" in without_server.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("tunnel",), 2, "give either --hostname or --quick"),
        (("tunnel", "--hostname", "x", "--quick"), 2, "give either --hostname or --quick"),
        (("tunnel", "--hostname", "no name", "--setup"), 1, "'no name' is not a hostname"),
        (("tunnel", "--quick", "--cloudflared", "/nowhere"), 1, "the server does not answer"),
        (("tunnel", "--show"), 1, "nothing is set up yet"),
        (("serve", "--tunnel", HOSTNAME), 1, "no tunnel is set up"),
        (("serve", "--tunnel", "quick", "--cloudflared", "/nowhere"), 1, "there is no cloudflared at '/nowhere'"),
    ],
)
async def test_a_command_that_cannot_work_says_what_to_do(arguments: tuple[str, ...], status: int, words: str) -> None:
    refused = await run(*arguments, CODEX_OPENAI_PROXY_ADDR=f"127.0.0.1:{free_port()}")
    assert (refused.status, "Traceback" in refused.stderr) == (status, False)
    assert words in " ".join(refused.stderr.split())


async def test_the_address_of_a_quick_tunnel_is_found_next_to_a_named_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """cloudflared's metrics report the hostname of a quick tunnel, and an empty hostname for a named one."""

    async def answer(hostname: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps({"hostname": hostname})
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        writer.close()

    async with AsyncExitStack() as stack:
        ports: list[int] = []
        for hostname in ("", QUICK):
            server = await asyncio.start_server(partial(answer, hostname), "127.0.0.1", 0)
            await stack.enter_async_context(server)
            ports.append(server.sockets[0].getsockname()[1])
        monkeypatch.setattr("bridge.doctor.tunnel_checks.METRICS_PORTS", ports)
        found = await public_address(Subject(port=free_port()))
    assert found == PublicAddress(f"https://{QUICK}", "a quick tunnel that runs on this machine", leads_here=False)


async def test_cursor_gets_the_address_of_the_servers_own_tunnel_and_reads_where_another_one_comes_from(
    home: Path, own_folder: Path, tmp_path: Path
) -> None:
    """While a named tunnel is set up for another port, the server's own quick tunnel is the one that counts."""
    del home
    port, log = free_port(), tmp_path / "log"
    assert (await run("tunnel", "--hostname", HOSTNAME, "--addr", f":{free_port()}", "--setup")).status == 0
    async with program("--tunnel", "quick", port=port, log=log):
        await until(log, "Add model")
        own = await run("models", "--for", "cursor", "--addr", f":{port}")
        checked = await run("doctor", "--only", "base-url", "--addr", f":{port}")
    assert f"  Override OpenAI Base URL  https://{QUICK}\n" in own.stdout
    assert "The public address is that of the tunnel that was started with the server." in own.stderr
    assert QUICK in checked.stdout
    without = await run("models", "--for", "cursor", "--addr", f":{port}")
    assert f"  Override OpenAI Base URL  https://{HOSTNAME}\n" in without.stdout
    assert f"that of the named tunnel in {own_folder / 'cloudflared.yml'}." in without.stderr
    assert f"may lead to another program. To check it: codex-openai-proxy doctor --url https://{HOSTNAME}" in (
        without.stderr
    )
