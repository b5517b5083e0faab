"""Our end of the connection as a value: mints request ids, remembers which are open, sorts what arrives.

Never waits, never does IO, never looks at a clock.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from codex_rpc.wire.messages import ErrorResponse, Notification, Request, RequestId, Response, decode, encode

METHOD_NOT_FOUND = -32601

Arrival: TypeAlias = Request | Notification | Response | ErrorResponse | None


class Peer:
    """Bookkeeping of one JSON-RPC connection."""

    def __init__(self) -> None:
        self._last_id = 0
        self._open: dict[RequestId, str] = {}

    def call(self, method: str, params: Any) -> tuple[int, bytes]:
        """Return a new request's id and its line; the id is open until it is answered or forgotten.

        Raises:
            UnsendableError: codex could not parse the line.
        """
        request_id = self._last_id + 1
        line = encode(Request(request_id, method, params))
        self._last_id = request_id
        self._open[request_id] = method
        return request_id, line

    def notify(self, method: str, params: Any = None) -> bytes:
        """Return the line of a notification."""
        return encode(Notification(method, params))

    def answer(self, request: Request, result: Any) -> bytes:
        """Return the line that answers a call of codex."""
        return encode(Response(request.id, result))

    def refuse(self, request: Request, message: str) -> bytes:
        """Return the line that refuses a call of codex."""
        return encode(ErrorResponse(request.id, METHOD_NOT_FOUND, message))

    def receive(self, line: bytes) -> Arrival:
        """Read one line; an answer nobody waits for (its caller gave up) becomes None.

        Raises:
            ProtocolError: the line is no message.
        """
        message = decode(line)
        if isinstance(message, Response | ErrorResponse) and self._open.pop(message.id, None) is None:
            return None
        return message

    def forget(self, request_id: RequestId) -> None:
        """Stop waiting for an answer; it is skipped when it comes."""
        self._open.pop(request_id, None)
