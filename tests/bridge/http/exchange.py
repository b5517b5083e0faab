"""The server's side of one ASGI exchange, for tests: records the response and rejects what HTTP does not allow."""

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
    """One request and its response; the client reads everything at once unless it is told to stop."""

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
        """Return the request; then wait until the client leaves or has the whole answer, as ASGI requires."""
        if self._to_receive:
            return self._to_receive.pop()
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Record a part of the answer; wait first if the client does not read, like a server with a full buffer."""
        self._sending.set()
        if not self._reading.is_set():
            await self._reading.wait()
        self._record(message)
        self._sent.set()

    def _record(self, message: Mapping[str, Any]) -> None:
        assert not self.complete, f"{message} was sent after the end of the answer"
        if message["type"] == "http.response.start":
            assert self.status is None, f"the answer started a second time with {message}"
            names = [name.decode("latin-1") for name, _ in message["headers"]]
            assert len(names) == len(set(names)), f"a header occurs twice in {message}"
            self.status = message["status"]
            self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        else:
            assert message["type"] == "http.response.body", f"{message} is not part of an answer"
            assert self.status is not None, f"{message} was sent before the answer started"
            self.body += message.get("body", b"")
            self.parts += 1
            self.complete = not message.get("more_body", False)
            if self.complete:
                self._gone.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the parts sent so far fulfil the condition."""
        while not condition():
            self._sent = anyio.Event()
            await self._sent.wait()

    def leave(self) -> None:
        """Let the client disconnect."""
        self._gone.set()

    def stop_reading(self) -> None:
        """Let the client stop reading but stay connected."""
        self._reading = anyio.Event()
        self._sending = anyio.Event()

    def read_on(self) -> None:
        """Let the client read again."""
        self._reading.set()

    async def until_something_is_held_up(self) -> None:
        """Wait until the application tries to send to a client that has stopped reading."""
        await self._sending.wait()
