"""HTTP over real sockets down to codex: each protocol that the server speaks."""

from __future__ import annotations

import itertools
import signal
import socket
import struct
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import openai
import orjson
import pytest

from bridge.settings.certificate import trusting
from tests.harness.program import TLS, Server, free_port, http_client, needs_ipv6, program, run_here, server
from tests.harness.proxy import MODEL, Stream, served, user
from tests.harness.script import Hold, begun, reply
from tests.harness.upstream import Upstream

LARGE = 8_000_000
"""Bytes of a body too large for a client to send before it is refused."""


def chat(text: str, *, stream: bool = True) -> dict[str, object]:
    return {"model": MODEL, "stream": stream, "messages": [user(text)]}


@asynccontextmanager
async def client_of(running: Server, *, http2: bool) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client that speaks HTTP/1.1 or HTTP/2; without TLS it uses HTTP/2 with prior knowledge."""
    verify = trusting(str(TLS / "server.pem"))
    async with http_client(
        base_url=running.base_url, http2=http2, http1=running.secure or not http2, verify=verify
    ) as client:
        yield client


# ── protocols ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
async def test_a_chat_is_streamed_over_every_protocol(
    upstream: Upstream, home: Path, *, secure: bool, http2: bool
) -> None:
    del home
    upstream.respond = lambda _: reply("Once upon a time")
    async with served(secure=secure) as running, client_of(running, http2=http2) as client:
        async with client.stream("POST", "/chat/completions", json=chat("tell me a story")) as response:
            stream = await Stream(response).read()
        assert (stream.text, stream.done) == ("Once upon a time", True)
        assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")


async def test_an_http_2_client_that_leaves_mid_stream_ends_the_turn_upstream(upstream: Upstream, home: Path) -> None:
    del home
    upstream.will_reply(begun("Once upon").then(Hold(anyio.Event())))
    with anyio.fail_after(30):
        async with served() as running:
            async with (
                client_of(running, http2=True) as client,
                client.stream("POST", "/chat/completions", json=chat("tell me a story")) as response,
            ):
                stream = Stream(response)
                async for _ in stream:
                    if stream.text:
                        break
            await upstream.wait_until_idle()


@needs_ipv6
@pytest.mark.parametrize("name", ["127.0.0.1", "[::1]", "localhost"])
async def test_by_default_every_name_of_this_machine_leads_to_the_server(home: Path, name: str) -> None:
    del home
    port = free_port()
    async with (
        program("--addr", f":{port}", port=port) as running,
        http_client(base_url=f"http://{name}:{running.port}/v1") as client,
    ):
        assert (await client.get("/models")).status_code == 200


@pytest.mark.parametrize("command", ["models", "status", "doctor"])
async def test_a_command_trusts_the_certificate_of_an_https_server_and_no_other(home: Path, command: str) -> None:
    del home
    only = ("--only", "port", "--only", "models") if command == "doctor" else ()
    async with served(secure=True) as running:
        address = f"127.0.0.1:{running.port}"
        done = await run_here(command, "--addr", address, "--certfile", str(TLS / "server.pem"), *only)
        assert done.status == 0, done
        other = await run_here(command, "--addr", address, "--certfile", str(TLS / "expired.pem"), *only)
        assert other.status == 1
        assert "no secure connection" in other.stdout + other.stderr


@pytest.mark.parametrize("why", [{"no_websocket": True}, {"replay": "fixtures"}], ids=["switched off", "replay"])
async def test_a_websocket_is_refused_with_426_which_sends_codex_to_http(home: Path, why: dict[str, Any]) -> None:
    del home
    async with served(**why) as running:
        received = await raw(
            running,
            b"GET /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 426 ")
    assert orjson.loads(body)["error"]["code"] == "no_websocket"


async def raw(running: Server, sent: bytes) -> bytes:
    """Send bytes; return all that the server sends until it closes the connection."""
    with anyio.fail_after(20):
        async with await anyio.connect_tcp(*running.address) as stream:
            await stream.send(sent)
            received = b""
            try:
                while True:
                    received += await stream.receive()
            except anyio.EndOfStream:
                return received


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_client_that_is_refused_while_it_sends_a_large_body_gets_the_reason(home: Path) -> None:
    del home
    refusals = [("/chat/completions", "wrong", 401), ("/chat/completions", "s3cret", 413), ("/nowhere", "s3cret", 404)]
    async with served(api_key="s3cret", max_body=1024) as running:
        for http2, (path, key, status) in itertools.product((False, True), refusals):
            async with client_of(running, http2=http2) as client:
                for _ in range(2):  # the second one on the same connection
                    refused = await client.post(path, content=b"x" * LARGE, headers={"authorization": f"Bearer {key}"})
                    assert (refused.status_code, "error" in refused.json()) == (status, True)


# ── other servers ─────────────────────────────────────────────────────────────────────────────────────────────────────


def hypercorn(port: int) -> Sequence[str]:
    return [sys.executable, "-m", "hypercorn", "bridge.asgi:create_app()", "--bind", f"127.0.0.1:{port}"]


def uvicorn(port: int) -> Sequence[str]:
    return [sys.executable, "-m", "uvicorn", "--factory", "bridge.asgi:create_app", "--port", f"{port}"]


@pytest.mark.parametrize("line", [hypercorn, uvicorn])
async def test_another_server_can_run_the_application_with_the_settings_of_the_environment(
    upstream: Upstream, home: Path, line: Callable[[int], Sequence[str]]
) -> None:
    del home
    upstream.respond = lambda _: reply("Once upon a time")
    port = free_port()
    with anyio.fail_after(60):
        async with server(line(port), port, CODEX_OPENAI_PROXY_API_KEY="s3cret") as running:
            async with http_client(base_url=running.base_url) as client:
                assert (await client.get("/models")).status_code == 401
                client.headers["authorization"] = "Bearer s3cret"
                response = await client.post("/chat/completions", json=chat("tell me a story", stream=False))
                assert response.json()["choices"][0]["message"]["content"] == "Once upon a time"
            client = openai.AsyncOpenAI(api_key="s3cret", base_url=running.base_url)
            async with client.responses.connect() as connection:
                await connection.response.create(model=MODEL, input="tell me a story")
                while (event := await connection.recv()).type != "response.completed":
                    assert event.type not in {"error", "response.failed"}
            assert event.response.output_text == "Once upon a time"
            codex = [child for child in running.family() if "codex" in child.name()]
            assert codex
            running.process.send_signal(signal.SIGTERM)
            await running.process.wait()
    assert not [child for child in codex if child.is_running()]


# ── peers without an address ──────────────────────────────────────────────────────────────────────────────────────────


def ours(port: int) -> Sequence[str]:
    return [sys.executable, "-m", "bridge", "serve", "--addr", f"127.0.0.1:{port}"]


@pytest.mark.parametrize("line", [ours, uvicorn])
async def test_a_peer_that_resets_before_it_is_accepted_has_no_access(
    home: Path, line: Callable[[int], Sequence[str]]
) -> None:
    """A peer without an address may be any host, and its request would run although no client reads the answer."""
    del home
    port = free_port()
    async with (
        server(line(port), port) as running,
        http_client(base_url=running.base_url) as client,
    ):
        stored = (await client.post("/responses", json={"model": MODEL, "input": "hi"})).json()["id"]
        running.process.send_signal(signal.SIGSTOP)
        with socket.create_connection(running.address) as stranger:
            stranger.sendall(b"DELETE /v1/responses/%b HTTP/1.1\r\nhost: localhost\r\n\r\n" % stored.encode())
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        running.process.send_signal(signal.SIGCONT)
        for _ in range(2):
            async with http_client(base_url=running.base_url) as later:
                assert (await later.get(f"/responses/{stored}")).status_code == 200
