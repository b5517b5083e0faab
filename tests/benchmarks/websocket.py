"""A client of the proxy's own WebSocket, which sends only what is new in its conversation."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

from tests.benchmarks.subjects import MODEL, Heard


class WebSocketConversation:
    """A chain of responses over one connection."""

    def __init__(self, port: int) -> None:
        self._address = f"ws://127.0.0.1:{port}/v1/responses"
        self._connection: ClientConnection | None = None
        self._last: str | None = None

    async def ask(self, script: Mapping[str, Any]) -> Heard:
        """Send the script as the next user message; return when the answer is complete."""
        if self._connection is None:
            self._connection = await connect(self._address)
            weakref.finalize(self, self._connection.transport.close).atexit = False
        heard = Heard()
        await self._connection.send(orjson.dumps(self._request(orjson.dumps(script).decode())).decode())
        async for frame in self._connection:
            match orjson.loads(frame):
                case {"type": "response.output_text.delta", "delta": str(text)}:
                    heard.hear(text)
                case {"type": "response.completed", "response": {"id": str(response_id)}}:
                    self._last = response_id
                    return heard
                case {"type": "error" | "response.failed" | "response.incomplete"} as failed:
                    raise AssertionError(failed)
                case _:
                    pass
        raise AssertionError("the connection was closed")

    def _request(self, said: str) -> dict[str, Any]:
        chain = {} if self._last is None else {"previous_response_id": self._last}
        item = {"type": "message", "role": "user", "content": said}
        return {"type": "response.create", "model": MODEL, "store": False, "input": [item], **chain}
