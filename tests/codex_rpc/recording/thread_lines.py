"""The lines of one made-up thread, as written by codex and by us."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from codex_rpc.recording.session import Line
from codex_rpc.wire.messages import ErrorResponse, Message, Notification, Request, Response

THREAD, TURN = "01a21413-2f10-79e0-bc53-75d815a6ad25", "01a21413-2f1e-7483-922f-d4d72cedc800"


def to(message: Message) -> tuple[bool, Message]:
    return True, message


def by(message: Message) -> tuple[bool, Message]:
    return False, message


def start(request_id: int = 1, **params: Any) -> tuple[bool, Message]:
    return to(Request(request_id, "thread/start", {"model": "m", **params}))


def started(request_id: int = 1) -> tuple[bool, Message]:
    return by(Response(request_id, {"thread": {"id": THREAD}}))


def inject(request_id: int, *items: dict[str, Any]) -> tuple[bool, Message]:
    return to(Request(request_id, "thread/inject_items", {"threadId": THREAD, "items": list(items)}))


def turn(request_id: int, *given: dict[str, Any]) -> tuple[bool, Message]:
    return to(Request(request_id, "turn/start", {"threadId": THREAD, "input": list(given)}))


def delta(text: str) -> tuple[bool, Message]:
    params = {"threadId": THREAD, "turnId": TURN, "itemId": "i", "delta": text}
    return by(Notification("item/agentMessage/delta", params))


def raw(turn_id: str = TURN, **item: Any) -> tuple[bool, Message]:
    return by(Notification("rawResponseItem/completed", {"threadId": THREAD, "turnId": turn_id, "item": item}))


def said(text: str) -> tuple[bool, Message]:
    return raw(type="message", role="assistant", content=[{"type": "output_text", "text": text}])


def called(call_id: str) -> tuple[bool, Message]:
    return raw(type="function_call", call_id=call_id, name="look", arguments="{}")


def asks(request_id: int, call_id: str) -> tuple[bool, Message]:
    return by(Request(request_id, "item/tool/call", {"threadId": THREAD, "turnId": TURN, "callId": call_id}))


def gives(request_id: int, text: str) -> tuple[bool, Message]:
    content = [{"type": "inputText", "text": text}]
    return to(Response(request_id, {"contentItems": content, "success": True}))


def refuses(request_id: int, text: str) -> tuple[bool, Message]:
    return to(ErrorResponse(request_id, -32601, text))


def completed() -> tuple[bool, Message]:
    return by(Notification("turn/completed", {"threadId": THREAD, "turn": {"id": TURN, "status": "completed"}}))


def session(messages: Iterable[tuple[bool, Message]]) -> list[Line]:
    """The messages as lines, one each second."""
    return [Line(float(at), to_codex, message) for at, (to_codex, message) in enumerate(messages)]


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
