"""A scripted Responses server on loopback: HTTP server-sent events and WebSocket on one port.

It plays the replies of `script.py`, one per request, and keeps every request it received. No model, no account, no
network: the real codex CLI talks to it as it would to its real backend.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import anyio
import h11
import orjson
import wsproto
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Message,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)

from tests.harness.script import Action, Cut, Event, Hold, Pause, Received, Reply, reply, warmed_up

WRITE_SIZE = 64 * 1024
READ_SIZE = 256 * 1024

REMEMBERED = 1000
"""Number of responses that later requests may continue."""

Responder = Callable[[Received], Reply]


class _ConnectionCutError(Exception):
    """The script closes the connection here."""


class Upstream:
    """The running server: script it with `will_reply` or `respond`, read `requests` afterwards."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.warm_ups: list[Received] = []
        self.refuse_websocket: int | None = None
        self.handshake = 0.0
        """Seconds that a WebSocket takes to open; infinity means it never opens."""
        self.websockets = 0
        """Number of WebSockets opened so far."""
        self.respond: Responder = lambda _: reply("ok")
        self.port = 0
        self.played: list[Reply] = []
        self._replies: deque[Reply] = deque()
        self._connections: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Event()
        self._playing = 0
        self._idle = asyncio.Event()
        self._responses: dict[str, tuple[Received, Reply]] = {}
        """The request and the reply of each response, by the id of the response."""
        self._namespaces: dict[str, dict[str, str]] = {}
        """Thread → the namespaces of its tools; over WebSocket only the first frame declares them."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def will_reply(self, *replies: Reply) -> None:
        """Queue replies for the next requests; `respond` answers when the queue is empty."""
        self._replies.extend(replies)

    async def wait_for_requests(self, count: int) -> list[Received]:
        """Return all requests as soon as at least `count` have arrived."""
        while len(self.requests) < count:
            self._arrived.clear()
            await self._arrived.wait()
        return self.requests

    async def wait_for_warm_ups(self, count: int) -> None:
        """Return as soon as at least `count` threads have been warmed up."""
        while len(self.warm_ups) < count:
            self._arrived.clear()
            await self._arrived.wait()

    async def wait_until_idle(self) -> None:
        """Return as soon as no reply is being played."""
        while self._playing:
            self._idle.clear()
            await self._idle.wait()

    def begin_playing(self) -> None:
        self._playing += 1

    def end_playing(self) -> None:
        self._playing -= 1
        self._idle.set()

    def reply_to(self, request: Received) -> Reply:
        """Note a request and choose its reply; add the namespaces of declared tools to its calls."""
        if before := self._responses.get(request.body.get("previous_response_id", "")):
            earlier, said = before
            request.before = (*earlier.before, *earlier.input, *said.items)
        namespaces = self._namespaces.setdefault(request.body.get("prompt_cache_key", ""), {})
        namespaces |= request.namespaces
        warm_up = request.body.get("generate") is False
        (self.warm_ups if warm_up else self.requests).append(request)
        self._arrived.set()
        if warm_up:
            played = warmed_up()
        else:
            chosen = self._replies.popleft() if self._replies else self.respond(request)
            played = chosen.in_namespaces(namespaces)
            self.played.append(played)
        if played.response_id is not None:
            self._responses[played.response_id] = request, played
            if len(self._responses) > REMEMBERED:
                del self._responses[next(iter(self._responses))]
        return played

    def conversation(self) -> list[dict[str, Any]]:
        """Return the items that the model saw up to the last request, without the fields that codex adds."""
        return self.requests[-1].conversation

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(asyncio.CancelledError):
                await _Connection(self, reader, writer).serve()
        except* ConnectionError:
            pass  # codex has disconnected
        finally:
            self._connections.discard(task)
            writer.close()

    async def close_connections(self) -> None:
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


class _Connection:
    def __init__(self, upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._upstream = upstream
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._peer_left = asyncio.Event()

    async def serve(self) -> None:
        """Serve requests until one side disconnects; stop the current reply when codex closes the connection."""
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read())
            serving = tasks.create_task(self._serve_requests())
            leaving = tasks.create_task(self._peer_left.wait())
            await asyncio.wait((serving, leaving), return_when=asyncio.FIRST_COMPLETED)
            for task in (reading, serving, leaving):
                task.cancel()

    async def _read(self) -> None:
        with suppress(ConnectionError):
            while data := await self._reader.read(READ_SIZE):
                self._chunks.put_nowait(data)
        self._peer_left.set()

    async def _serve_requests(self) -> None:
        while True:
            event = await self._next_http_event()
            if not isinstance(event, h11.Request):
                return
            headers = {name.decode().lower(): value.decode() for name, value in event.headers}
            received = Received("http", event.target.decode(), headers)
            if headers.get("upgrade", "").lower() == "websocket":
                await self._run_websocket(received)
                return
            await self._answer_http(event, received)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _next_http_event(self) -> object:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._http.receive_data(await self._chunks.get())

    async def _answer_http(self, request: h11.Request, received: Received) -> None:
        body = bytearray()
        while isinstance(event := await self._next_http_event(), h11.Data):
            body += event.data
        if request.method != b"POST" or not received.path.endswith("/responses"):
            await self._send_whole(404, b'{"error": {"message": "the scripted upstream has only /responses"}}', ())
            return
        received.body = orjson.loads(body)
        answer = self._upstream.reply_to(received)
        if answer.status != 200:
            await self._send_whole(answer.status, answer.body, answer.headers)
            return
        headers = [("content-type", "text/event-stream"), ("transfer-encoding", "chunked"), *answer.headers]
        self._write(h11.Response(status_code=200, headers=headers))
        try:
            await self._play(answer.actions, self._send_sse)
        except _ConnectionCutError:
            self._writer.transport.abort()
            return
        self._write(h11.EndOfMessage())
        await self._writer.drain()

    async def _send_whole(self, status: int, body: bytes, headers: Iterable[tuple[str, str]]) -> None:
        fixed = [("content-type", "application/json"), ("content-length", str(len(body)))]
        self._write(h11.Response(status_code=status, headers=[*fixed, *headers]))
        self._write(h11.Data(data=body))
        self._write(h11.EndOfMessage())
        await self._writer.drain()

    def _write(self, event: Any) -> None:
        self._writer.write(cast("bytes | None", self._http.send(event)) or b"")

    async def _send_sse(self, events: list[Event]) -> None:
        data = b"".join(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), orjson.dumps(e)) for e in events)
        self._write(h11.Data(data=data))
        await self._writer.drain()

    async def _play(self, actions: Iterable[Action], send: Callable[[list[Event]], Any]) -> None:
        """Send each run of events in one write; stop at pauses, gates and cuts."""
        self._upstream.begin_playing()
        ready: list[Event] = []
        try:
            for action in actions:
                if isinstance(action, dict):
                    ready.append(action)
                    if len(ready) < WRITE_SIZE // 256:
                        continue
                if ready:
                    await send(ready)
                    ready = []
                match action:
                    case Pause(seconds):
                        await asyncio.sleep(seconds)
                    case Hold(gate):
                        await gate.wait()
                    case Cut():
                        raise _ConnectionCutError
                    case _:
                        pass
            if ready:
                await send(ready)
        finally:
            self._upstream.end_playing()

    async def _run_websocket(self, received: Received) -> None:
        upgrade = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        headers = [(name.encode(), value.encode()) for name, value in received.headers.items()]
        upgrade.initiate_upgrade_connection(headers, received.path)
        text = ""
        while True:
            for event in upgrade.events():
                match event:
                    case Request():
                        if status := self._upstream.refuse_websocket:
                            refusal = RejectConnection(status_code=status, has_body=False)
                            self._writer.write(upgrade.send(refusal))
                            await self._writer.drain()
                            return
                        await anyio.sleep(self._upstream.handshake)
                        self._upstream.websockets += 1
                        self._writer.write(upgrade.send(AcceptConnection()))
                    case TextMessage():
                        text += event.data
                        if event.message_finished:
                            request = Received("websocket", received.path, received.headers, orjson.loads(text))
                            text = ""
                            if not await self._answer_frame(upgrade, request):
                                return
                    case Ping():
                        self._writer.write(upgrade.send(event.response()))
                    case CloseConnection():
                        self._writer.write(upgrade.send(event.response()))
                        return
                    case _:
                        pass
            await self._writer.drain()
            upgrade.receive_data(await self._chunks.get())

    async def _answer_frame(self, upgrade: wsproto.WSConnection, request: Received) -> bool:
        answer = self._upstream.reply_to(request)

        async def send(events: list[Event]) -> None:
            frames = (upgrade.send(Message(data=orjson.dumps(event).decode())) for event in events)
            self._writer.write(b"".join(frames))
            await self._writer.drain()

        try:
            if answer.status != 200:
                error: dict[str, Any] = {"type": "error", "status": answer.status, **orjson.loads(answer.body)}
                await send([{**error, "headers": dict(answer.headers)}])
            else:
                await self._play(answer.actions, send)
        except _ConnectionCutError:
            self._writer.transport.abort()
            return False
        return True


@asynccontextmanager
async def scripted_upstream() -> AsyncGenerator[Upstream]:
    """Run an `Upstream` on a free loopback port while the block runs."""
    upstream = Upstream()
    server = await asyncio.start_server(upstream.serve_connection, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        await upstream.close_connections()
