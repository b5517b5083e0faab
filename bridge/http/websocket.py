"""The Responses API over a WebSocket: requests arrive as frames and are answered one after the other.

1. One task always receives. It waits neither for an answer nor for the client to read, so a client that leaves is
   noticed at once; what it sends meanwhile waits in a bounded queue.
2. Each request is served like an HTTP request, with a scope and a log entry of its own; what is sent in answer becomes
   frames. So admission, errors, log, metrics and the drain are the same.
3. A client that does not take a frame in time loses its connection, and its answer is interrupted.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
import orjson
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from bridge.config import Settings
from bridge.errors import (
    ApiError,
    body_too_large,
    internal_error,
    key_revoked,
    method_not_allowed,
    no_websocket,
    socket_too_old,
)
from bridge.http.admission import Admission
from bridge.http.answer import response_start, send_error
from bridge.http.frames import FrameExchange, frame_of
from bridge.http.middleware import Envelope
from bridge.http.new_responses import NewResponses
from bridge.http.running_responses import OnSocket
from bridge.http.upgrade import Upgrade, upgrade_of
from bridge.http.waiting_requests import Refused, WaitingRequests
from bridge.keys.live import LiveKey, key_of
from bridge.openai.responses.client_events import Create, Steer, read_client_event
from bridge.openai.responses.output import Event
from bridge.openai.responses.steering import Steering
from bridge.store.last_responses import LastResponses
from bridge.telemetry.ledger import ENTRY, Ledger, entry_of

logger = logging.getLogger(__name__)

LARGEST_MESSAGE = 16 * 1024 * 1024
"""Largest message of a client, in characters; a larger one ends the connection. The Codex CLI sends such over HTTP."""

LONGEST_LIFE = 3600.0
"""Seconds after which no more requests are accepted on a connection, as in the API."""

SEND_PATIENCE = 60.0
"""Seconds within which a client must take a frame."""

CLOSE_PATIENCE = 5.0
"""Seconds for the client to answer the closing of the connection."""

MOST_UNSENT = 32 * 1024 * 1024
"""Most bytes of answers to steering input that may wait for a client to read them."""

MESSAGE_LIMIT = "x-codex-websocket-max-message-bytes"
"""The header that tells the Codex CLI which requests to send over HTTP instead."""

GOING_AWAY = 1001
"""The close code of a server that ends a connection by itself. Source: RFC 6455, section 7.4.1."""

POLICY_VIOLATION = 1008
"""The close code when the client's key has ended. Source: the same."""

REQUEST_METHOD = "WS"
"""The method of requests in a frame, for log and metrics."""


class Sockets:
    """The handler of `GET /responses`."""

    def __init__(self, responses: NewResponses, admission: Admission, ledger: Ledger, settings: Settings) -> None:
        self._responses = responses
        self._admission = admission
        self._ledger = ledger
        self._limit = min(LARGEST_MESSAGE, settings.max_body)
        self._log_requests = settings.log_requests
        # A recording consists of HTTP requests.
        self._offered = not settings.no_websocket and settings.record is None and settings.replay is None

    async def connect(self, request: Request) -> ASGIApp:
        """GET /responses: a WebSocket."""
        upgrade = upgrade_of(request.scope)
        if upgrade is None:
            raise method_not_allowed("GET", request.url.path, "POST")
        if not self._offered:
            raise no_websocket()
        return _Socket(
            upgrade, self._responses, self._admission, self._ledger, self._limit, log_requests=self._log_requests
        )


