"""Doctor's HTTP client: what it notes of an answer, and how it names each reason for which none came."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from bridge.doctor.http import Unreachable, fetch
from tests.harness.program import free_port

HEAD = b"HTTP/1.1 200 OK\r\nX-Kind: test\r\ntransfer-encoding: chunked\r\n\r\n"


@asynccontextmanager
async def server(*pieces: bytes, gate: anyio.Event | None = None, reads: bool = True) -> AsyncGenerator[int]:
    """Answer with these bytes, after the request if it `reads` one; wait for `gate` before the last piece."""

    async def answer(stream: SocketStream) -> None:
        async with stream:
            head = b""
            while reads and b"\r\n\r\n" not in head:
                head += await stream.receive()
            for number, piece in enumerate(pieces, 1):
                if gate is not None and number == len(pieces):
                    await gate.wait()
                await stream.send(piece)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        yield listener.extra(SocketAttribute.local_port)  # noqa: S610 - not of Django
        tasks.cancel_scope.cancel()


async def test_an_answer_is_read_whole_with_its_headers() -> None:
    async with server(HEAD, b"3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n") as port:
        reply = await fetch("POST", f"http://127.0.0.1:{port}/x", {"authorization": "Bearer k"}, b"{}")
    assert (reply.status, reply.headers["x-kind"], reply.body, reply.cut) == (200, "test", b"onetwo", False)


async def test_each_piece_is_noted_when_it_arrives() -> None:
    async with server(HEAD, b"3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n") as port:
        reply = await fetch("GET", f"http://127.0.0.1:{port}/")
    first, second = reply.pieces
    assert (first.data, second.data) == (b"one", b"two")
    assert 0 < first.at <= second.at


async def test_an_informational_response_comes_before_the_answer() -> None:
    async with server(b"HTTP/1.1 103 Early Hints\r\n\r\n", HEAD, b"0\r\n\r\n") as port:
        assert (await fetch("GET", f"http://127.0.0.1:{port}/")).status == 200


@pytest.mark.parametrize("kept", [b"", b"3\r\none\r\n"])
async def test_an_answer_that_ends_early_is_cut(kept: bytes) -> None:
    async with server(HEAD + kept) as port:
        reply = await fetch("GET", f"http://127.0.0.1:{port}/")
    assert (reply.status, reply.cut, reply.body) == (200, True, kept and b"one")


async def test_an_answer_that_does_not_end_in_time_is_cut() -> None:
    async with server(HEAD, b"3\r\none\r\n", b"", gate=anyio.Event()) as port:
        reply = await fetch("GET", f"http://127.0.0.1:{port}/", deadline=0.2)
    assert (reply.cut, reply.body) == (True, b"one")


async def reason(url: str, deadline: float = 15) -> str:
    with pytest.raises(Unreachable) as caught:
        await fetch("GET", url, deadline=deadline)
    return str(caught.value)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1 200 OK\r\ncontent-"])
async def test_a_connection_that_ends_without_an_answer_is_named(answer: bytes) -> None:
    async with server(answer) as port:
        assert await reason(f"http://127.0.0.1:{port}/") == "the connection was closed without an answer"


async def test_a_connection_that_is_reset_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def reset() -> None:
            connection, _ = listening.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            connection.close()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, reset)
            assert await reason(f"http://127.0.0.1:{port}/") == "the connection was closed without an answer"


async def test_a_server_that_says_nothing_is_named_with_the_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert await reason(f"http://127.0.0.1:{mute.getsockname()[1]}/", 0.2) == "no answer within 0.2 seconds"


async def test_plain_http_on_a_secure_address_is_named() -> None:
    async with server(b"HTTP/1.1 400 Bad Request\r\n\r\n", reads=False) as port:
        assert await reason(f"https://127.0.0.1:{port}/") == "no secure connection: WRONG_VERSION_NUMBER"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:{port}/", "nothing listens there"),
        ("http://localhost:{port}/", "nothing listens there"),
        ("https://nowhere.invalid/", "DNS does not know the name"),
        ("ftp://127.0.0.1/", "Request URL has an unsupported protocol 'ftp://'."),
        ("http://127.0.0.1:99999/", "connect(): port must be 0-65535."),
    ],
)
async def test_an_address_without_a_server_is_named(url: str, words: str) -> None:
    assert await reason(url.format(port=free_port())) == words
