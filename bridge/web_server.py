"""Serves an ASGI application over HTTP/1.1: uvicorn's protocol, with bounds on what comes before a body."""

from __future__ import annotations

import asyncio
import http
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

import anyio
import orjson
from httptools import HttpParserUpgrade, HttpRequestParser
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from bridge.descriptors import most_connections
from bridge.errors import ApiError, headers_too_large, not_http

MAX_HEAD = 32 * 1024
"""Bytes of a request before its body: the path and all headers together, which bounds their number too."""

HEAD_PATIENCE = 10.0
"""Seconds in which all of that must have come, and in which a new connection must have begun with it."""

KEEP_ALIVE = 120
"""Seconds that a connection may wait for its next request: longer than clients wait (cloudflared 90), so that it is
never closed under a request that is on its way."""

MAX_WAITING = 32
"""Requests that a client may send ahead of the answer that runs; hardly any client sends one."""

LAST_ANSWERS = 1.0
"""Seconds that connections have to end after the server was told to stop."""


logger = logging.getLogger(__name__)


class _State(ServerState):
    """What the connections of a server share."""

    full = False
    """Whether one was closed because there were too many, which is said once."""


class _Parser(HttpRequestParser):
    """Stays with HTTP/1.1 when a client offers another protocol, as Java's does with every request.

    httptools leaves HTTP behind the head of such a request: its body, and all that follows, would be lost.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._connection = connection

    def feed_data(self, data: bytes) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - asyncio gives bytes
        """Called by uvicorn."""
        while True:
            try:
                super().feed_data(data)
            except HttpParserUpgrade as offer:
                begins: int = offer.args[0]
                data = self._connection.head_without_offer() + data[begins:]
            else:
                return


class Connection(HttpToolsProtocol):
    """A connection that is refused when a request's head takes too much room or too much time."""

    lost: asyncio.Future[None]
    """Done when the connection is closed."""
    _running: RequestResponseCycle
    """The request that was begun last: the others of the pipeline wait for its answer."""
    _ahead = 0
    """Bytes received since the last head or piece of a body was complete."""
    _deadline: asyncio.TimerHandle | None = None
    """Closes the connection if the head that has begun is not complete by then."""
    _refusal: ApiError | None = None
    """What is wrong with what the parser was given, if it is known."""
    _refused = False
    """Whether what still comes is thrown away."""

    def __init__(self, config: Config, state: _State) -> None:
        super().__init__(config, state, {})
        self._state = state
        self.parser: _Parser = _Parser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's: it is thrown away

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn's own
        """Called by asyncio."""
        super().connection_made(transport)
        self.lost = self.loop.create_future()
        self._await_head()
        if len(self.connections) > (most := most_connections()):
            transport.abort()
            if not self._state.full:
                self._state.full = True
                logger.warning("%d connections are open, so new ones are closed; `ulimit -n` allows more", most)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio; uvicorn tells the last request in the pipeline, which need not be the one that runs."""
        self._forget_deadline()
        self._unset_keepalive_if_required()
        if self.pipeline:
            self.cycle = self._running
        super().connection_lost(exc)
        self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self._refused:
            return
        self._ahead += len(data)
        super().data_received(data)
        if self._refused:
            return
        if self._ahead > MAX_HEAD:
            self._refuse(headers_too_large(MAX_HEAD))
        elif self.cycle and self.cycle.response_complete:  # the rest of a body that nobody reads, a part of a head
            self.timeout_keep_alive_task = self.loop.call_later(KEEP_ALIVE, self.timeout_keep_alive_handler)

    def on_message_begin(self) -> None:
        """Called by the parser, perhaps behind the last byte of another request."""
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Called by the parser; what is raised here makes uvicorn send its 400."""
        self._ahead = 0
        self._forget_deadline()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            self._refusal = headers_too_large(MAX_HEAD)
            raise self._refusal
        if len(self.pipeline) == MAX_WAITING:
            raise not_http()  # nobody is told: an answer runs
        offers = self.parser.should_upgrade()
        self.parser.set_dangerous_leniencies(lenient_keep_alive=offers)  # or a last request's head is not parsed again
        if not offers:
            super().on_headers_complete()
            self.headers = []  # what still comes are trailers: no header may come behind the check of the headers
        elif self.parser.get_method() == b"CONNECT":
            raise not_http()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._ahead = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._ahead = 0
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def head_without_offer(self) -> bytes:
        """Return the head that was parsed last, without its offer to speak another protocol."""
        first = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        headers = (b"%b: %b" % header for header in self.headers if header[0] != b"upgrade")
        return b"\r\n".join([first, *headers, b"\r\n"])

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP in the form of every other error; `msg` is uvicorn's and says no more."""
        del msg
        self._refuse(self._refusal or not_http())

    def _refuse(self, error: ApiError) -> None:
        """Nothing can be said within an answer; otherwise a client that still sends would lose what it is told."""
        self._refused = True
        if self.cycle and not self.cycle.response_complete:
            self.transport.close()
        else:
            body = orjson.dumps(error.body())
            head = (
                f"HTTP/1.1 {error.status} {http.HTTPStatus(error.status).phrase}\r\nconnection: close\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
            self.transport.write_eof()
            self._forget_deadline()
            self._await_head()

    def _await_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_PATIENCE, self.transport.close)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


async def serve_http(app: ASGIApp, listener: socket.socket, stop: Callable[[], Awaitable[None]]) -> None:
    """Serve on `listener` until `stop` returns; afterwards it and all connections are closed and no request runs.

    uvicorn's own `Server` would take the signals and look around ten times a second.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # of what strangers send it warns
    config = Config(
        cast("Any", app),
        interface="asgi3",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
    )
    config.load()
    state = _State()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(config, state), sock=listener)
    try:
        await stop()
    finally:
        server.close()
        connections = [connection for connection in state.connections if isinstance(connection, Connection)]
        for connection in connections:
            connection.shutdown()
        with anyio.CancelScope(shield=True):
            if connections:
                await asyncio.wait([connection.lost for connection in connections], timeout=LAST_ANSWERS)
            for connection in connections:
                connection.transport.abort()
            if state.tasks:
                await asyncio.wait(state.tasks, timeout=LAST_ANSWERS)
