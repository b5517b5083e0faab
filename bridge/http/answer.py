"""The answer of the model as an ASGI application; here exceptions become error responses.

An answer owns its turn: whatever ends the answer (the client leaves, the server stops, a failure) exits the turn's
`async with` block, which interrupts the turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from time import time
from typing import TYPE_CHECKING, Protocol

import anyio
import orjson
from anyio.abc import TaskGroup
from msgspec import Struct
from starlette.types import Message, Receive, Scope, Send

from bridge.codex.models import reverse
from bridge.conversation.events import Failed, Finished, TurnEvent
from bridge.conversation.reasoning_owners import is_reasoning_refused
from bridge.conversation.turns import Turn
from bridge.conversation.warm_up import WarmUp
from bridge.errors import CONTEXT_TOO_LONG, ApiError, from_codex_error, internal_error, may_be_repeated, unavailable
from bridge.http.access import client_of
from bridge.http.admission import Admission
from bridge.keys.live import LiveKey, key_of
from bridge.openai.clients import as_shown
from bridge.telemetry.ledger import RequestLogEntry, entry_of
from bridge.telemetry.report import quota_headers, with_quota
from codex_rpc.errors import CodexError, ConnectionLostError

if TYPE_CHECKING:
    from bridge.agents.turns import AgentTurn

logger = logging.getLogger(__name__)

WHOLE_PATIENCE = 60.0
"""Seconds after which a whole answer is started and kept alive with white space; tunnels cut it after 100."""

ERROR_PATIENCE = 2.0
"""Seconds for sending the error of an answer, so that a client that does not read delays nothing."""


class Writer(Protocol):
    """Encodes events as the bytes of one answer."""

    media: Mapping[str, str]

    def feed(self, events: Iterable[TurnEvent], choice: int = 0) -> bytes: ...

    def keep_alive(self) -> bytes: ...

    def fail(self, error: ApiError) -> bytes: ...


async def _nothing_to_settle() -> None:
    """Do nothing: most answers store nothing."""


class AnswerPlan(Struct, frozen=True):
    """How to run and write an answer; times are in seconds."""

    run: Callable[[], AbstractAsyncContextManager[Turn | AgentTurn | WarmUp]]
    """Opens one of the answer's turns."""
    new_writer: Callable[[], Writer]
    headers: Mapping[str, str]
    patience: float
    pause: float
    choices: int = 1
    cursor: bool = False
    overflow: Callable[[], bytes] | None = None
    """Returns the answer to send instead of the error that the context is too long."""
    settle: Callable[[], Awaitable[None]] = _nothing_to_settle
    """Called before the client receives the end of an answer that has started."""


def now() -> float:
    """Return the event loop's time, in seconds; with uvloop on macOS it includes time that the machine slept."""
    return asyncio.get_running_loop().time()


def call_at(when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
    """Call `callback` at the time `when`, on the clock of `now`."""
    return asyncio.get_running_loop().call_at(when, callback)


class _Body:
    """The response: started late, so that an early failure keeps its status, and kept alive during silence.

    One timer detects silence; a task is started only when a keep-alive has to be sent.
    """

    def __init__(
        self, send: Send, filler: Callable[[], bytes], media: Mapping[str, str], plan: AnswerPlan, tasks: TaskGroup
    ) -> None:
        self._send = send
        self._tasks = tasks
        self._filler = filler
        self._patience = plan.patience
        self._pause = plan.pause
        self.headers = {**plan.headers, **media}
        self._lock = asyncio.Lock()
        self._last_sent = now()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self.started = False
        self.complete = False
        self.carries_content = False

    async def write(self, data: bytes, *, last: bool = False) -> None:
        self.carries_content = True
        await self._send_part(data, last=last)

    async def send_error(self, error: ApiError) -> None:
        """Send the error as the whole response; no body may follow. The response must not have started."""
        self._ended = True
        await send_error(error, self._send)
        self.complete = True

    async def _send_part(self, data: bytes, *, last: bool) -> None:
        async with self._lock:
            if self._ended:
                return
            self._ended = last
            if not self.started:
                self.started = True
                length = {"content-length": str(len(data))} if last else {}
                await self._send(response_start(200, self.headers | length))
            await self._send({"type": "http.response.body", "body": data, "more_body": not last})
            self._last_sent = now()
            self.complete = last

    def keep_alive(self) -> None:
        """Start the response after `patience` seconds of silence, then send a keep-alive after every pause."""
        self._set_timer(now() + self._patience)

    def close(self) -> None:
        """Stop the keep-alives."""
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, when: float) -> None:
        self._timer = call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        if self.started and now() < self._last_sent + self._pause:
            self._set_timer(self._last_sent + self._pause)
        else:
            self._tasks.start_soon(self._fill)

    async def _fill(self) -> None:
        await self._send_part(self._filler(), last=False)
        if not self._ended:
            self._set_timer(self._last_sent + self._pause)


