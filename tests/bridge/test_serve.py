"""Hypercorn as this server runs it, byte by byte: which requests it accepts, which it refuses, and how it stops."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, field

import anyio
import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge import serve
from bridge.http import last_part, listeners
from bridge.http.answer import response_start
from bridge.http.last_part import LastPart
from bridge.http.listeners import Connections, Listeners, listen
from bridge.serve import MAX_HEAD, serve_http

GET = b"GET /one HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /two HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n"
CHUNKED = b"POST /three HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass
class App:
    """Records each request and answers with its body."""

    requests: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    headers: list[bytes] = field(default_factory=list[bytes])
    """The header names of the last request, read after its body."""
    version: str = ""
    client: str = ""
    """Where the last request came from."""
    gate: anyio.Event | None = None
    """An answer that has begun waits for this event before it ends."""
    early: bool = False
    """Whether it answers without reading the body."""
    size: int = 0
    """Number of bytes that it adds to its answer."""
    left: anyio.Event = field(default_factory=anyio.Event)
    noted: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        body, more = b"", not self.early
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body += message["body"]
            more = message["more_body"]
        self.requests.append((scope["path"], body))
        self.noted.set()
        self.version, self.client = scope["http_version"], scope["client"][0]
        self.headers = [name for name, _ in scope["headers"]]
        await send(response_start(200, {}))
        await send({"type": "http.response.body", "body": body or b"-", "more_body": True})
        if self.gate is not None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, receive, tasks.cancel_scope)
                await self.gate.wait()
                tasks.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"x" * self.size})

    async def until_requests(self, times: int) -> None:
        """Wait until this many requests have arrived."""
        while len(self.requests) < times:
            self.noted = anyio.Event()
            await self.noted.wait()

    async def _watch(self, receive: Receive, answer: anyio.CancelScope) -> None:
        await receive()
        self.left.set()
        answer.cancel()


def with_last_part(app: ASGIApp) -> ASGIApp:
    """Wrap the application in `LastPart`, as our middleware does."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        last = LastPart(scope, receive, send)

        async def send_part(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
            await (last.send(message) if is_last else send(message))

        await app(scope, last.receive, send_part)

    return answer


class Client:
    """A connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def receive(self) -> bytes:
        return await self._reader.read(65536)

    async def head(self) -> bytes:
        return await self._reader.readuntil(b"\r\n\r\n")

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """Read one response: its status, headers and body."""
        first, *lines = (await self.head()).split(b"\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
        body = b""
        if b"content-length" in headers:
            body = await self._reader.readexactly(int(headers[b"content-length"]))
        else:
            while chunk := await self.chunk():
                body += chunk
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
        """Close the connection with a reset, as a killed process does."""
        at_once = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self._writer.close()


@dataclass
class Running:
    """A server under test."""

    app: App
    listeners: Listeners
    stop: anyio.Event = field(default_factory=anyio.Event)
    ended: anyio.Event = field(default_factory=anyio.Event)
    clients: list[Client] = field(default_factory=list[Client])

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.listeners.port))
        self.clients.append(client)
        return client

    async def until_refused(self) -> None:
        """Wait until the server accepts no more connections."""
        while True:
            try:
                await self.connect()
            except OSError:
                return


@pytest.fixture
def keep_alive() -> float:
    """How long a connection may be idle, in seconds; tests parametrise it."""
    return 60


@pytest.fixture
def most() -> int:
    """How many connections may be open; tests parametrise it."""
    return 100


@pytest.fixture
async def running(keep_alive: float, most: int, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Running]:
    monkeypatch.setattr(serve, "KEEP_ALIVE", keep_alive)
    monkeypatch.setattr(listeners, "most_connections", lambda: most)
    server = Running(App(), listen("127.0.0.1", 0))
    accepting = anyio.Event()

    async def until_stopped() -> None:
        accepting.set()
        await server.stop.wait()

    async def run() -> None:
        await serve_http(with_last_part(server.app), server.listeners, until_stopped)
        server.ended.set()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await accepting.wait()
            yield server
            for client in server.clients:
                client.leave()
            server.stop.set()


async def until_only(tasks: set[asyncio.Task[object]]) -> None:
    """Wait until only these tasks are left."""
    while others := asyncio.all_tasks() - tasks:
        await asyncio.wait(others)


# ── requests over HTTP/1 ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_requests_on_one_connection_are_answered_in_order_whatever_their_form(running: Running) -> None:
    client = await running.connect()
    chunked = CHUNKED + b"3\r\none\r\n3\r\ntwo\r\n0\r\na: b\r\n\r\n"
    for sent, body in ((GET, b"-"), (POST + b"\r\nhello", b"hello"), (chunked, b"onetwo"), (GET, b"-")):
        client.send(sent)
        status, headers, got = await client.answer()
        assert (status, got, headers[b"transfer-encoding"]) == (200, body, b"chunked")
    client.send(GET + POST + b"\r\nhello")  # pipelined
    assert [(await client.answer())[2] for _ in range(2)] == [b"-", b"hello"]
    assert [path for path, _ in running.app.requests] == ["/one", "/two", "/three", "/one", "/one", "/two"]


async def test_the_client_address_is_the_peer_even_if_a_header_claims_another(running: Running) -> None:
    client = await running.connect()
    client.send(b"GET /one HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 203.0.113.9\r\n\r\n")
    await client.answer()
    assert running.app.client == "127.0.0.1"


async def test_a_trailer_is_not_a_header(running: Running) -> None:
    client = await running.connect()
    client.send(CHUNKED + b"3\r\none\r\n0\r\nauthorization: Bearer key\r\n\r\n")
    assert (await client.answer())[::2] == (200, b"one")
    assert running.app.headers == [b"host", b"transfer-encoding"]


async def test_no_chunk_waits_for_the_acknowledgement_of_the_previous_one(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that pauses between requests delays acknowledgements: each first text would arrive 40 ms later."""
    accepted: list[socket.socket] = []
    admit = Connections.admit

    def note(connections: Connections, connection: socket.socket) -> bool:
        accepted.append(connection)
        return admit(connections, connection)

    monkeypatch.setattr(Connections, "admit", note)
    client = await running.connect()
    client.send(GET)
    await client.answer()
    assert [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in accepted] == [1]


async def test_a_request_may_arrive_byte_by_byte(running: Running) -> None:
    client = await running.connect()
    for byte in POST + b"\r\nhello":
        client.send(bytes([byte]))
        await anyio.sleep(0.001)
    assert (await client.answer())[::2] == (200, b"hello")


async def test_a_client_that_expects_100_continue_gets_it(running: Running) -> None:
    client = await running.connect()
    client.send(POST + b"expect: 100-continue\r\n\r\n")
    assert await client.head() == b"HTTP/1.1 100 \r\n\r\n"
    client.send(b"hello")
    assert (await client.answer())[::2] == (200, b"hello")


async def test_an_http_1_0_client_gets_its_answer_without_chunks(running: Running) -> None:
    client = await running.connect()
    client.send(b"POST /two HTTP/1.0\r\ncontent-length: 5\r\n\r\nhello")
    head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding" not in head.lower()
    assert body == b"hello"


@pytest.mark.parametrize(
    "offer",
    [
        b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        b"connection: upgrade\r\nupgrade: websocket\r\n",
    ],
)
@pytest.mark.parametrize("pieces", [1, 2])
async def test_an_upgrade_header_never_loses_the_request_body(running: Running, offer: bytes, pieces: int) -> None:
    """Java's HTTP client offers HTTP/2 with every request, even those with a body."""
    client = await running.connect()
    client.send(POST + offer + b"\r\n" + b"hello" * (pieces == 1))
    if pieces == 2:
        await anyio.sleep(0.02)
        client.send(b"hello")
    assert (await client.answer())[::2] == (200, b"hello")
    client.send(GET)
    assert (await client.answer())[2] == b"-"


# ── WebSockets ───────────────────────────────────────────────────────────────────────────────────────────────────────

UPGRADE = (
    b"GET /one HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PING, HELLO, HELLO_BACK = b"\x89\x00", b"\x81\x85\0\0\0\0hello", b"\x81\x05hello"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send back each message of a WebSocket."""
    if scope["type"] == "lifespan":
        await App()(scope, receive, send)
        return
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def test_a_websocket_gets_pings_and_is_served_even_if_it_answers_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "PING_PAUSE", 0.001)
    server, stop = listen("127.0.0.1", 0), anyio.Event()
    with anyio.fail_after(20), server:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve_http, echo, server, stop.wait)
            client = Client(*await asyncio.open_connection("127.0.0.1", server.port))
            client.send(UPGRADE)
            assert (await client.head()).startswith(b"HTTP/1.1 101 ")
            received = b""
            while received.count(PING) < 3:
                received += await client.receive()
            client.send(HELLO)
            while HELLO_BACK not in received:
                received += await client.receive()
            client.leave()
            stop.set()