class _Socket:
    """One connection."""

    def __init__(
        self,
        upgrade: Upgrade,
        responses: NewResponses,
        admission: Admission,
        ledger: Ledger,
        limit: int,
        *,
        log_requests: bool,
    ) -> None:
        self._upgrade = upgrade
        self._responses = responses
        self._admission = admission
        self._ledger = ledger
        self._limit = limit
        self._log_requests = log_requests
        self._key: LiveKey | None = None
        self._last = LastResponses()
        self._waiting = WaitingRequests()
        self._arrived = anyio.Event()
        """Set when the waiting requests or the server's state have changed."""
        self._running: OnSocket | None = None
        self._steering = Steering()
        self._notices: deque[bytes] = deque()
        """Frames to send beside the running answer."""
        self._unsent = 0
        """Bytes of the notices."""
        self._noticed = anyio.Event()
        self._connection = anyio.CancelScope()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the connection until one side ends it."""
        await receive()
        await send(response_start(101, {MESSAGE_LIMIT: str(self._limit)}))
        self._key = key_of(scope)
        with self._connection:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._answer_all, scope)
                tasks.start_soon(self._send_notices)
                tasks.start_soon(self._notice_end, self._admission.wait_for_stop)
                if self._key is not None:
                    tasks.start_soon(self._notice_end, self._key.revoked.wait)
                await self._receive_all()
                self._connection.cancel()

    # ── Receiving ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _receive_all(self) -> None:
        while (message := await self._upgrade.receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            self._take(message["bytes"] if text is None else text.encode())
            if self._waiting.flooded or self._unsent > MOST_UNSENT:
                logger.warning("a client sends more requests over a WebSocket than may wait; closing it")
                return

    def _take(self, data: bytes) -> None:
        try:
            if len(data) > self._limit:
                raise body_too_large(self._limit)
            event = read_client_event(data)
        except ApiError as error:
            event = Refused(error)
        match event:
            case Steer():
                running = self._running
                is_open = running is not None and running.response is None
                answer = self._steering.take(event, running.response_id if running and is_open else None)
                self._notices.append(_frame(answer, running.stream_id if running else None))
                self._unsent += len(self._notices[-1])
                self._noticed.set()
            case request:
                self._waiting.put(request, len(data))
                self._arrived.set()

    async def _notice_end(self, wait: Callable[[], Awaitable[object]]) -> None:
        await wait()
        self._arrived.set()

    # ── Answering ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _answer_all(self, scope: Scope) -> None:
        """Answer requests in their order until the connection is too old, the server stops, or its key is revoked.

        Then close it.
        """
        end = anyio.current_time() + LONGEST_LIFE
        while (request := await self._next(end)) is not None:
            if isinstance(request, Refused):
                await self._send(frame_of(request.error, request.stream_id))
                continue
            while request is not None:
                request = await self._answer(self._steering.with_held_input(request), scope)
        code = GOING_AWAY
        if self._key is not None and self._is_revoked:
            await self._send(frame_of(key_revoked(self._key.name)))
            code = POLICY_VIOLATION
        elif not self._admission.stopping:
            await self._send(frame_of(socket_too_old(LONGEST_LIFE)))
        with anyio.move_on_after(CLOSE_PATIENCE):
            await self._upgrade.send({"type": "websocket.close", "code": code})
            await anyio.sleep_forever()  # until the client's answer ends the receiving task
        self._connection.cancel()

    async def _next(self, end: float) -> Create | Refused | None:
        """Wait for the next request; return None when the connection is to be closed."""
        with anyio.CancelScope(deadline=end):
            while not self._waiting and not self._admission.stopping and not self._is_revoked:
                self._arrived = anyio.Event()
                await self._arrived.wait()
        may_answer = self._waiting and anyio.current_time() < end and not self._is_revoked
        return self._waiting.take() if may_answer else None

    @property
    def _is_revoked(self) -> bool:
        return self._key is not None and self._key.revoked.is_set()

    async def _answer(self, request: Create, connection: Scope) -> Create | None:
        """Answer a request; return the one that follows from steering input, if there is one."""
        exchange = FrameExchange(self._send, request.stream_id)
        running = self._running = OnSocket(request.stream_id, self._last)

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            if self._log_requests:
                logger.info("%s request frame: %s", entry_of(scope).id, orjson.dumps(request.body).decode())
            try:
                answer = await self._responses.answer(Request(scope), request.body, running)
            except ApiError as error:
                entry_of(scope).error = error.code
                await send_error(error, send)
            except Exception:
                logger.exception("a request on a WebSocket failed unexpectedly")
                await send_error(internal_error(), send)
            else:
                await answer(scope, receive, send)

        scope = {**connection, "method": REQUEST_METHOD, "http_version": "1.1"}
        del scope[ENTRY]
        await Envelope(serve, self._ledger)(scope, exchange.receive, exchange.send)
        self._running = None
        if exchange.status >= 400:
            self._last.forget(request.body.get("previous_response_id"))
        events, successor = self._steering.settle(request, running.response_id, running.response)
        for event in events:
            await self._send(_frame(event, request.stream_id))
        return successor

    # ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _send_notices(self) -> None:
        while True:
            while self._notices:
                await self._send(self._notices[0])
                self._unsent -= len(self._notices.popleft())
            self._noticed = anyio.Event()
            await self._noticed.wait()

    async def _send(self, frame: bytes) -> None:
        with anyio.move_on_after(SEND_PATIENCE) as sending:
            await self._upgrade.send({"type": "websocket.send", "text": frame.decode()})
        if sending.cancelled_caught:
            logger.warning("a client did not take a frame within %g seconds; closing its WebSocket", SEND_PATIENCE)
            self._connection.cancel()
            await anyio.lowlevel.checkpoint()


def _frame(event: Event, stream_id: str | None) -> bytes:
    return orjson.dumps(event if stream_id is None else {**event, "stream_id": stream_id})
