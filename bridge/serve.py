"""Runs the application under Hypercorn: listeners, signals and shutdown.

1. Requests are served only after codex, the store and the tidy-up tasks have started; these stop last.
2. A shutdown refuses new answers, gives open answers `--grace` seconds, then ends them with an error in the stream.
3. Connections that are still open shortly after that are shut down. Hypercorn 0.18 would wait for them forever: on
   Python 3.12 and newer it ignores its own grace time while a connection is open.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias, cast

import anyio
from hypercorn.asyncio import serve as serve_asgi  # pyright: ignore[reportUnknownVariableType] - of its WSGI part
from hypercorn.config import Config, Sockets
from hypercorn.utils import LifespanFailureError
from starlette.types import ASGIApp, Receive, Scope, Send

from bridge.asgi import create_app
from bridge.config import Settings
from bridge.http.listeners import Listeners
from bridge.http.status import TunnelUrl, no_tunnel
from bridge.http.websocket import LARGEST_MESSAGE
from codex_rpc.background import running
from codex_rpc.errors import CodexAddsTextError, CodexNotFoundError, CodexTooOldError
from codex_rpc.supervisor import Down, Supervisor

logger = logging.getLogger(__name__)

KEEP_ALIVE = 120.0
"""Seconds that a connection may wait for the complete head of its next request. Longer than clients keep an idle
connection (cloudflared: 90), so that the server never closes one while a request is on its way."""

MAX_HEAD = 32 * 1024
"""Largest request head, in bytes, that is kept while it is incomplete; one read may exceed it by up to 64 KiB."""

HANDSHAKE_PATIENCE = 10.0
"""Seconds that a TLS handshake may take."""

PING_PAUSE = 20.0
"""Seconds between two pings of a WebSocket. Tunnels close a silent one after about 100 seconds, and the Codex CLI sends
no pings itself."""

LAST_ANSWERS = 1.0
"""Seconds that connections may stay open after the last answer has ended."""

BROKEN_CONNECTION = frozenset({"Unhandled exception in client_connected_cb", "Task exception was never retrieved"})
"""Messages with which asyncio reports a failed connection task; older versions use the second one."""

Watch: TypeAlias = Callable[[anyio.Event], Coroutine[Any, Any, None]]
"""Sets the event when the server should stop."""

Beside: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""A task that runs as long as the server does."""


class _Config(Config):
    """Hypercorn's settings, with sockets that are already open."""

    accesslog = None
    errorlog = logging.getLogger("hypercorn.error")
    include_date_header = False  # our middleware adds one
    include_server_header = False
    keep_alive_max_requests = sys.maxsize  # the last request of an HTTP/2 connection would cut off the others
    h11_max_incomplete_size = MAX_HEAD
    h2_max_header_list_size = MAX_HEAD
    ssl_handshake_timeout = HANDSHAKE_PATIENCE
    websocket_max_message_size = LARGEST_MESSAGE
    # With a bounded queue, a connection's reader blocks forever on a full queue once the application has answered.
    # The application reads each body immediately and up to its limit, so an unbounded queue stays short.
    max_app_queue_size = 0

    def __init__(self, listeners: Listeners, certfile: str | None, keyfile: str | None) -> None:
        self.certfile = certfile
        self.keyfile = keyfile
        self.keep_alive_timeout = KEEP_ALIVE
        self.websocket_ping_interval = PING_PAUSE
        self.graceful_timeout = 2 * LAST_ANSWERS  # for connection tasks; the connections themselves end earlier
        self._listeners = listeners

    def create_sockets(self) -> Sockets:
        """Called by Hypercorn."""
        sockets: list[socket.socket] = [*self._listeners.sockets]
        return Sockets(sockets, [], []) if self.ssl_enabled else Sockets([], sockets, [])


