"""The state of our end of the connection: assigns request ids, remembers the open ones, matches answers to them.

Never waits, does IO or looks at a clock.
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
        """Return the id and the line of a new request; the id is open until it is answered or forgotten.

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
        """Return the line that answers a request of codex."""
        return encode(Response(request.id, result))

    def refuse(self, request: Request, message: str) -> bytes:
        """Return the line that refuses a request of codex."""
        return encode(ErrorResponse(request.id, METHOD_NOT_FOUND, message))

    def receive(self, line: bytes) -> Arrival:
        """Read one line; an answer to a call that was given up becomes None.

        Raises:
            ProtocolError: the line is not a message.
        """
        message = decode(line)
        if isinstance(message, Response | ErrorResponse) and self._open.pop(message.id, None) is None:
            return None
        return message

    def forget(self, request_id: RequestId) -> None:
        """Stop waiting for an answer; it is skipped if it arrives."""
        self._open.pop(request_id, None)
