"""Every request gets a well-formed answer, none causes a server error, and the server stays up.

The tests run a few fixed examples; `make fuzz` runs as many as requested, different ones each time.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncGenerator, Generator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import h11
import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.requests import BAD_REQUESTS, FOREIGN_JSON, TOOL, BadRequest, dumped
from tests.harness.program import Program, program
from tests.harness.proxy import MODEL, Proxy, proxy, user
from tests.harness.script import Call, Received, Reply, reply
from tests.harness.upstream import Upstream

WANTED = int(os.environ.get("FUZZ", "0"))


def examples(few: int, share: float = 1) -> settings:
    """Return hypothesis settings: a share of the examples of `make fuzz`, or a few fixed ones."""
    return settings(
        max_examples=round(WANTED * share) or few,
        derandomize=not WANTED,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink) if WANTED else (Phase.generate,),
        suppress_health_check=(HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large),
    )


DOCUMENTED = {502, 503, 504}
"""The only allowed statuses above 499: codex or its upstream refused the request, or was unavailable."""


@pytest.fixture
def no_faults(caplog: pytest.LogCaptureFixture) -> Generator[None]:
    """Fail if the test leaves a traceback in the log."""
    yield
    assert not [record for record in caplog.records if record.exc_info or record.levelno > logging.WARNING]


@examples(200)
@given(bad=BAD_REQUESTS)
async def test_a_bad_request_is_answered_and_causes_no_server_error(
    bridge: Proxy, no_faults: None, bad: BadRequest
) -> None:
    with anyio.fail_after(30):
        response = await bridge.client.request(
            bad.method,
            f"http://localhost{quote(bad.path, safe='/%')}",
            content=bad.body,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in bad.headers.items()],
        )
    check(response.status_code, response.headers.get("content-type", ""), response.content, bad)


@pytest.fixture
async def recorded(upstream: Upstream, home: Path, tmp_path: Path) -> AsyncGenerator[Proxy]:
    """A proxy that stores and records everything."""
    async with proxy(upstream, home, store=str(tmp_path / "store"), record=str(tmp_path / "cases")) as running:
        yield running


@pytest.mark.long
@examples(20, 0.02)
@given(arguments=FOREIGN_JSON)
async def test_foreign_json_in_arguments_is_passed_on_stored_and_recorded(
    recorded: Proxy, no_faults: None, arguments: str
) -> None:
    """The model writes it, the client sends it back in both dialects, and sends it in a conversation unknown before."""

    def respond(request: Received) -> Reply:
        is_answered = request.input[-1]["type"] == "function_call_output"
        return reply("seen") if is_answered else reply(Call("look", arguments, "c1"))

    async def ask(path: str, **body: Any) -> Any:
        response = await recorded.client.post(path, json={"model": MODEL, **body})
        assert response.status_code == 200, (arguments, response.text)
        return response.json()

    recorded.upstream.respond = respond
    question, output = user(f"look at {arguments}"), {"role": "tool", "tool_call_id": "c1", "content": "found"}
    with anyio.fail_after(60):
        called = (await ask("/chat/completions", messages=[question], tools=[TOOL]))["choices"][0]["message"]
        sent = called["tool_calls"][0]["function"]["arguments"]
        assert sent == (arguments or "{}")
        for first in (question, user(f"edited {arguments}")):
            answer = await ask("/chat/completions", messages=[first, called, output], tools=[TOOL])
            assert answer["choices"][0]["message"]["content"] == "seen"
        tools = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
        first = await ask("/responses", input=arguments or "look", tools=tools)
        result = {"type": "function_call_output", "call_id": "c1", "output": "found"}
        second = await ask("/responses", input=[result], previous_response_id=first["id"], tools=tools)
        assert (await recorded.client.get(f"/responses/{second['id']}")).json() == second
        [call] = [item for item in first["output"] if item["type"] == "function_call"]
        third = await ask("/responses", input=[user("else"), call, result], tools=tools)
        assert second["output"][-1]["content"] == third["output"][-1]["content"]


def check(status: int, media: str, body: bytes, bad: object) -> None:
    """Fail unless a client can read the answer."""
    assert status < 500 or status in DOCUMENTED, (status, body, bad)
    if media.startswith("application/json") and body:
        value = orjson.loads(body)
        if status >= 400 and "error" in value:
            assert set(value["error"]) == {"message", "type", "param", "code"}, bad
            assert value["error"]["message"], bad


@pytest.fixture
async def running(upstream: Upstream, home: Path, tmp_path: Path) -> AsyncGenerator[Program]:
    """The running program; afterwards it must still answer, and its log must show no error."""
    del upstream, home
    log = tmp_path / "log"
    async with program("--log-level", "debug", log=log) as one:
        yield one
        good = BadRequest("POST", "/v1/chat/completions", dumped({"model": MODEL, "messages": [user("hi")]}))
        [(status, _)] = answers(await anyio.to_thread.run_sync(exchange, one.address, raw(good)))
        assert status == 200
    assert "Traceback" not in log.read_text(errors="replace")


def raw(bad: BadRequest) -> bytes:
    """Return the bytes of a request; no header value ends the headers early."""
    target = quote(bad.path, safe="/%").encode()
    headers = {"host": "localhost", **bad.headers, "content-length": str(len(bad.body)), "connection": "close"}
    lines = [f"{name}: {value}".encode("latin-1") for name, value in headers.items()]
    return b"\r\n".join([bad.method.encode() + b" " + target + b" HTTP/1.1", *lines, b"", bad.body])


def exchange(address: tuple[str, int], sent: bytes, *, hang_up: bool = False) -> bytes:
    """Send bytes, close the sending side if requested, and return everything that is received."""
    received = bytearray()
    with socket.create_connection(address, timeout=30) as connection:
        try:
            connection.sendall(sent)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(0.1)  # the server may wait for more, or have closed the connection
            while data := connection.recv(65536):
                received += data
        except (ConnectionError, TimeoutError):
            assert hang_up or received, "no answer came"
    return bytes(received)


def answers(received: bytes) -> list[tuple[int, bytes]]:
    """Read complete HTTP responses like a strict client.

    Raises:
        h11.RemoteProtocolError: a response is incomplete or malformed.
    """
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x"), ("connection", "close")]))
    client.send(h11.EndOfMessage())
    client.receive_data(received)
    client.receive_data(b"")
    found: list[tuple[int, bytes]] = []
    while True:
        match client.next_event():
            case h11.Response(status_code=status):
                found.append((status, b""))
            case h11.Data(data=data):
                found[-1] = (found[-1][0], found[-1][1] + data)
            case h11.InformationalResponse():
                pass
            case _:
                return found


@examples(80, 0.5)
@given(bad=BAD_REQUESTS.filter(lambda bad: bad.method not in {"HEAD"}))
async def test_over_a_socket_every_bad_request_gets_a_whole_answer(running: Program, bad: BadRequest) -> None:
    received = await anyio.to_thread.run_sync(exchange, running.address, raw(bad))
    [(status, _)] = answers(received)
    assert status < 500 or status in DOCUMENTED, (status, received, bad)


DIRT = (
    b"",
    b"\x00",
    b"\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\nZZ\r\n",
    b"upgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    b"upgrade: h2c\r\nconnection: upgrade\r\nhttp2-settings: x\r\n\r\n",
    b"a: b\r\n" * 9000,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 50,
)


@st.composite
def hardly_http(draw: st.DrawFn) -> bytes:
    """Return the beginning of a request followed by other bytes."""
    beginning = draw(BAD_REQUESTS.map(raw) | st.just(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n") | st.just(b""))
    return beginning[: draw(st.integers(0, 200))] + draw(st.sampled_from(DIRT))


@examples(40, 0.25)
@given(garbage=st.binary(max_size=300) | hardly_http())
async def test_bytes_that_are_hardly_http_harm_no_other_request(running: Program, garbage: bytes) -> None:
    await anyio.to_thread.run_sync(partial(exchange, running.address, garbage, hang_up=True))
    assert running.process.returncode is None
