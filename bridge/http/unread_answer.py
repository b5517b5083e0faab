"""Gives up an answer whose client stays connected but does not read.

The server's buffers are then full and `send` waits without limit, while the answer holds one of `--answers` and its
turn runs on. One timer for each answer costs less than a limit around each send.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import Message, Send

from bridge.http.answer import call_at, now

PART = 64 * 1024
"""Most bytes sent at once: a client that takes less than that in the time counts as one that does not read."""


class UnreadAnswer:
    """Wraps the server's `send` for one request; calls `give_up` when a part takes more than `patience` seconds."""

    def __init__(self, send: Send, patience: float, give_up: Callable[[], None]) -> None:
        self._send = send
        self._patience = patience
        self._give_up = give_up
        self._since: float | None = None
        """Since when a part is being sent."""
        self._timer = call_at(now() + patience, self._check)

    async def send(self, message: Message) -> None:
        """Send a message, a large body in parts."""
        body = message.get("body", b"")
        if len(body) > PART:
            for start in range(0, len(body), PART):
                part, more = body[start : start + PART], start + PART < len(body) or message.get("more_body", False)
                await self._send_part({**message, "body": part, "more_body": more})
        else:
            await self._send_part(message)

    def close(self) -> None:
        """Stop the timer."""
        self._timer.cancel()

    async def _send_part(self, message: Message) -> None:
        self._since = now()
        await self._send(message)
        self._since = None

    def _check(self) -> None:
        start = now() if self._since is None else self._since
        if now() >= start + self._patience:
            self._give_up()
        else:
            self._timer = call_at(start + self._patience, self._check)
