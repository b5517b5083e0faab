"""A test stream without a model: a client at the far end of a tunnel can see how streams arrive.

It consists either of timestamped events with pauses between them, or of a silence with nothing but keep-alive comments.
"""

from __future__ import annotations

import anyio
from msgspec import Struct
from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send

from bridge.errors import invalid_request
from bridge.http.answer import response_start
from bridge.openai import sse

MOST_PIECES = 100
LONGEST_PAUSE = 10.0
LONGEST_SILENCE = 300.0


class SelfTest(Struct, frozen=True):
    """Sends `pieces` events `pause` seconds apart, or keep-alives every `keep_alive` seconds for `silence` seconds."""

    pieces: int
    pause: float
    silence: float
    keep_alive: float

    @classmethod
    def from_query(cls, query: QueryParams, keep_alive: float) -> SelfTest:
        """Read `pieces` and `pause`, or `silence`, from a query string.

        Raises:
            ApiError: 400, a value is not a number or out of range.
        """
        pieces = _number(query, "pieces", 2, MOST_PIECES, 6)
        pause = _number(query, "pause", 0, LONGEST_PAUSE, 0.4)
        return cls(round(pieces), pause, _number(query, "silence", 0, LONGEST_SILENCE, 0), keep_alive)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream until it ends or the client leaves."""
        del scope

        async def until_the_client_leaves() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(until_the_client_leaves)
            await send(response_start(200, sse.HEADERS))
            await (self._send_silence(send) if self.silence else self._send_pieces(send))
            await send({"type": "http.response.body", "body": sse.DONE})
            tasks.cancel_scope.cancel()

    async def _send_pieces(self, send: Send) -> None:
        for number in range(self.pieces):
            if number:
                await anyio.sleep(self.pause)
            await _send_event(send)

    async def _send_silence(self, send: Send) -> None:
        end = anyio.current_time() + self.silence
        await _send_event(send)
        while (left := end - anyio.current_time()) > 0:
            await anyio.sleep(min(left, self.keep_alive))
            await send({"type": "http.response.body", "body": sse.KEEP_ALIVE, "more_body": True})
        await _send_event(send)


async def _send_event(send: Send) -> None:
    event = sse.data({"sent": anyio.current_time()})
    await send({"type": "http.response.body", "body": event, "more_body": True})


def _number(query: QueryParams, name: str, least: float, most: float, default: float) -> float:
    text = query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise invalid_request(f"{name} must be a number from {least:g} to {most:g}.", name, "invalid_value")
    return value