# ── requests over HTTP/2 ─────────────────────────────────────────────────────────────────────────────────────────────


class Http2:
    """An HTTP/2 connection with a limited receive window."""

    def __init__(self, client: Client, window: int = 65535) -> None:
        self.client = client
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self._window = window

    def begin(self) -> None:
        self.http.initiate_connection()
        self.http.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: self._window})
        self.flush()

    def ask(self, method: bytes, *, end: bool) -> int:
        stream = self.http.get_next_available_stream_id()
        head = [(b":method", method), (b":path", b"/one"), (b":scheme", b"http"), (b":authority", b"x")]
        self.http.send_headers(stream, head, end_stream=end)
        self.flush()
        return stream

    def flush(self) -> None:
        self.client.send(self.http.data_to_send())

    async def until(self, kind: type[h2.events.Event]) -> bytes:
        """Read until an event of this kind; return the body bytes that arrived up to then."""
        body = b""
        while data := await self.client.receive():
            events = self.http.receive_data(data)
            for event in events:
                if isinstance(event, h2.events.DataReceived):
                    body += event.data
            self.flush()
            if any(isinstance(event, kind) for event in events):
                return body
        raise AssertionError("the connection was closed")


async def test_http_2_with_prior_knowledge_is_answered(running: Running) -> None:
    both = Http2(await running.connect())
    both.begin()
    stream = both.ask(b"POST", end=False)
    both.http.send_data(stream, b"hello", end_stream=True)
    both.flush()
    assert await both.until(h2.events.StreamEnded) == b"hello"
    assert running.app.version == "2"
    both.ask(b"GET", end=True)
    assert await both.until(h2.events.StreamEnded) == b"-"