class Answer:
    """Runs the turns of one request and writes their events."""

    def __init__(self, plan: AnswerPlan, admission: Admission) -> None:
        self._plan = plan
        self._admission = admission
        self._writer = plan.new_writer()
        self._entry = RequestLogEntry()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, whose body has already been read."""
        self._entry = entry_of(scope)
        async with anyio.create_task_group() as tasks:
            # The answer runs in a separate task: each delta resumes the task's whole call stack, so it should be short.
            body = _Body(send, self._keep_alive, self._writer.media, self._plan, tasks)
            tasks.start_soon(self._run, body, client_of(scope), key_of(scope), tasks)
            # A disconnect is received when the client leaves, and when the answer is complete.
            while (await receive())["type"] != "http.disconnect":
                pass
            if not body.complete:
                tasks.cancel_scope.cancel()

    def _keep_alive(self) -> bytes:
        """Return what the current writer sends after a pause; a repeated request has a new one."""
        return self._writer.keep_alive()

    async def _run(self, body: _Body, client: str, key: LiveKey | None, tasks: TaskGroup) -> None:
        try:
            await self._answer(body, client, key)
        finally:
            body.close()
        if not body.complete:
            tasks.cancel_scope.cancel()

    async def _answer(self, body: _Body, client: str, key: LiveKey | None) -> None:
        try:
            with key.until_revoked() if key else nullcontext():
                async with self._admission.answer(client) as stopped:
                    body.keep_alive()
                    await self._write_answer(body)
                if not stopped.cancelled_caught:
                    return
            if key is not None:
                key.check()
            error = unavailable("The server is stopping. Repeat the request in a moment.", 5)
        except ApiError as api_error:
            error = api_error
        except CodexError as codex_error:
            error = from_codex_error(codex_error)
        except Exception:
            logger.exception("an answer failed unexpectedly")
            error = internal_error()
        self._entry.error = error.name
        with anyio.move_on_after(ERROR_PATIENCE):
            if self._plan.overflow and error.code == CONTEXT_TOO_LONG and not body.carries_content:
                await body.write(self._plan.overflow(), last=True)
            elif body.started:
                logger.warning("an answer failed after it had started: %s", error)
                end = self._writer.fail(error)
                await self._plan.settle()
                await body.write(end, last=True)
            else:
                await body.send_error(as_shown(error, cursor=self._plan.cursor))

    async def _write_answer(self, body: _Body) -> None:
        """Write the answer; repeat the request once if that may help and the client has received no content.

        It helps if codex dies, and if the upstream refuses encrypted reasoning, which is then left out.
        """
        try:
            await self._write_turns(body)
        except (ConnectionLostError, ApiError) as error:
            may_help = isinstance(error, ConnectionLostError) or (
                is_reasoning_refused(error) and may_be_repeated(error)
            )
            if body.carries_content or not may_help:
                raise
            logger.warning("repeating a request whose answer had not started: %s", error)
            self._writer = self._plan.new_writer()
            await self._write_turns(body)

    async def _write_turns(self, body: _Body) -> None:
        endings: list[bytes] = []
        if self._plan.choices == 1:
            await self._write_turn(body, 0, endings)
        else:
            await self._write_choices(body, endings)
        await self._plan.settle()
        await body.write(b"".join(endings), last=True)

    async def _write_choices(self, body: _Body, endings: list[bytes]) -> None:
        """Run one turn per choice concurrently; the first failure ends them all."""
        failures: list[Exception] = []

        async def write(choice: int) -> None:
            try:
                await self._write_turn(body, choice, endings)
            except Exception as error:  # noqa: BLE001 - raised below, outside the group
                failures.append(error)
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for choice in range(self._plan.choices):
                tasks.start_soon(write, choice)
        if failures:
            raise failures[0]

    async def _write_turn(self, body: _Body, choice: int, endings: list[bytes]) -> None:
        """Write a turn except its end, which is sent last, after all threads are back in the pool."""
        async with self._plan.run() as turn:
            quota = quota_headers(turn.quota, time())
            body.headers |= {"x-codex-proxy-thread": turn.thread_outcome, **quota, **self._plan.headers}
            self._entry.thread = turn.thread_outcome
            while True:
                events = await turn.next_events()
                if turn.rerouted_to is not None:
                    body.headers["x-codex-proxy-rerouted-model"] = reverse(turn.rerouted_to)
                self._entry.record(events, now())
                last = events[-1]
                if isinstance(last, Failed):
                    events.pop()
                data = self._writer.feed(events, choice)
                if isinstance(last, Finished):
                    endings.append(data)
                    return
                if data:
                    await body.write(data)
                if isinstance(last, Failed):
                    raise with_quota(last.error, turn.quota, time())


async def send_error(error: ApiError, send: Send) -> None:
    """Send a whole error response."""
    body = orjson.dumps(error.body())
    headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
    await send(response_start(error.status, headers))
    await send({"type": "http.response.body", "body": body})


def response_start(status: int, headers: Mapping[str, str]) -> Message:
    """Return the ASGI message that begins a response."""
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": raw}
