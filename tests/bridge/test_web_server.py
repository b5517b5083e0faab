"""The web server byte by byte: what it takes for a request, what it refuses, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import anyio
import orjson
import pytest
from starlette.types import Receive, Scope, Send

from bridge import web_server
from bridge.answers import response_start
from bridge.server import listen
from bridge.web_server import MAX_HEAD, MAX_WAITING, Connection, serve_http

GET = b"GET /one HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /two HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n"
CHUNKED = b"POST /three HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass
class App:
    """Notes what it is asked; answers with the body that it was sent."""

    asked: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    headers: list[bytes] = field(default_factory=list[bytes])
    """The names of the headers of the last request, as they are behind its body."""
    early: bool = False
    """Whether it answers before it has read the body."""
    client: str = ""
    """Where the last request came from."""
    gate: anyio.Event | None = None
    """What an answer that has begun waits for before it ends."""
    left: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", not self.early
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body += message["body"]
            more = message["more_body"]
        self.asked.append((scope["path"], body))
        self.client = scope["client"][0]
        self.headers = [name for name, _ in scope["headers"]]
        await send(response_start(200, {}))
        await send({"type": "http.response.body", "body": body or b"-", "more_body": True})
        if self.gate is not None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, receive, tasks.cancel_scope)
                await self.gate.wait()
                tasks.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _watch(self, receive: Receive, answer: anyio.CancelScope) -> None:
        await receive()
        self.left.set()
        answer.cancel()


class Client:
    """A connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def head(self) -> bytes:
        return await self._reader.readuntil(b"\r\n\r\n")

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """Read one response: its status, headers and body."""
        first, *lines = (await self.head()).split(b"\r\n")[:-2]
        headers = dict(line.split(b": ", 1) for line in lines)
        if b"content-length" in headers:
            body = await self._reader.readexactly(int(headers[b"content-length"]))
        else:
            body = await self.chunk()
            assert await self._reader.readexactly(5) == b"0\r\n\r\n"
        return int(first.split()[1]), headers, body

    async def chunk(self) -> bytes:
        size = int(await self._reader.readline(), 16)
        return (await self._reader.readexactly(size + 2))[:-2]

    async def rest(self) -> bytes:
        """Read until the server closes the connection."""
        return await self._reader.read()

    def leave(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """Leave as a process does that is killed."""
        at_once = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self._writer.close()


@dataclass
class Running:
    """A server under test."""

    app: App
    address: tuple[str, int]
    stop: anyio.Event = field(default_factory=anyio.Event)
    ended: anyio.Event = field(default_factory=anyio.Event)
    clients: list[Client] = field(default_factory=list[Client])

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection(*self.address))
        self.clients.append(client)
        return client


@pytest.fixture
async def running() -> AsyncGenerator[Running]:
    listener = listen("127.0.0.1", 0)
    server = Running(App(), listener.getsockname())

    async def serve() -> None:
        await serve_http(server.app, listener, server.stop.wait)
        server.ended.set()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            yield server
            for client in server.clients:
                client.leave()
            server.stop.set()