async def test_a_request_without_a_body_that_offers_h2c_is_answered_over_http_2(running: Running) -> None:
    both = Http2(await running.connect())
    settings = both.http.initiate_upgrade_connection()
    assert settings is not None
    both.client.send(
        b"GET /one HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: "
        + settings
        + b"\r\n\r\n"
    )
    assert (await both.client.head()).startswith(b"HTTP/1.1 101 ")
    both.flush()
    assert await both.until(h2.events.StreamEnded) == b"-"
    assert running.app.version == "2"


async def test_many_requests_run_concurrently_on_one_http_2_connection(running: Running) -> None:
    running.app.gate = anyio.Event()
    both = Http2(await running.connect())
    both.begin()
    for _ in range(50):
        both.ask(b"GET", end=True)
    await running.app.until_requests(50)
    running.app.gate.set()
    body = b""
    while len(body) < 50:
        body += await both.until(h2.events.DataReceived)
    assert body == b"-" * 50


async def test_resetting_one_http_2_request_leaves_the_others_running(running: Running) -> None:
    running.app.gate = anyio.Event()
    both = Http2(await running.connect())
    both.begin()
    first = both.ask(b"GET", end=True)
    await both.until(h2.events.DataReceived)
    both.http.reset_stream(first)
    both.flush()
    await running.app.left.wait()
    running.app.gate = None
    both.ask(b"GET", end=True)
    assert await both.until(h2.events.StreamEnded) == b"-"


