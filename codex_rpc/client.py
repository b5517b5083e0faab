"""Drives a `Peer` over a byte stream: one task reads, one writes, and the reader never waits for anybody.

Events go to the inbox of their thread; calls of codex are refused unless somebody knows better; when the connection
ends, everyone who waits is told at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import anyio

from codex_rpc.background import running
from codex_rpc.calls import Call, initialize
from codex_rpc.delta_lines import DeltaLines
from codex_rpc.errors import (
    OVERLOADED,
    CodexError,
    ConnectionLostError,
    DeadlineExceededError,
    OverloadedError,
    ProtocolError,
    RequestRefusedError,
)
from codex_rpc.framing import LineSplitter
from codex_rpc.inbox import Inbox
from codex_rpc.messages import ErrorResponse, Notification, Request, RequestId, Response
from codex_rpc.outgoing import Outgoing
from codex_rpc.peer import Peer
from codex_rpc.process import ByteStream
from codex_rpc.protocol import (
    AccountChanged,
    LoginCompleted,
    MessageDelta,
    QuotaReported,
    read_event,
    read_request,
)
from codex_rpc.quota import Quota, updated

logger = logging.getLogger(__name__)

T = TypeVar("T")

CALL_DEADLINE = 30.0
"""Seconds. codex answers every call within milliseconds; a longer wait means that it never will."""
WINDOW = 32
"""How many callers codex has requests of at once, two of each at the most; others wait. It takes 128 messages; of more
it refuses some, and some of these without a word."""
WAY_OUT = 48
"""How many more callers codex has a request of that ends something: who leaves does not wait behind all who come."""
OVERLOAD_PAUSE = 0.05
"""Seconds before an overloaded codex is asked again; doubled each time, with jitter, within the call's deadline."""
LAST_OUTPUT = 1.0
"""Seconds in which the output of a codex that reads no more should end too: as a rule the process has ended."""


_Waiter: TypeAlias = "asyncio.Future[Response | ErrorResponse | None]"
"""Gets the answer to a call; None when the connection ends."""