def refusal(body: bytes) -> str:
    """The code of an error; its shape is that of every other."""
    error = orjson.loads(body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error["code"]


async def test_requests_of_all_shapes_are_answered_one_after_the_other_on_one_connection(running: Running) -> None:
    client = await running.connect()
    chunked = CHUNKED + b"3\r\none\r\n3\r\ntwo\r\n0\r\na: b\r\n\r\n"
    for sent, body in ((GET, b"-"), (POST + b"\r\nhello", b"hello"), (chunked, b"onetwo"), (GET, b"-")):
        client.send(sent)
        status, headers, got = await client.answer()
        assert (status, got, headers[b"transfer-encoding"]) == (200, body, b"chunked")
    client.send(GET + POST + b"\r\nhello")  # both at once
    assert [(await client.answer())[2] for _ in range(2)] == [b"-", b"hello"]
    assert [path for path, _ in running.app.asked] == ["/one", "/two", "/three", "/one", "/one", "/two"]


async def test_a_client_is_where_its_connection_comes_from_whatever_it_says(running: Running) -> None:
    client = await running.connect()
    client.send(b"GET /one HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 203.0.113.9\r\n\r\n")
    await client.answer()
    assert running.app.client == "127.0.0.1"


async def test_a_trailer_is_no_header(running: Running) -> None:
    client = await running.connect()
    client.send(CHUNKED + b"3\r\none\r\n0\r\nauthorization: Bearer key\r\n\r\n")
    assert (await client.answer())[::2] == (200, b"one")
    assert running.app.headers == [b"host", b"transfer-encoding"]


@pytest.mark.parametrize(
    "last",
    [
        b"GET /one HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /one HTTP/1.1\r\nhost: x\r\nconnection: close, upgrade\r\nupgrade: h2c\r\n\r\n",
        b"GET /one HTTP/1.0\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    ],
)
async def test_what_follows_the_last_request_of_a_connection_does_not_cost_it_its_answer(
    running: Running, last: bytes
) -> None:
    client = await running.connect()
    client.send(last + GET)
    status, headers, _ = await client.answer()
    assert (status, headers[b"connection"]) == (200, b"close")
    assert await client.rest() == b""
    assert len(running.app.asked) == 1


async def test_no_chunk_waits_for_the_acknowledgement_of_the_one_before(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that pauses between its requests acknowledges late: each first text would come 40 ms later."""
    without_delay: list[int] = []
    made = Connection.connection_made

    def note(connection: Connection, transport: asyncio.Transport) -> None:
        connected: socket.socket = transport.get_extra_info("socket")
        without_delay.append(connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(connection, transport)

    monkeypatch.setattr(Connection, "connection_made", note)
    client = await running.connect()
    client.send(GET)
    await client.answer()
    assert without_delay == [1]


async def test_a_request_may_come_byte_by_byte(running: Running) -> None:
    client = await running.connect()
    for byte in POST + b"\r\nhello":
        client.send(bytes([byte]))
        await anyio.lowlevel.checkpoint()
        await anyio.sleep(0.001)
    assert (await client.answer())[::2] == (200, b"hello")


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(running: Running) -> None:
    client = await running.connect()
    client.send(POST + b"expect: 100-continue\r\n\r\n")
    assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello")
    assert (await client.answer())[::2] == (200, b"hello")


@pytest.mark.parametrize(
    "offer",
    [
        b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n",
        b"connection: upgrade\r\nupgrade: websocket\r\n",
    ],
)
@pytest.mark.parametrize("pieces", [1, 2])
async def test_an_offer_to_leave_http_1_is_not_taken_and_the_request_answered(
    running: Running, offer: bytes, pieces: int
) -> None:
    """Java's HTTP client makes that offer with every request, bodies included."""
    client = await running.connect()
    client.send(POST + offer + b"\r\n" + b"hello" * (pieces == 1))
    if pieces == 2:
        await anyio.sleep(0.02)
        client.send(b"hello")
    status, headers, body = await client.answer()
    names = [line.partition(b":")[0] for line in (POST + offer).splitlines()[1:]]
    assert (status, body, b"connection" in headers) == (200, b"hello", False)
    assert running.app.headers == [name for name in names if name != b"upgrade"]
    client.send((b"GET /one HTTP/1.1\r\nhost: x\r\n" + offer + b"\r\n") * 2 + GET)
    assert [(await client.answer())[2] for _ in range(3)] == [b"-"] * 3


def connections() -> int:
    """How many the server has in memory."""
    gc.collect()
    return sum(isinstance(one, Connection) for one in gc.get_objects())


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS handshake
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /one HTTP/1.1\r\nhost x\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nhello",  # two lengths: a smuggler's
        b"CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n\r\n",
        b"POST /two HTTP/1.1\r\nhost: x\r\ncontent-length: five\r\n\r\nhello",
    ],
)
async def test_what_is_no_http_is_refused_like_everything_else_and_not_logged(
    running: Running, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    client = await running.connect()
    client.send(sent)
    status, headers, body = await client.answer()
    assert (status, refusal(body), headers[b"connection"]) == (400, "invalid_http", b"close")
    assert await client.rest() == b""
    assert running.app.asked == []
    assert caplog.messages == []


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * MAX_HEAD + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
    ],
)
@pytest.mark.parametrize("end", [None, -2])
@pytest.mark.parametrize("pause", [False, True])
async def test_a_head_beyond_the_bound_is_refused_however_it_comes(
    running: Running, head: bytes, end: int | None, *, pause: bool
) -> None:
    client = await running.connect()
    for at in range(0, len(head), 8192 if pause else len(head)):
        client.send(head[at:end] if not pause else head[at : at + 8192][: end if at + 8192 >= len(head) else None])
        if pause:
            await anyio.sleep(0.002)
    status, _, body = await client.answer()
    assert (status, refusal(body)) == (431, "headers_too_large")
    assert running.app.asked == []


async def test_a_head_within_the_bound_and_a_large_body_are_fine(running: Running) -> None:
    client = await running.connect()
    room = MAX_HEAD - 100
    large = b"x" * 1_000_000
    client.send(b"POST / HTTP/1.1\r\nhost: x\r\na: " + b"b" * room + b"\r\ncontent-length: 1000000\r\n\r\n" + large)
    status, _, body = await client.answer()
    assert (status, body == large) == (200, True)


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET /one HT", GET + b"GET", POST + b"a: b\r\n"],
    ids=["silent", "line", "second", "headers"],
)
async def test_a_head_that_does_not_become_complete_is_not_waited_for(
    running: Running, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "HEAD_PATIENCE", 0.1)
    client = await running.connect()
    client.send(begun)
    if begun.startswith(GET):
        await client.answer()
    assert await client.rest() == b""


async def test_neither_an_answer_nor_a_wait_between_requests_is_cut_by_the_patience_with_heads(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "HEAD_PATIENCE", 0.05)
    running.app.gate = anyio.Event()
    client = await running.connect()
    client.send(POST)
    client.send(b"\r\nhel")
    await anyio.sleep(0.2)  # within the body
    client.send(b"lo")
    await client.head()
    assert await client.chunk() == b"hello"
    await anyio.sleep(0.2)  # within the answer
    running.app.gate.set()
    assert await client.chunk() == b""
    await anyio.sleep(0.2)  # between two requests
    client.send(GET)
    assert (await client.answer())[0] == 200