async def test_an_http_2_client_that_leaves_without_reading_its_answer_leaves_no_task(running: Running) -> None:
    running.app.size = 100_000
    before = asyncio.all_tasks()
    both = Http2(await running.connect(), window=0)
    both.begin()
    both.ask(b"GET", end=True)
    await running.app.until_requests(1)
    both.client.reset()
    await until_only(before)


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10 + b"\r\n\r\n", 400),  # TLS, where there is none
        (b"GET /one HTTP/1.1\r\nhost x\r\n\r\n", 400),
        (POST + b"content-length: 6\r\n\r\nhello", 400),  # two lengths: request smuggling
        (b"POST /two HTTP/1.1\r\nhost: x\r\ncontent-length: five\r\n\r\nhello", 400),
        (b"GET /one HTTP/1.1\r\n\r\n", 400),  # no host header
        (b"POST /two HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\nhello", 501),
    ],
)
async def test_invalid_http_is_refused_and_not_logged(
    running: Running, sent: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    client = await running.connect()
    client.send(sent)
    assert (await client.rest()).startswith(b"HTTP/1.1 %d " % status)
    assert running.app.requests == []
    assert caplog.messages == []


@pytest.mark.parametrize(
    "sent",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 50,
        b"GET /one HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: x\r\n\r\n",
        GET[:-2] + b"upgrade: h2c\r\n\r\n" + b"\x00" * 50,
    ],
)
async def test_invalid_http_2_closes_the_connection_without_a_traceback(
    running: Running, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    before = asyncio.all_tasks()
    client = await running.connect()
    client.send(sent)
    await client.rest()
    client.leave()
    await until_only(before)
    assert caplog.messages == []


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 4 * MAX_HEAD,
        b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 4 * MAX_HEAD,
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 20_000,
    ],
    ids=["path", "value", "number"],
)
async def test_a_head_beyond_the_bound_is_refused(running: Running, head: bytes) -> None:
    client = await running.connect()
    client.send(head)
    assert (await client.head()).startswith(b"HTTP/1.1 431 ")
    assert running.app.requests == []


async def test_a_head_within_the_bound_and_a_large_body_are_fine(running: Running) -> None:
    client = await running.connect()
    large = b"x" * 1_000_000
    room = b"b" * (MAX_HEAD - 100)
    client.send(b"POST / HTTP/1.1\r\nhost: x\r\na: " + room + b"\r\ncontent-length: 1000000\r\n\r\n" + large)
    status, _, body = await client.answer()
    assert (status, body == large) == (200, True)


@pytest.mark.parametrize("keep_alive", [0.1])
@pytest.mark.parametrize(
    "start",
    [b"", b"GET /one HT", GET + b"GET", POST + b"a: b\r\n"],
    ids=["silent", "line", "second", "headers"],
)
async def test_a_connection_whose_request_head_stays_incomplete_is_closed(running: Running, start: bytes) -> None:
    client = await running.connect()
    client.send(start)
    await client.rest()


@pytest.mark.parametrize("keep_alive", [0.05])
async def test_the_idle_timeout_cuts_neither_a_body_nor_an_answer(running: Running) -> None:
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


# ── refusals while the body still arrives ────────────────────────────────────────────────────────────────────────────


async def test_an_answer_that_ignores_the_body_ends_after_the_body(running: Running) -> None:
    running.app.early = True
    client = await running.connect()
    client.send(b"POST /one HTTP/1.1\r\nhost: x\r\ncontent-length: 50000000\r\n\r\n")
    await client.head()
    assert await client.chunk() == b"-"
    for _ in range(50):
        client.send(b"x" * 1_000_000)
    assert await client.chunk() == b""
    client.send(GET)
    assert (await client.answer())[0] == 200