class Client:
    """A live connection to codex. Made by `connect`."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._peer = Peer()
        self._waiters: dict[RequestId, _Waiter] = {}
        self._inboxes: dict[str, Inbox] = {}
        self._delta_lines = DeltaLines()
        self._outgoing = Outgoing(stream)
        self._window = anyio.Semaphore(WINDOW, fast_acquire=True)
        self._way_out = anyio.Semaphore(WAY_OUT, fast_acquire=True)
        self._lost: CodexError | None = None
        self._ended = anyio.Event()
        self._logins: dict[str | None, LoginCompleted] = {}
        self._login_ended = anyio.Event()
        self._unsubscribed = anyio.Event()
        self.account_changes = 0
        self.quota: Quota = {}
        """What is known of the account's quota; told by codex beside the answers."""
        self.user_agent = ""

    # ── for callers ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def call(self, call: Call[T], deadline: float = CALL_DEADLINE, *, shield: bool = False) -> T:
        """Send a request and return its result; an overloaded codex is asked again, all within `deadline` seconds.

        With `shield` the answer is awaited even if the caller is cancelled: it names something that must be undone. Who
        is cancelled before codex is asked does not ask any more, except to end something.

        Raises:
            RequestRefusedError: codex answered with an error.
            OverloadedError: codex had too much to do all the time.
            DeadlineExceededError: codex did not answer in time.
            ConnectionLostError: the connection ended.
            UnsendableError: codex could not parse the parameters.
            ProtocolError: the result is not what the protocol promises.
        """
        pause = OVERLOAD_PAUSE
        overload: OverloadedError | None = None
        with anyio.move_on_after(deadline, shield=shield and call.ends) as scope:
            while True:
                [(failure, result)] = await self._send(scope, call, shield=shield)
                if failure is None:
                    return result
                if not isinstance(failure, OverloadedError):
                    raise failure
                overload = failure
                logger.debug("codex is overloaded; asking %s again in about %.2f s", call.method, pause)
                await anyio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
                pause *= 2
        raise overload or DeadlineExceededError(f"codex did not answer {call.method} within {deadline:g} seconds")

    async def call_both(
        self, first: Call[Any], second: Call[T], deadline: float = CALL_DEADLINE
    ) -> tuple[CodexError | None, T]:
        """Send two requests for one thread in one write: codex takes them in order, and a round trip is saved.

        Return what the first failed with, if it did, and the result of the second, which codex took all the same and
        which is to be undone then. What is raised is as for `call` with `shield`; the second was not taken.
        """
        with anyio.move_on_after(deadline) as scope:
            (failure, _), (refusal, result) = await self._send(scope, first, second, shield=True)
            if refusal is not None:
                raise failure or refusal
            return failure, result
        methods = f"{first.method} and {second.method}"
        raise DeadlineExceededError(f"codex did not answer {methods} within {deadline:g} seconds")

    def subscribe(self, thread_id: str) -> Inbox:
        """Collect the events of a thread from now on."""
        inbox = self._inboxes[thread_id] = Inbox()
        if self._lost is not None:
            inbox.fail(self._lost)
        return inbox

    def unsubscribe(self, thread_id: str) -> None:
        """Skip the events of a thread from now on, and refuse what codex asks for it."""
        if inbox := self._inboxes.pop(thread_id, None):
            inbox.close()
        self._delta_lines.forget(thread_id)
        self._unsubscribed.set()

    def answer(self, request: Request, result: Any) -> None:
        """Answer a call of codex; after the connection has ended nothing happens.

        Raises:
            UnsendableError: codex could not parse the result.
        """
        self._outgoing.put(self._peer.answer(request, result))

    async def login_outcome(self, login_id: str) -> LoginCompleted:
        """Wait until a login that was begun on this connection is over, however long its person takes.

        Raises:
            ConnectionLostError: the connection ended.
        """
        while login_id not in self._logins:
            if self._lost is not None:
                raise self._lost.with_traceback(None)
            self._login_ended = anyio.Event()
            await self._login_ended.wait()
        return self._logins.pop(login_id)

    @property
    def alive(self) -> bool:
        """Whether the connection has not ended yet."""
        return self._lost is None

    async def wait_for_end(self) -> CodexError:
        """Wait until the connection has ended; return why."""
        await self._ended.wait()
        return self._lost or ConnectionLostError("the connection to codex ended")

    async def wait_until_unused(self) -> None:
        """Wait until nobody subscribes to a thread."""
        while self._inboxes:
            self._unsubscribed = anyio.Event()
            await self._unsubscribed.wait()

    # ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _send(
        self, scope: anyio.CancelScope, *calls: Call[Any], shield: bool
    ) -> list[tuple[CodexError | None, Any]]:
        """Write requests, all at once, and return what came of each: its failure, or None and its result.

        From then on `scope` is shielded if `shield` says so.
        """
        loop = asyncio.get_running_loop()
        sent: list[tuple[RequestId, bytes]] = []
        async with self._way_out if calls[0].ends else self._window:
            scope.shield = shield
            if self._lost is not None:
                raise self._lost.with_traceback(None)
            waiters: list[_Waiter] = []
            try:
                for call in calls:
                    sent.append(self._peer.call(call.method, call.params))
                for request_id, line in sent:
                    waiters.append(loop.create_future())
                    self._waiters[request_id] = waiters[-1]
                    self._outgoing.put(line)
                answers = [await waiter for waiter in waiters]
            finally:
                for request_id, line in sent:
                    self._waiters.pop(request_id, None)
                    self._peer.forget(request_id)
                    self._outgoing.take_back(line)
        return [self._outcome(call, answer) for call, answer in zip(calls, answers, strict=True)]

    def _outcome(self, call: Call[T], answer: Response | ErrorResponse | None) -> tuple[CodexError | None, T | None]:
        match answer:
            case None:
                return self._lost or ConnectionLostError("the connection to codex ended"), None
            case ErrorResponse(_, code, message, data):
                refusal = OverloadedError if code == OVERLOADED else RequestRefusedError
                return refusal(call.method, code, message, data), None
            case Response(_, result):
                try:
                    return None, call.read(result)
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    failure = ProtocolError(f"codex answered {call.method} with an unexpected result: {error!r}")
                    return failure, None

    # ── the two tasks ────────────────────────────────────────────────────────────────────────────────────────────────

    async def read_to_the_end(self) -> None:
        """Read until the stream ends or cannot be read on; then tell everyone who waits."""
        splitter = LineSplitter()
        reason = "the codex process ended"

        def take(data: bytes) -> None:
            for line in splitter.feed(data):
                self._arrived(line)

        try:
            await self._stream.read(take)
            logger.debug("codex's last words:\n%s", self._stream.last_words())
        except ProtocolError as error:
            reason = f"the connection to codex is unusable: {error}"
        finally:
            self._end(ConnectionLostError(reason))

    async def write_forever(self) -> None:
        """Write what is put out; when that fails, tell everyone who waits."""
        try:
            await self._outgoing.write_forever()
        except OSError:
            with anyio.move_on_after(LAST_OUTPUT):
                await self._ended.wait()
            self._end(ConnectionLostError("the codex process no longer reads its input"))

    def _end(self, failure: CodexError) -> None:
        if self._lost is not None:
            return
        self._lost = failure
        for waiter in self._waiters.values():
            if not waiter.done():
                waiter.set_result(None)
        for inbox in self._inboxes.values():
            inbox.fail(failure)
        self._login_ended.set()
        self._ended.set()

    def _arrived(self, line: bytes) -> None:
        if (more := self._delta_lines.read(line)) is not None:
            earlier, text = more
            self._inboxes[earlier.thread_id].put_text(earlier, text, len(line))
            return
        try:
            message = self._peer.receive(line)
        except ProtocolError as error:
            logger.warning("skipped a line of codex: %s", error)
            return
        match message:
            case Notification(method, params):
                self._notified(method, params, line)
            case Response(request_id) | ErrorResponse(request_id):
                if not (waiter := self._waiters[request_id]).done():
                    waiter.set_result(message)
            case Request():
                self._asked(message, len(line))
            case None:
                logger.debug("skipped an answer that nobody waits for any more")

    def _notified(self, method: str, params: Any, line: bytes) -> None:
        try:
            event = read_event(method, params)
            if event is None:
                return
            if isinstance(event, AccountChanged | LoginCompleted):
                self.account_changes += 1
                if isinstance(event, LoginCompleted):
                    self._logins[event.login_id] = event
                    self._login_ended.set()
            elif isinstance(event, QuotaReported):
                self.quota = updated(self.quota, event.limit)
            elif inbox := self._inboxes.get(event.thread_id):
                inbox.put(event, len(line))
                if isinstance(event, MessageDelta):
                    self._delta_lines.learn(line, event)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            logger.warning("skipped a %s notification of codex: %r", method, error)

    def _asked(self, request: Request, size: int) -> None:
        try:
            asked = read_request(request)
            if asked is not None and (inbox := self._inboxes.get(asked.thread_id)):
                inbox.put(asked, size)
                return
        except (KeyError, TypeError) as error:
            logger.warning("a %s request of codex cannot be read: %r", request.method, error)
        logger.info("refused %s, which codex asked for", request.method)
        self._outgoing.put(self._peer.refuse(request, "this client does not support it"))

    def start_session(self, user_agent: str) -> None:
        """Finish the handshake."""
        self.user_agent = user_agent
        self._outgoing.put(self._peer.notify("initialized"))


@asynccontextmanager
async def connect(stream: ByteStream, name: str, version: str) -> AsyncGenerator[Client]:
    """Shake hands over `stream` and yield a client that lives as long as the block.

    Raises:
        CodexError: codex refused the handshake, or ended during it.
    """
    client = Client(stream)
    async with running(client.read_to_the_end, client.write_forever):
        client.start_session(await client.call(initialize(name, version)))
        yield client
