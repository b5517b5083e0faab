"""Asks codex: sends requests, so many at once and no more, and waits for their answers.

Who is asked about something that must be undone gets the answer even when nobody wants it any more.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any, TypeAlias, TypeVar

import anyio

from codex_rpc.client.outgoing import Outgoing
from codex_rpc.errors import (
    OVERLOADED,
    CodexError,
    ConnectionLostError,
    DeadlineExceededError,
    OverloadedError,
    ProtocolError,
    RequestRefusedError,
)
from codex_rpc.wire.calls import Call
from codex_rpc.wire.messages import ErrorResponse, RequestId, Response
from codex_rpc.wire.peer import Peer

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


_Waiter: TypeAlias = "asyncio.Future[Response | ErrorResponse | None]"
"""Gets the answer to a call; None when the connection ends."""


class Caller:
    """The calling half of a connection."""

    def __init__(self, peer: Peer, outgoing: Outgoing) -> None:
        self._peer = peer
        self._outgoing = outgoing
        self._waiters: dict[RequestId, _Waiter] = {}
        self._window = anyio.Semaphore(WINDOW, fast_acquire=True)
        self._way_out = anyio.Semaphore(WAY_OUT, fast_acquire=True)
        self._lost: CodexError | None = None
        """Why the connection has ended, if it has."""

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
