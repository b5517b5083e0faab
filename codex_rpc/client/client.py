"""A live connection to codex: one task reads, one writes, and the reader never waits for a consumer.

Events go to the inbox of their thread. Requests of codex are refused, except tool calls and requests for approval of a
subscribed thread; an approval that nothing subscribes to is declined. When the connection ends, everything that waits
on it fails at once.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import anyio
from msgspec import ValidationError

from codex_rpc.background import running
from codex_rpc.client.caller import Caller
from codex_rpc.client.inbox import Inbox
from codex_rpc.client.outgoing import Outgoing
from codex_rpc.errors import CodexError, ConnectionLostError, ProtocolError
from codex_rpc.process.process import ByteStream
from codex_rpc.quota import Quota, updated
from codex_rpc.wire.approvals import ApprovalAsked, approval_result
from codex_rpc.wire.calls import UNWANTED, initialize
from codex_rpc.wire.delta_lines import DeltaLines
from codex_rpc.wire.events import AccountChanged, Event, LoginCompleted, MessageDelta, QuotaReported, ToolCallAsked
from codex_rpc.wire.framing import LineSplitter
from codex_rpc.wire.messages import ErrorResponse, Notification, Request, Response
from codex_rpc.wire.peer import Peer
from codex_rpc.wire.protocol import read_event, read_request

logger = logging.getLogger(__name__)

ReadEvent: TypeAlias = Callable[[str, Any], Event | None]
"""Reads a notification by its method and parameters: `read_event` or `read_agent_event`."""

ReadRequest: TypeAlias = Callable[[Request], ToolCallAsked | ApprovalAsked | None]
"""Reads a request of codex: `read_request` or `read_agent_request`."""

LAST_OUTPUT = 1.0
"""Seconds. When codex stops reading, the process has usually ended and its output ends within this time."""


class Client(Caller):
    """The calls and the events of one byte stream. Made by `connect`."""

    def __init__(
        self, stream: ByteStream, read: ReadEvent = read_event, read_asked: ReadRequest = read_request
    ) -> None:
        super().__init__(Peer(), Outgoing(stream))
        self._stream = stream
        self._read_event = read
        self._read_request = read_asked
        self._inboxes: dict[str, Inbox] = {}
        self._delta_lines = DeltaLines()
        self._ended = anyio.Event()
        self._logins: dict[str | None, LoginCompleted] = {}
        self._login_ended = anyio.Event()
        self._unsubscribed = anyio.Event()
        self.account_changes = 0
        self.quota: Quota = {}
        """What is known of the account's quota; codex reports it along with answers."""
        self.user_agent = ""

    # ── for callers ──────────────────────────────────────────────────────────────────────────────────────────────────

    def subscribe(self, thread_id: str) -> Inbox:
        """Start to collect the events of a thread."""
        inbox = self._inboxes[thread_id] = Inbox()
        if self._lost is not None:
            inbox.fail(self._lost)
        return inbox

    def unsubscribe(self, thread_id: str) -> None:
        """Stop collecting the events of a thread; its requests are refused."""
        if inbox := self._inboxes.pop(thread_id, None):
            inbox.close()
        self._delta_lines.forget(thread_id)
        self._unsubscribed.set()

    def answer(self, request: Request, result: Any) -> None:
        """Answer a request of codex; does nothing if the connection has ended.

        Raises:
            UnsendableError: codex could not parse the result.
        """
        self._outgoing.put(self._peer.answer(request, result))

    async def login_outcome(self, login_id: str) -> LoginCompleted:
        """Wait, without a deadline, until a login that was begun on this connection is over.

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
        """Whether the connection is open."""
        return self._lost is None

    async def wait_for_end(self) -> CodexError:
        """Wait until the connection has ended; return why."""
        await self._ended.wait()
        return self._lost or ConnectionLostError("the connection to codex ended")

    async def wait_until_unused(self) -> None:
        """Wait until no thread is subscribed to."""
        while self._inboxes:
            self._unsubscribed = anyio.Event()
            await self._unsubscribed.wait()

    # ── the two tasks ────────────────────────────────────────────────────────────────────────────────────────────────

    async def read_to_the_end(self) -> None:
        """Read until the stream ends or becomes unreadable; then fail everything that waits."""
        splitter = LineSplitter()
        reason = "the codex process ended"

        def take(data: bytes) -> None:
            for line in splitter.feed(data):
                self._arrived(line)

        try:
            await self._stream.read(take)
            logger.debug("the last lines of codex's stderr:\n%s", self._stream.last_words())
        except ProtocolError as error:
            reason = f"the connection to codex is unusable: {error}"
        finally:
            self._end(ConnectionLostError(reason))

    async def write_forever(self) -> None:
        """Write the outgoing lines; when that fails, fail everything that waits."""
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
            logger.warning("skipped a line from codex: %s", error)
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
                logger.debug("skipped an answer to a call that was given up")

    def _notified(self, method: str, params: Any, line: bytes) -> None:
        try:
            event = self._read_event(method, params)
        except ValidationError as error:
            logger.warning("skipped a %s notification from codex: %s", method, error)
            return
        match event:
            case None:
                pass
            case AccountChanged():
                self.account_changes += 1
            case LoginCompleted(login_id=login_id):
                self.account_changes += 1
                self._logins[login_id] = event
                self._login_ended.set()
            case QuotaReported(limit=limit):
                self.quota = updated(self.quota, limit)
            case _:
                if inbox := self._inboxes.get(event.thread_id):
                    inbox.put(event, len(line))
                    if isinstance(event, MessageDelta):
                        self._delta_lines.learn(line, event)

    def _asked(self, request: Request, size: int) -> None:
        try:
            asked = self._read_request(request)
            if asked is not None and (inbox := self._inboxes.get(asked.thread_id)):
                inbox.put(asked, size)
                return
            if isinstance(asked, ApprovalAsked):
                logger.info("declined what a thread without a client asked for: %s", request.method)
                self.answer(request, approval_result(asked.question, accepted=False))
                return
        except ValidationError as error:
            logger.warning("malformed %s request from codex: %s", request.method, error)
        logger.info("refused a %s request from codex", request.method)
        self._outgoing.put(self._peer.refuse(request, "this client does not support it"))

    def start_session(self, user_agent: str) -> None:
        """Finish the handshake."""
        self.user_agent = user_agent
        self._outgoing.put(self._peer.notify("initialized"))


@asynccontextmanager
async def connect(
    stream: ByteStream,
    name: str,
    version: str,
    *,
    unwanted: Sequence[str] = UNWANTED,
    read: ReadEvent = read_event,
    read_asked: ReadRequest = read_request,
) -> AsyncGenerator[Client]:
    """Shake hands over `stream` and yield a client that lives as long as the block.

    `unwanted` are the notifications that codex does not send to it. `read` decides which of the others become events
    of a thread, and `read_asked` which requests; other requests are refused.

    Raises:
        CodexError: codex refused the handshake, or ended during it.
    """
    client = Client(stream, read, read_asked)
    async with running(client.read_to_the_end, client.write_forever):
        client.start_session(await client.call(initialize(name, version, unwanted)))
        yield client
