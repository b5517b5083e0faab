"""The server's side of one ASGI exchange, by hand: records what is sent, and refuses what HTTP does not allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
from starlette.types import Message, Scope


def http_scope(
    path: str, method: str = "GET", headers: Mapping[str, str] | None = None, peer: str | None = "127.0.0.1"
) -> Scope:
    """Return the scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()],
        "client": None if peer is None else (peer, 50000),
        "server": ("testserver", 80),
    }


class Exchange:
    """One request and what answers it; the client reads everything at once unless it is told to stop."""

    def __init__(self, body: bytes = b"") -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = b""
        self.parts = 0
        self.complete = False
        self._to_receive: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        self._gone = anyio.Event()
        self._reading = anyio.Event()
        self._reading.set()
        self._sent = anyio.Event()
        self._sending = anyio.Event()

    async def receive(self) -> Message:
        """Give the request, then nothing until the client leaves or has the whole answer, as ASGI asks."""
        if self._to_receive:
            return self._to_receive.pop()
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Record a part of the answer as soon as the client reads it, at once if it does, as a server's buffer does."""
        self._sending.set()
        if not self._reading.is_set():
            await self._reading.wait()
        self._record(message)
        self._sent.set()

    def _record(self, message: Mapping[str, Any]) -> None:
        assert not self.complete, f"after the end of the answer came {message}"
        if message["type"] == "http.response.start":
            assert self.status is None, f"the answer began a second time with {message}"
            names = [name.decode("latin-1") for name, _ in message["headers"]]
            assert len(names) == len(set(names)), f"a header stands twice in {message}"
            self.status = message["status"]
            self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        else:
            assert message["type"] == "http.response.body", f"no part of an answer: {message}"
            assert self.status is not None, f"before the answer began came {message}"
            self.body += message.get("body", b"")
            self.parts += 1
            self.complete = not message.get("more_body", False)
            if self.complete:
                self._gone.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what was sent fulfils the condition."""
        while not condition():
            self._sent = anyio.Event()
            await self._sent.wait()

    def leave(self) -> None:
        """The client goes away."""
        self._gone.set()

    def stop_reading(self) -> None:
        """The client takes nothing more, and stays."""
        self._reading = anyio.Event()
        self._sending = anyio.Event()

    def read_on(self) -> None:
        """The client takes what is waiting and what will come."""
        self._reading.set()

    async def until_something_is_held_up(self) -> None:
        """Wait until the application tries to send to a client that has stopped reading."""
        await self._sending.wait()