async def watch_signals(stop: anyio.Event) -> None:
    """Set `stop` at the first SIGINT or SIGTERM; a second one ends the process at once, as by default."""
    loop = asyncio.get_running_loop()

    def on_first(number: int, _: object) -> None:
        restore_defaults()
        loop.call_soon_threadsafe(begin_to_stop, signal.Signals(number).name)

    def begin_to_stop(name: str) -> None:
        logger.info("received %s; stopping", name)
        stop.set()

    def restore_defaults() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    # Not by the event loop: asyncio has no signal handlers on Windows.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_first)
    try:
        await stop.wait()
    finally:
        restore_defaults()


async def serve(
    settings: Settings,
    listeners: Listeners,
    announce: Callable[[], None],
    watch: Watch = watch_signals,
    beside: Sequence[Beside] = (),
    *,
    tunnel: TunnelUrl = no_tunnel,
) -> None:
    """Serve on `listeners` until `watch` sets its event; call `announce` once requests are answered.

    `tunnel` returns the public address, if one of the tasks `beside` runs a tunnel.

    Raises:
        CaseError: the recordings to serve cannot be read.
        StoreError: the store of responses cannot be opened.
        KeysError: the file of named keys cannot be used.
        CodexNotFoundError, CodexTooOldError, CodexAddsTextError: the user has to install another codex.
    """
    app = create_app(settings, tunnel)
    stop = anyio.Event()
    unusable: list[Exception] = []

    async def stop_if_codex_cannot_start(supervisor: Supervisor) -> None:
        match await supervisor.first_outcome():
            case Down(CodexNotFoundError() | CodexTooOldError() | CodexAddsTextError() as error):
                unusable.append(error)
                stop.set()
            case _:
                pass

    async def until_stopped() -> None:
        service = app.service
        codex = partial(stop_if_codex_cannot_start, service.supervisor)
        async with running(partial(watch, stop), codex, stop_when_the_lifespan_fails, *beside):
            announce()
            await stop.wait()
            await service.stop(settings.grace)

    async def stop_when_the_lifespan_fails() -> None:
        await app.failed.wait()
        stop.set()

    with suppress(LifespanFailureError):  # `app.failure` holds the reason
        await serve_http(app, listeners, until_stopped, settings.certfile, settings.keyfile)
    for error in (app.failure, *unusable):
        if error is not None:
            raise error


async def serve_http(
    app: ASGIApp,
    listeners: Listeners,
    until_stopped: Callable[[], Awaitable[None]],
    certfile: str | None = None,
    keyfile: str | None = None,
) -> None:
    """Serve until `until_stopped` returns, then close the listeners and all connections.

    `until_stopped` is called once the lifespan has started and connections are accepted.

    Raises:
        LifespanFailureError: the application could not start.
    """
    loop = asyncio.get_running_loop()
    requests = _Requests(app)
    last: list[asyncio.TimerHandle] = []

    async def stop() -> None:
        await until_stopped()
        last.append(loop.call_later(LAST_ANSWERS, requests.cancel))
        last.append(loop.call_later(LAST_ANSWERS, listeners.connections.shut_down))

    loop.set_exception_handler(_note_broken_connection)
    try:
        # In a separate task: on Python 3.11 Hypercorn leaves its task marked as cancelled.
        await loop.create_task(
            serve_asgi(cast("Any", requests), _Config(listeners, certfile, keyfile), shutdown_trigger=stop)
        )
    finally:
        loop.set_exception_handler(None)
        for timer in last:
            timer.cancel()


class _Requests:
    """Wraps an application so that its open requests can be cancelled."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open: set[anyio.CancelScope] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        with anyio.CancelScope() as request:
            self._open.add(request)
            try:
                await self._app(scope, receive, send)
            finally:
                self._open.discard(request)

    def cancel(self) -> None:
        """Cancel all open requests."""
        for request in tuple(self._open):
            request.cancel()


def _note_broken_connection(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log exceptions of connections at debug level: a client broke the protocol, or the server is stopping.

    Exceptions of the application do not get here: Hypercorn logs them itself.
    """
    error = context.get("exception")
    if context["message"] in BROKEN_CONNECTION or isinstance(error, asyncio.CancelledError):
        logger.debug("a connection failed: %r", error)
    else:
        loop.default_exception_handler(context)