@pytest.mark.parametrize("limit", ["LINGER", "LINGER_PAUSE"])
async def test_an_ignored_body_is_read_for_a_bounded_time(
    running: Running, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_part, limit, 0.1)
    running.app.early = True
    client = await running.connect()
    client.send(POST + b"\r\nhel")
    await client.head()
    assert await client.rest() == b"1\r\n-\r\n0\r\n\r\n"


async def test_over_http_2_too_an_answer_ends_after_its_request(running: Running) -> None:
    running.app.early = True
    both = Http2(await running.connect())
    both.begin()
    stream = both.ask(b"POST", end=False)
    assert await both.until(h2.events.DataReceived) == b"-"
    for end in (False, False, True):
        both.http.send_data(stream, b"x" * 1000, end_stream=end)
        both.flush()
    await both.until(h2.events.StreamEnded)
    both.ask(b"GET", end=True)
    assert await both.until(h2.events.StreamEnded) == b"-"


# ── how it ends ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_client_that_leaves_ends_its_answer(running: Running) -> None:
    running.app.gate = anyio.Event()
    client = await running.connect()
    client.send(GET)
    await client.head()
    client.leave()
    await running.app.left.wait()


async def test_requests_are_answered_in_the_order_in_which_they_arrive(running: Running) -> None:
    running.app.gate = anyio.Event()
    client = await running.connect()
    paths = [f"/{number}" for number in range(100)]
    client.send(b"".join(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path.encode() for path in paths))
    await client.head()
    assert [path for path, _ in running.app.requests] == paths[:1]
    running.app.gate.set()
    assert [await client.chunk(), await client.chunk()] == [b"-", b""]
    for _ in paths[1:]:
        await client.answer()
    assert [path for path, _ in running.app.requests] == paths


@pytest.mark.parametrize("most", [1])
async def test_connections_beyond_the_bound_are_closed_until_another_one_ends(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    first = await running.connect()
    first.send(GET)
    await first.answer()
    for _ in range(2):
        assert await (await running.connect()).rest() == b""
    assert caplog.messages == ["1 connections are open; closing new ones. Raise the limit with `ulimit -n`"]
    first.reset()
    answer = b""
    while not answer:
        last = await running.connect()
        last.send(GET)
        answer = await last.receive()
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("keep_alive", [0.1])
async def test_a_connection_closed_by_its_client_leaves_no_task(running: Running) -> None:
    before = asyncio.all_tasks()
    for leave in (Client.leave, Client.reset):
        client = await running.connect()
        client.send(GET)
        await client.answer()
        leave(client)
    await until_only(before)


async def test_a_stop_closes_idle_connections_at_once_and_lets_answers_end(running: Running) -> None:
    running.app.gate = anyio.Event()
    idle, busy = await running.connect(), await running.connect()
    idle.send(GET)
    await idle.head()
    busy.send(GET)
    await busy.head()
    running.app.gate.set()
    assert await idle.chunk() == b"-"
    running.app.gate = anyio.Event()
    running.stop.set()
    await running.until_refused()
    assert not running.ended.is_set()
    running.app.gate.set()
    assert await busy.rest() == b"1\r\n-\r\n0\r\n\r\n"
    await running.ended.wait()


@pytest.mark.parametrize("waiting", [b"", GET], ids=["alone", "pipeline"])
@pytest.mark.parametrize("size", [0, 20_000_000], ids=["waits", "does not read"])
async def test_a_stop_does_not_wait_for_ever(
    running: Running, waiting: bytes, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "LAST_ANSWERS", 0.1)
    running.app.size = size
    running.app.gate = anyio.Event()
    if size:
        running.app.gate.set()
    client = await running.connect()
    client.send(GET + waiting)
    await client.head()
    running.stop.set()
    await running.ended.wait()


@pytest.fixture
def signal_handlers() -> Generator[None]:
    """Restore the handlers after the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signal_handlers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_from_the_first_signal_on_the_default_holds_even_if_the_loop_is_stuck(number: signal.Signals) -> None:
    stop = anyio.Event()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve.watch_signals, stop)
            await anyio.wait_all_tasks_blocked()
            signal.raise_signal(number)
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            await stop.wait()
