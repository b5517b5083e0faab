"""What the model of a thread sees, followed on the wire: each time it is to go on is a step of the thread.

A step begins with the line of ours after which nothing holds the model up: `turn/start`, or the last output that it
waits for. Knows Responses items as far as they tell who waits for whom.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from codex_rpc.recording.session import Line, is_echo
from codex_rpc.wire.messages import ErrorResponse, Message, Notification, Request, RequestId, Response


class ModelView(Struct, frozen=True):
    """What the model sees when a step begins: the thread's and the turn's parameters, and all items up to then."""

    start: Mapping[str, Any]
    turn: Mapping[str, Any]
    items: tuple[Mapping[str, Any], ...]


class Step(Struct, frozen=True):
    """`line` is the index of the line that begins it; all from codex behind it, up to the next step, is its outcome."""

    line: int
    view: ModelView


class ModelViewTracker:
    """Follows one thread, from its `thread/start` on."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        self._start = start
        self._turn: Mapping[str, Any] = {}
        self._items: list[Mapping[str, Any]] = []
        self._behind: list[Mapping[str, Any]] = []
        """What was injected while outputs were missing: it comes to stand behind them."""
        self._missing: set[str] = set()
        self._asked: dict[RequestId, str] = {}

    @property
    def waits(self) -> bool:
        """Whether the model cannot go on before it has outputs."""
        return bool(self._missing)

    def told(self, message: Message) -> ModelView | None:
        """Take a message to codex; return what the model sees if it is now to go on."""
        match message:
            case Request(method="thread/inject_items", params=params):
                (self._behind if self._missing else self._items).extend(params["items"])
            case Request(method="turn/start", params=params):
                self._turn = params
                return self._view()
            case Response(request_id, result) if request_id in self._asked:
                return self._answered(self._asked.pop(request_id), result.get("contentItems", []))
            case ErrorResponse(request_id, message=text) if request_id in self._asked:
                return self._answered(self._asked.pop(request_id), [{"type": "inputText", "text": text}])
            case _:
                pass
        return None

    def heard(self, message: Message) -> None:
        """Take a message from codex."""
        match message:
            case Notification("rawResponseItem/completed", params) if not is_echo(message):
                self._said(params["item"])
            case Request(request_id, "item/tool/call", params):
                self._asked[request_id] = params["callId"]
            case Notification("turn/completed"):
                self._missing.clear()
            case _:
                pass

    def _said(self, item: Mapping[str, Any]) -> None:
        match item:
            case {"type": "message", "role": "assistant"} | {"type": "reasoning"}:
                self._items.append(item)
            case {"type": "function_call", "call_id": call_id}:
                self._items.append(item)
                self._missing.add(call_id)
            case {"type": "function_call_output", "call_id": call_id} if call_id in self._missing:
                self._missing.discard(call_id)  # codex itself has answered a call that nobody declared
                self._items.append(item)
            case _:
                pass

    def _answered(self, call_id: str, content: Iterable[Mapping[str, Any]]) -> ModelView | None:
        self._items.append(
            {"type": "function_call_output", "call_id": call_id, "output": [_part(one) for one in content]}
        )
        self._missing.discard(call_id)
        if self._missing:
            return None
        self._items += self._behind
        self._behind.clear()
        return self._view()

    def _view(self) -> ModelView:
        return ModelView(self._start, self._turn, tuple(self._items))


def steps(lines: Iterable[Line]) -> list[Step]:
    """Return the steps of a recorded thread, whose first line is its `thread/start`."""
    found: list[Step] = []
    tracker = ModelViewTracker({})
    for index, line in enumerate(lines):
        match line:
            case Line(_, True, Request(_, "thread/start", params)):
                tracker = ModelViewTracker(params)
            case Line(_, True, message):
                if (view := tracker.told(message)) is not None:
                    found.append(Step(index, view))
            case Line(message=message):
                tracker.heard(message)
    return found


def _part(content: Mapping[str, Any]) -> Mapping[str, Any]:
    if content["type"] == "inputImage":
        return {"type": "input_image", "image_url": content["imageUrl"]}
    return {"type": "input_text", "text": content["text"]}
