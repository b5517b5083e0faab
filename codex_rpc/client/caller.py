"""Calls codex: sends a limited number of requests at once and waits for their answers.

Calls whose result must be undone later are awaited even if the caller is cancelled.
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
"""Seconds. codex answers a call within milliseconds; if it takes longer than this, it never will."""
WINDOW = 32
"""How many callers may have open requests at once, each at most two; others wait. codex queues 128 messages; beyond
that it refuses some, and silently drops some of these."""
WAY_OUT = 48
"""How many further callers may have an open request that ends something; such calls do not wait for the others."""
OVERLOAD_PAUSE = 0.05
"""Seconds before an overloaded codex is called again; doubled each time, with jitter, within the call's deadline."""

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
        """Send a request and return its result; an overloaded codex is called again, all within `deadline` seconds.

        With `shield` the answer is awaited even if the caller is cancelled, because the result must be undone later. A
        call that is cancelled before it is sent is not sent, unless it ends something.

        Raises:
            RequestRefusedError: codex answered with an error.
            OverloadedError: codex was overloaded until the deadline.
            DeadlineExceededError: codex did not answer in time.
            ConnectionLostError: the connection ended.
            UnsendableError: codex could not parse the parameters.
            ProtocolError: the result does not fit the schema.
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
                logger.debug("codex is overloaded; calling %s again in about %.2f s", call.method, pause)
                await anyio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
                pause *= 2
        raise overload or DeadlineExceededError(f"codex did not answer {call.method} within {deadline:g} seconds")

    async def call_both(
        self, first: Call[Any], second: Call[T], deadline: float = CALL_DEADLINE
    ) -> tuple[CodexError | None, T]:
        """Send two requests for one thread in one write: codex handles them in order, and a round trip is saved.

        Return the failure of the first, if any, and the result of the second. codex carries out the second even if the
        first fails; the caller must then undo it. If the second fails, raises the failure of the first, or else its
        own, as `call` does with `shield`.
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
        """Write the requests at once; return for each its failure, or None and its result.

        Sets `scope.shield` to `shield` before it writes.
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
