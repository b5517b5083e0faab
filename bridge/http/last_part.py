"""Sends the last part of an answer only after the whole request has arrived, and only while the client is connected.

1. A client that is refused while it still sends reads the refusal only after it has sent everything. Closing the
   connection earlier would reset it, and the client would see the reset alone. So the unread rest of the body is read
   and discarded, for a bounded time.
2. Hypercorn 0.18 waits forever for an HTTP/2 client to read the last part, even when the client has left.
"""

from __future__ import annotations

import anyio
from starlette.types import Message, Receive, Scope, Send

LINGER = 30.0
"""Most seconds for which the rest of a body is read."""

LINGER_PAUSE = 5.0
"""Seconds without new data after which the rest of a body is no longer read."""


class LastPart:
    """Wraps the server's `receive` and `send` for one request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._may_wait = scope["http_version"] not in {"1.0", "1.1"}
        self._receive = receive
        self._send = send
        self._complete = False
        """Whether nothing more of the request will arrive: the body has ended, or the client has left."""

    async def receive(self) -> Message:
        """Receive a message for the application."""
        message = await self._receive()
        self._complete = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send the last part of the body."""
        if not self._complete:
            await self._send({**message, "more_body": True})
            await self._discard()
            message = {"type": "http.response.body", "body": b""}
        if not self._may_wait:
            await self._send(message)
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._stop_when_the_client_leaves, tasks.cancel_scope)
            await self._send(message)
            tasks.cancel_scope.cancel()

    async def _discard(self) -> None:
        with anyio.move_on_after(LINGER):
            while not self._complete:
                with anyio.move_on_after(LINGER_PAUSE) as pause:
                    await self.receive()
                if pause.cancelled_caught:
                    return

    async def _stop_when_the_client_leaves(self, sending: anyio.CancelScope) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        sending.cancel()
