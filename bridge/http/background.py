"""Runs responses in the background: they survive their clients, who ask for their state or follow their events.

1. A background response is an ordinary answer whose client is this server: it reads everything and never leaves.
2. Some run at once, the others wait as `queued`. They do not count among the answers of `--answers`.
3. When the server stops, waiting responses end at once and running ones after the grace, as `incomplete`. All of them
   are stored.
4. The events of ended responses are kept for a while. The stored response remains.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import anyio
import orjson
from anyio.abc import TaskGroup
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge.errors import ApiError, invalid_request, too_many_requests, unavailable
from bridge.http.admission import MOST_WAITING, RETRY_AFTER, Admission
from bridge.http.answer import now, response_start
from bridge.openai import sse
from bridge.openai.responses.event_log import EventLog, KeptStream
from bridge.openai.responses.object import ResponseFrame
from bridge.store.response import id_in_store
from bridge.telemetry.ledger import ENTRY, Ledger, RequestLogEntry
from bridge.telemetry.logs import log_request

MOST = 64
"""How many background responses run at once."""
ROOM = 64 * 1024 * 1024
"""Bytes of events that are kept of ended responses."""
SETTLING = 5.0
"""Seconds that interrupted responses may take to be stored."""
METHOD, ROUTE = "BACKGROUND", "/responses"
"""How these answers appear in the log and in metrics; the request that created one has an entry of its own."""


class Job:
    """One background response."""

    def __init__(self, pause: float, stopping: Callable[[], bool]) -> None:
        """`pause` is the time in seconds after which a silent stream gets a comment; `stopping` asks for the server."""
        self.log = EventLog()
        self.scope = anyio.CancelScope()
        self.ended = False
        self.settle: Callable[[], Awaitable[None]]
        """Stores the response once it has its final state; set with the answer."""
        self._changed = anyio.Event()
        self._pause = pause
        self._stopping = stopping
        self._writer: KeptStream | None = None
        self._started = False

    def new_writer(self, frame: ResponseFrame) -> KeptStream:
        """Return the writer of its answer; a repeated answer gets another one, with the same log."""
        self._writer = KeptStream(frame, self.log, self._stopping)
        return self._writer

    @property
    def writer(self) -> KeptStream:
        """The writer of its answer."""
        assert self._writer is not None
        return self._writer

    def start(self) -> None:
        """Note that its turn is open."""
        if not self._started:
            self._started = True
            self.writer.start()
            self.notify()

    def notify(self) -> None:
        """Wake the clients that follow it."""
        self._changed.set()
        self._changed = anyio.Event()

    def follow(self, after: int) -> ASGIApp:
        """Return an answer with the events after this number, to the end of the response.

        Raises:
            ApiError: 400, some of these events are not kept.
        """
        if after + 1 < self.log.first:
            raise _events_gone(self.log.first)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            del scope
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send_events, after + 1, send)
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

        return answer

    async def _send_events(self, number: int, send: Send) -> None:
        await send(response_start(200, sse.HEADERS))
        while True:
            ended, changed = self.ended, self._changed
            if number < self.log.first:
                await send(_last(sse.data(_events_gone(self.log.first).body())))
                return
            data, number = self.log.since(number), max(number, self.log.next)
            if ended:
                await send(_last(data))
                return
            if data:
                await send({"type": "http.response.body", "body": data, "more_body": True})
            with anyio.move_on_after(self._pause) as silence:
                await changed.wait()
            if silence.cancelled_caught:
                await send({"type": "http.response.body", "body": sse.KEEP_ALIVE, "more_body": True})


def _events_gone(first: int) -> ApiError:
    message = f"The events before number {first} are not kept any more; get the response without 'stream'."
    return invalid_request(message, "starting_after", "events_not_kept")


def _stopped() -> ApiError:
    return unavailable("The server stopped before the response was complete. Create it again.", 5)


def _last(data: bytes) -> Message:
    return {"type": "http.response.body", "body": data + sse.DONE}


class Background:
    """All background responses that run, wait, or have ended recently."""

    def __init__(self, ledger: Ledger, most: int = MOST) -> None:
        self.admission = Admission(most, math.inf)
        self._ledger = ledger
        self._tasks: TaskGroup | None = None
        self._running: dict[str, Job] = {}
        self._ended: OrderedDict[str, Job] = OrderedDict()
        self._changed = anyio.Event()

    def new_job(self, pause: float) -> Job:
        """Return a job; arguments as for `Job`.

        Raises:
            ApiError: 503, the server is stopping; 429, too many wait already.
        """
        if self.admission.stopping:
            raise _stopped()
        if self.admission.states()["waiting"] >= MOST_WAITING:
            raise too_many_requests(MOST, RETRY_AFTER)
        return Job(pause, lambda: self.admission.stopping)

    def start(self, job: Job, answer: ASGIApp, client: Scope, entry: RequestLogEntry) -> None:
        """Run a job by its answer, which feeds its writer.

        `client` is the scope of the request that created it, `entry` has the id, the key and the model for the log.
        """
        assert self._tasks is not None
        response_id = id_in_store(job.writer.output.frame.id, entry.key_id)
        self._running[response_id] = job
        self._tasks.start_soon(self._run, response_id, job, answer, client, entry)

    def find(self, response_id: str) -> Job | None:
        """Return a job whose events are kept, by the id of its response in the store."""
        return self._running.get(response_id) or self._ended.get(response_id)

    def forget(self, response_id: str) -> None:
        """Drop the events of an ended job, by the id of its response in the store."""
        self._ended.pop(response_id, None)

    async def run(self) -> None:
        """Run the jobs, until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            await anyio.sleep_forever()

    async def stop(self, grace: float) -> None:
        """Start no more jobs, give the running ones up to `grace` seconds, end the rest; return when all are stored."""
        await self.admission.stop(grace)
        with anyio.move_on_after(SETTLING):
            while self._running:
                self._changed = anyio.Event()
                await self._changed.wait()

    async def _run(self, response_id: str, job: Job, answer: ASGIApp, client: Scope, entry: RequestLogEntry) -> None:
        itself = _Client(job.notify)
        entry.method, entry.path, entry.epoch, entry.moment = METHOD, ROUTE, time.time(), now()
        self._ledger.open(entry)
        try:
            with job.scope:
                await answer({**client, ENTRY: entry}, itself.receive, itself.send)
        finally:
            with anyio.CancelScope(shield=True, deadline=anyio.current_time() + SETTLING):
                if not job.writer.ended:
                    self._end(job, itself.error)
                    await job.settle()
            job.ended = True
            job.notify()
            del self._running[response_id]
            self._keep(response_id, job)
            self._changed.set()
            entry.status = itself.status or 200
            self._ledger.close(entry, ROUTE, now(), time.strftime("%Y-%m-%d"))
            log_request(entry)

    def _end(self, job: Job, error: ApiError | None) -> None:
        """End a job whose answer never began: it failed, was cancelled by a client, or is cancelled with the server."""
        if error is not None:
            job.writer.fail(error)
        elif job.scope.cancelled_caught:
            job.writer.cancel()
        else:
            job.writer.stop(_stopped())

    def _keep(self, response_id: str, job: Job) -> None:
        self._ended[response_id] = job
        size = sum([one.log.size for one in self._ended.values()])
        while size > ROOM:
            size -= self._ended.popitem(last=False)[1].log.size


class _Client:
    """The client of a background answer: it reads all of it and never leaves."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._complete = anyio.Event()
        self._body = b""
        self.status: int | None = None

    async def receive(self) -> Message:
        """Receive the end of the connection, which comes after the end of the answer."""
        await self._complete.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the answer, whose events the log has already."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        if self.status != 200:
            self._body += message["body"]
        self._notify()
        if not message.get("more_body", False):
            self._complete.set()

    @property
    def error(self) -> ApiError | None:
        """The failure of an answer that failed before it began."""
        if self.status in {None, 200}:
            return None
        error = orjson.loads(self._body)["error"]
        return ApiError(self.status or 500, error["type"], error["code"], error["message"], error["param"])
