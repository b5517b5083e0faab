"""The program as a user starts it: a separate process, a real socket, signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import psutil
import pytest

from tests.harness.program import http_client, program, survivors
from tests.harness.proxy import MODEL, Stream, user
from tests.harness.script import Hold, Text, begun, reply
from tests.harness.upstream import Upstream


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_program_with_a_stream_open_and_leaves_no_codex(
    upstream: Upstream, home: Path, number: signal.Signals
) -> None:
    del home
    upstream.will_reply(begun("Once upon").then(Hold(anyio.Event())))
    with anyio.fail_after(20):
        async with program("--grace", "0.3") as running, http_client(base_url=running.base_url) as client:
            family: list[psutil.Process] = []
            body = {"model": MODEL, "stream": True, "messages": [user("tell me a story")]}
            async with client.stream("POST", "/chat/completions", json=body) as response:
                stream = Stream(response)
                async for chunk in stream:
                    if "choices" in chunk:
                        family += running.family()
                        running.process.send_signal(number)
            assert await running.process.wait() == 0
    assert stream.text == "Once upon"
    assert stream.chunks[-1]["error"]["code"] == "codex_unavailable"
    assert stream.done
    assert family
    assert not [child for child in family if child.is_running()]
    await upstream.wait_until_idle()


async def test_an_answer_may_finish_within_the_grace_and_new_ones_are_refused(upstream: Upstream, home: Path) -> None:
    del home
    gate = anyio.Event()
    upstream.will_reply(reply(Text(("Once ", "upon"), between=Hold(gate))))
    with anyio.fail_after(20):
        async with program("--grace", "15") as running, http_client(base_url=running.base_url) as client:
            body = {"model": MODEL, "stream": True, "messages": [user("tell me a story")]}
            async with client.stream("POST", "/chat/completions", json=body) as response:
                stream = Stream(response)
                async for chunk in stream:
                    if chunk["choices"][0]["delta"].get("content") == "Once ":
                        running.process.send_signal(signal.SIGTERM)
                        while (refused := await client.post("/chat/completions", json=body)).status_code == 200:
                            await refused.aread()
                        assert refused.status_code == 503
                        assert "retry-after" in refused.headers
                        gate.set()
            assert await running.process.wait() == 0
    assert stream.text == "Once upon"
    assert stream.chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_program_at_once(upstream: Upstream, home: Path, number: signal.Signals) -> None:
    del home
    upstream.will_reply(begun("Once upon").then(Hold(anyio.Event())))
    with anyio.fail_after(30):
        async with program("--grace", "3600") as running, http_client(base_url=running.base_url) as client:
            body = {"model": MODEL, "stream": True, "messages": [user("tell me a story")]}
            async with client.stream("POST", "/chat/completions", json=body) as response:
                assert response.status_code == 200
                family = running.family()
                running.process.send_signal(number)
                while (await client.get("/readyz")).status_code == 200:
                    pass
                running.process.send_signal(number)
                assert await running.process.wait() != 0
            assert await survivors(family) == []


async def test_no_child_outlives_a_program_that_is_killed(upstream: Upstream, home: Path) -> None:
    del home
    upstream.will_reply(begun("Once upon").then(Hold(anyio.Event())))
    with anyio.fail_after(30):
        async with program() as running, http_client(base_url=running.base_url) as client:
            body = {"model": MODEL, "stream": True, "messages": [user("tell me a story")]}
            async with client.stream("POST", "/chat/completions", json=body):
                family = running.family()
                assert family
                running.process.kill()
                assert await survivors(family) == []


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bridge", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **(env or {})},
    )


def test_an_address_in_use_is_named_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("--addr", address)
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: cannot listen on {address}: Address already in use. Choose another address with --addr.\n"
    )


def test_a_missing_codex_is_named(tmp_path: Path) -> None:
    done = run("--addr", "127.0.0.1:0", "--codex", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert f"there is no codex executable at '{tmp_path}/nowhere'; check --codex" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_codex_that_is_too_old_is_named_with_the_version_that_is_needed(tmp_path: Path) -> None:
    old = tmp_path / "codex"
    old.write_text("#!/bin/sh\necho codex-cli 0.99.3\n")
    old.chmod(0o755)
    done = run("--addr", "127.0.0.1:0", "--codex", str(old))
    assert done.returncode == 1
    assert f"{old} is version 0.99.3, but at least 0.163.0 is needed" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_broken_config_file_of_codex_is_named_and_the_server_stays_up(home: Path) -> None:
    (home / "config.toml").write_text("this is = = not TOML")
    async with program("--start-patience", "0.3") as running, http_client(base_url=running.base_url) as client:
        assert (await client.get("/models")).json()["data"][0]["id"] == "xedoc-2.5-tpg"
        refused = await client.post("/chat/completions", json={"model": MODEL, "messages": [user("hi")]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "codex_unavailable")
        assert f"{home}/config.toml is not valid TOML" in refused.json()["error"]["message"]


async def test_a_codex_that_ends_at_once_is_started_again_while_requests_get_503(tmp_path: Path) -> None:
    broken = tmp_path / "codex"
    broken.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        "--version) echo codex-cli 0.163.0;;\n"
        """debug) echo '{"models": [{"slug": "gpt-5.5"}]}';;\n"""
        f"*) echo started >> {tmp_path}/starts;;\n"
        "esac\n"
    )
    broken.chmod(0o755)
    arguments = ("--start-patience", "0.1", "--codex", str(broken))
    async with program(*arguments) as running, http_client(base_url=running.base_url) as client:
        assert (await client.get("/models")).json()["data"][0]["id"] == "xedoc-2.5-tpg"
        with anyio.fail_after(10):
            while len((tmp_path / "starts").read_text().splitlines()) < 3:
                refused = await client.post("/chat/completions", json={"model": MODEL, "messages": [user("hi")]})
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "codex_unavailable")
                assert int(refused.headers["retry-after"]) >= 1
