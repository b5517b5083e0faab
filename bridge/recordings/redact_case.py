"""Redacts a whole case, so that its session and its answers still match.

A text in deltas is redacted as a whole and split again at the same places, both in the session and in the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from msgspec.structs import replace

from bridge.recordings.cases import Case, RecordedExchange
from bridge.recordings.redaction import Redactor
from codex_rpc.recording.session import Line
from codex_rpc.wire.messages import ErrorResponse, Message, Notification, Request, Response

_DATA = b"data: "


def redacted(case: Case, redactor: Redactor) -> Case:
    """Return the case without secrets; the redactor learns all of them before anything is changed."""
    for one in case.exchanges:
        redactor.learn(one.request)
    for line in case.lines:
        redactor.learn(_value(line.message))
    return replace(
        case,
        lines=tuple(_lines(case.lines, redactor)),
        exchanges=tuple(_exchange(one, redactor) for one in case.exchanges),
    )


def _exchange(one: RecordedExchange, redactor: Redactor) -> RecordedExchange:
    answer = _stream(one.answer, redactor) if one.streamed else orjson.dumps(redactor.json(orjson.loads(one.answer)))
    return replace(one, request=redactor.json(one.request), answer=answer)


# ── Sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _lines(lines: Iterable[Line], redactor: Redactor) -> Iterator[Line]:
    lines = list(lines)
    texts = _Texts(redactor)
    for line in lines:
        texts.add(*_delta_of(line.message))
    for line in lines:
        name, delta = _delta_of(line.message)
        message = _message(line.message, redactor)
        if delta is not None and isinstance(message, Notification):
            message = replace(message, params={**message.params, "delta": texts.next(name)})
        yield replace(line, message=message)


def _delta_of(message: Message) -> tuple[Any, str | None]:
    match message:
        case Notification(method, {"delta": str(delta)} as params):
            return (method, params.get("itemId")), delta
        case _:
            return None, None


def _message(message: Message, redactor: Redactor) -> Message:
    match message:
        case Request(params=params) | Notification(params=params):
            return replace(message, params=redactor.json(params))
        case Response(result=result):
            return replace(message, result=redactor.json(result))
        case ErrorResponse(message=text, data=data):
            return replace(message, message=redactor.text(text), data=redactor.json(data))


def _value(message: Message) -> Any:
    match message:
        case Request(params=params) | Notification(params=params):
            return params
        case Response(result=result):
            return result
        case ErrorResponse(message=text, data=data):
            return [text, data]


# ── Streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _stream(answer: bytes, redactor: Redactor) -> bytes:
    """Redact a stream; an event is removed if its whole delta belongs to a secret that began in an earlier event."""
    events = [_Event(text) for text in answer.split(b"\n\n") if text]
    texts = _Texts(redactor)
    for event in events:
        for name, delta in event.deltas():
            texts.add(name, delta)
    kept: list[bytes] = []
    for event in events:
        before = [delta for _, delta in event.deltas()]
        after = [texts.next(name) for name, _ in event.deltas()]
        if not any(before) or any(after):
            kept.append(event.redacted(redactor, after, len(kept)))
    return b"".join(event + b"\n\n" for event in kept)


class _Event:
    """A server-sent event whose data is JSON; any other data is not changed."""

    def __init__(self, text: bytes) -> None:
        self._head, _, data = text.rpartition(_DATA)
        self._text = text
        try:
            self._value: Any = orjson.loads(data)
        except orjson.JSONDecodeError:
            self._value = None

    def deltas(self) -> list[tuple[Any, str]]:
        """Return the pieces of longer texts in the event, each with a key of its text."""
        return [(name, place[member]) for name, place, member in self._places(self._value)]

    def redacted(self, redactor: Redactor, deltas: list[str], number: int) -> bytes:
        if self._value is None:
            return self._text
        value = redactor.json(self._value)
        if "sequence_number" in value:
            value["sequence_number"] = number
        for (_, place, member), delta in zip(self._places(value), deltas, strict=True):
            place[member] = delta
        return self._head + _DATA + orjson.dumps(value)

    @staticmethod
    def _places(value: Any) -> list[tuple[Any, dict[str, Any], str]]:
        match value:
            case {"choices": [*choices]}:
                return [
                    ((choice["index"], member), choice["delta"], member)
                    for choice in choices
                    for member in ("content", "reasoning_content")
                    if isinstance(choice["delta"].get(member), str)
                ]
            case {"type": str(kind), "delta": str()}:
                return [((kind, value.get("item_id")), value, "delta")]
            case _:
                return []


class _Texts:
    """Texts in pieces: all pieces are added first, then taken in the same order."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._pieces: dict[Any, list[str]] = {}
        self._redacted: dict[Any, Iterator[str]] = {}

    def add(self, name: Any, piece: str | None) -> None:
        if piece is not None:
            self._pieces.setdefault(name, []).append(piece)

    def next(self, name: Any) -> str:
        if name not in self._redacted:
            self._redacted[name] = iter(self._redactor.pieces(self._pieces[name]))
        return next(self._redacted[name])
