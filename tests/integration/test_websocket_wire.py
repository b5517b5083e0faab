"""WebSockets on a real port, byte by byte: what is cut, broken or huge harms no other client."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import orjson
import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Message, Request, TextMessage
from wsproto.extensions import PerMessageDeflate

from bridge.http.websocket import LARGEST_MESSAGE
from tests.harness.program import Server, http_client, program
from tests.harness.proxy import served
from tests.harness.websocket import TERMINAL

CREATE = orjson.dumps({"type": "response.create", "model": "2.5-tpg", "input": "Hi.", "store": False}).decode()


@pytest.fixture
async def running(home: Path) -> AsyncGenerator[Server]:
    del home
    with anyio.fail_after(120):
        async with served() as one:
            yield one


class Client:
    """One connection; it answers no pings."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self._stream = stream
        self._socket = WSConnection(ConnectionType.CLIENT)
        self.closed: int | None = None
        """The code with which the server closed the connection."""

    def handshake(self, *, deflate: bool = False) -> bytes:
        extensions: list[Any] = [PerMessageDeflate()] if deflate else []
        return self._socket.send(Request("localhost", "/v1/responses", extensions=extensions))

    def frame(self, text: str) -> bytes:
        return self._socket.send(Message(text))

    async def send(self, data: bytes) -> None:
        await self._stream.send(data)

    async def open(self, *, deflate: bool = False) -> Client:
        await self.send(self.handshake(deflate=deflate))
        while not isinstance(await self.event(), AcceptConnection):
            pass
        return self

    async def turn(self) -> dict[str, Any]:
        """Return the last event of the next turn; {} if the server closes the connection first."""
        text = ""
        while True:
            match await self.event():
                case TextMessage(data, message_finished=finished):
                    text += data
                    if finished:
                        event = orjson.loads(text)
                        text = ""
                        if event["type"] in TERMINAL:
                            return event
                case CloseConnection(code):
                    self.closed = code
                    return {}
                case None:
                    return {}
                case _:
                    pass

    async def event(self) -> Any:
        """Return the next event; None at the end of the connection."""
        while True:
            for event in self._socket.events():
                return event
            try:
                self._socket.receive_data(await self._stream.receive())
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return None


@asynccontextmanager
async def connected(running: Server) -> AsyncGenerator[Client]:
    async with await anyio.connect_tcp(*running.address) as stream:
        yield Client(stream)


async def assert_healthy(running: Server) -> None:
    """A new client gets its answer, and no other answer runs."""
    async with connected(running) as client:
        await client.open()
        await client.send(client.frame(CREATE))
        assert (await client.turn())["type"] == "response.completed"
    async with http_client() as http:
        while (await http.get(f"{running.url}/usage")).json()["answers"]["running"]:
            pass


async def test_a_request_that_arrives_byte_by_byte_is_answered(running: Server) -> None:
    async with connected(running) as client:
        for byte in client.handshake():
            await client.send(bytes([byte]))
        while not isinstance(await client.event(), AcceptConnection):
            pass
        for byte in client.frame(CREATE):
            await client.send(bytes([byte]))
        assert (await client.turn())["type"] == "response.completed"


async def test_connections_that_are_cut_at_every_byte_harm_no_other(running: Server) -> None:
    async with connected(running) as client:
        whole = len(client.handshake())
    for cut in range(1, whole, 7):
        async with connected(running) as client:
            await client.send(client.handshake()[:cut])
    async with connected(running) as client:
        await client.open()
        whole = len(client.frame(CREATE))
    for cut in range(1, whole + 1):
        async with connected(running) as client:
            await client.open()
            await client.send(client.frame(CREATE)[:cut])
    await assert_healthy(running)


async def test_frames_that_break_the_protocol_end_the_connection(running: Server) -> None:
    for name, sent in {
        "not masked": b"\x81\x02{}",
        "unknown kind": b"\x83\x80\0\0\0\0",
        "reserved bits": b"\xf1\x80\0\0\0\0",
        "long ping": b"\x89\xfe\x01\x00\0\0\0\0" + b"x" * 256,
        "no beginning": b"\x80\x80\0\0\0\0",
        "not UTF-8": b"\x81\x82\0\0\0\0\xff\xfe",
        "HTTP": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    }.items():
        async with connected(running) as client:
            await client.open()
            await client.send(sent)
            assert await client.turn() == {}, name
        await assert_healthy(running)


@pytest.mark.parametrize("deflate", [False, True], ids=["plain", "compressed"])
async def test_a_message_of_the_largest_size_is_read_and_a_larger_one_closes_the_socket(
    running: Server, *, deflate: bool
) -> None:
    async with connected(running) as client:
        await client.open(deflate=deflate)
        filling = LARGEST_MESSAGE - len(CREATE)
        await client.send(client.frame(CREATE.replace("Hi.", "Hi." + "x" * filling)))
        assert (await client.turn())["type"] == "response.completed"
        await client.send(client.frame(" " * (LARGEST_MESSAGE + 1)))
        assert await client.turn() == {}
        assert client.closed == 1009
    await assert_healthy(running)


async def test_two_hundred_idle_sockets_delay_no_other_client(running: Server) -> None:
    async with anyio.create_task_group() as tasks:

        async def idle(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with connected(running) as client:
                await client.open()
                task_status.started()
                await client.turn()

        for _ in range(200):
            await tasks.start(idle)
        await assert_healthy(running)
        tasks.cancel_scope.cancel()


async def test_a_stop_closes_idle_sockets_at_once(home: Path) -> None:
    del home
    async with program() as running, connected(running) as client:
        await client.open()
        running.process.terminate()
        assert await client.turn() == {}
        assert client.closed == 1001
        with anyio.fail_after(10):
            await running.process.wait()