@pytest.mark.parametrize(
    "pieces",
    [(b"5\r\n", b"hello\r\n0\r\n\r\n"), (b"5\r\nhello\r\n", b"0\r\n", b"\r\n")],
    ids=["size", "end"],
)
async def test_a_chunk_whose_frame_comes_in_pieces_does_not_get_its_answer_cut(
    running: Running, pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "HEAD_PATIENCE", 0.1)
    running.app.gate = anyio.Event()
    client = await running.connect()
    for piece in (CHUNKED, *pieces):
        client.send(piece)
        await anyio.sleep(0.02)
    await client.head()
    assert await client.chunk() == b"hello"
    await anyio.sleep(0.2)
    running.app.gate.set()
    assert await client.chunk() == b""


async def test_who_was_refused_and_does_not_leave_is_not_kept(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "HEAD_PATIENCE", 0.05)
    client = await running.connect()
    client.send(GET)
    await client.answer()
    client.send(b"no request\r\n")
    assert (await client.answer())[0] == 400
    await client.rest()
    await anyio.sleep(0.2)
    assert connections() == 0


@pytest.mark.parametrize("after", [b"hel", b"hello\r\n"], ids=["body", "line"])
async def test_a_connection_that_waits_behind_its_answer_is_not_kept_for_ever_by_what_is_no_request(
    running: Running, after: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "KEEP_ALIVE", 0.1)
    running.app.early = True
    client = await running.connect()
    client.send(POST + b"\r\n")
    assert (await client.answer())[::2] == (200, b"-")
    client.send(after)
    assert await client.rest() == b""


async def test_nothing_is_written_into_an_answer_that_runs(running: Running) -> None:
    running.app.gate = anyio.Event()
    client = await running.connect()
    client.send(GET)
    await client.head()
    assert await client.chunk() == b"-"
    client.send(b"\x16\x03\x01 no request")
    assert await client.rest() == b""
    await running.app.left.wait()


# ── how it ends ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_client_that_leaves_ends_its_answer(running: Running) -> None:
    running.app.gate = anyio.Event()
    client = await running.connect()
    client.send(GET)
    await client.head()
    client.leave()
    await running.app.left.wait()


async def test_requests_are_answered_in_the_order_in_which_they_came_and_only_so_many_may_wait(
    running: Running,
) -> None:
    running.app.gate = anyio.Event()
    client = await running.connect()
    paths = [f"/{number}" for number in range(MAX_WAITING + 2)]
    sent = [b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path.encode() for path in paths]
    client.send(b"".join(sent[:-1]))
    await client.head()
    running.app.gate.set()
    assert [await client.chunk(), await client.chunk()] == [b"-", b""]
    for _ in range(MAX_WAITING):
        await client.answer()
    assert [path for path, _ in running.app.asked] == paths[:-1]
    running.app.gate = anyio.Event()
    client.send(b"".join(sent))
    await client.rest()
    await running.app.left.wait()


async def test_connections_beyond_the_bound_are_closed_until_another_one_ends(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(web_server, "most_connections", lambda: 1)
    monkeypatch.setattr(web_server, "HEAD_PATIENCE", 3600)  # or they would be closed for it
    first = await running.connect()
    first.send(GET)
    await first.answer()
    for _ in range(2):
        assert await (await running.connect()).rest() == b""
    assert [record.getMessage() for record in caplog.records if "ulimit" in record.getMessage()] == [
        "1 connections are open, so new ones are closed; `ulimit -n` allows more"
    ]
    first.leave()
    await first.rest()
    last = await running.connect()
    last.send(GET)
    assert (await last.answer())[0] == 200


async def test_a_connection_that_its_client_resets_is_forgotten_at_once(running: Running) -> None:
    for _ in range(2):
        client = await running.connect()
        client.send(GET)
        await client.answer()
        assert connections() == 1
        client.reset()


async def test_a_stop_closes_idle_connections_at_once_and_lets_answers_end(running: Running) -> None:
    running.app.gate = anyio.Event()
    idle, busy = await running.connect(), await running.connect()
    busy.send(GET)
    await busy.head()
    running.stop.set()
    assert await idle.rest() == b""
    assert not running.ended.is_set()
    with pytest.raises(ConnectionRefusedError):
        await running.connect()
    running.app.gate.set()
    assert await busy.rest() == b"1\r\n-\r\n0\r\n\r\n"
    await running.ended.wait()


@pytest.mark.parametrize("waiting", [b"", GET], ids=["alone", "pipeline"])
async def test_a_stop_does_not_wait_for_ever(running: Running, waiting: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "LAST_ANSWERS", 0.1)
    running.app.gate = anyio.Event()
    client = await running.connect()
    client.send(GET + waiting)
    await client.head()
    running.stop.set()
    await running.ended.wait()
    assert running.app.left.is_set()
