"""Sends the last part of an answer: after the whole request has come, and only while the client is there.

1. A client that is refused while it still sends reads the refusal only when it has sent everything. What the
   application leaves unread of the body is therefore read and thrown away, for a bounded time; closing the connection
   earlier would reset it, and the client would see no more than that.
2. Hypercorn 0.18 waits without end for an HTTP/2 client to take the last part, even when the client has left.
"""

from __future__ import annotations

import anyio
from starlette.types import Message, Receive, Scope, Send

LINGER = 30.0
"""Seconds for which the rest of a body is read."""

LINGER_PAUSE = 5.0
"""Seconds without any more of the body after which the client is no longer waited for."""


class LastPart:
    """Stands between the server and the application for the length of one request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._may_wait = scope["http_version"] not in {"1.0", "1.1"}
        self._receive = receive
        self._send = send
        self._complete = False
        """Whether no more of the request will come: the body has ended, or the client has left."""

    async def receive(self) -> Message:
        """Called by the application."""
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
