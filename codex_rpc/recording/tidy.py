"""Makes two recordings of one conversation equal: ids are numbered, and fields about the time or the machine removed.

Texts, tools and items stay unchanged; `Line.at` holds the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from msgspec.structs import replace

from codex_rpc.recording.session import Line
from codex_rpc.wire.messages import ErrorResponse, Message, Notification, Request, RequestId, Response

_IDS = {
    "threadId": "thread",
    "sessionId": "thread",
    "turnId": "turn",
    "rootTurnId": "turn",
    "itemId": "item",
    "responseId": "response",
}
"""Members that hold an id → the kind of the id. The `id` of a nested object is of the kind that the object is named."""

_NESTED = frozenset({"item", "thread", "turn"})
_DROPPED = frozenset(
    {
        "cliVersion",
        "completedAt",
        "completedAtMs",
        "createdAt",
        "cwd",
        "durationMs",
        "internal_chat_message_metadata_passthrough",
        "path",
        "processId",
        "recencyAt",
        "runtimeWorkspaceRoots",
        "startedAt",
        "startedAtMs",
        "updatedAt",
        "usageMetadata",
    }
)
_DROPPED_OF = {"turn": frozenset({"items", "itemsView"})}
"""Members that only repeat earlier lines."""
_KEPT_OF = {"item": frozenset({"cwd", "path"})}
"""Members that say what an agent does, and where."""
_MINTED = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The format of codex's ids of threads and turns; a turn id with a meaning has another format."""


def tidy(lines: Iterable[Line]) -> list[Line]:
    """Return the tidied lines of one thread, with times relative to the first line."""
    tidier = _Tidier()
    tidied = [replace(line, message=tidier.message(line.message, to_codex=line.to_codex)) for line in lines]
    return [replace(line, at=line.at - tidied[0].at) for line in tidied]


class _Tidier:
    def __init__(self) -> None:
        self._requests: dict[tuple[bool, RequestId], int] = {}
        self._ids: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def message(self, message: Message, *, to_codex: bool) -> Message:
        match message:
            case Request(request_id, method, params):
                return Request(self._request(to_codex, request_id), method, self._object(params, ""))
            case Notification(method, params):
                return Notification(method, self._object(params, ""))
            case Response(request_id, result):
                return Response(self._request(not to_codex, request_id), self._object(result, ""))
            case ErrorResponse(request_id):
                return replace(message, id=self._request(not to_codex, request_id))

    def _request(self, ours: bool, request_id: RequestId) -> int:
        """Each side numbers its own requests."""
        mine = sum(1 for by_us, _ in self._requests if by_us is ours)
        return self._requests.setdefault((ours, request_id), mine + 1)

    def _object(self, value: Any, name: str) -> Any:
        if not isinstance(value, dict):
            return value
        members = cast("Mapping[str, Any]", value).items()
        dropped = (_DROPPED_OF.get(name, frozenset()) | _DROPPED) - _KEPT_OF.get(name, frozenset())
        return {member: self._member(member, inner, name) for member, inner in members if member not in dropped}

    def _member(self, member: str, value: Any, name: str) -> Any:
        if isinstance(value, str) and (kind := name if member == "id" else _IDS.get(member)):
            return self._id(value, kind)
        return self._object(value, member) if member in _NESTED else value

    def _id(self, value: str, kind: str) -> str:
        if kind in {"thread", "turn"} and not _MINTED.fullmatch(value):
            return value
        if value not in self._ids:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._ids[value] = f"{kind}-{self._counts[kind]}"
        return self._ids[value]
