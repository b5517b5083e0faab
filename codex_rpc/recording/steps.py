"""Follows on the wire what the model of a thread is shown, and divides the thread into steps.

A step begins with the line of ours after which the model runs: `turn/start`, or the last tool output that it waits
for. Knows only those Responses items that tell which outputs are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from codex_rpc.recording.session import Line, is_echo
from codex_rpc.wire.messages import ErrorResponse, Message, Notification, Request, RequestId, Response


class ModelView(Struct, frozen=True):
    """What the model is shown when a step begins: the parameters of thread and turn, and all items so far."""

    start: Mapping[str, Any]
    turn: Mapping[str, Any]
    items: tuple[Mapping[str, Any], ...]


class Step(Struct, frozen=True):
    """`line` is the index of the line that begins it; codex's lines from there to the next step are its outcome."""

    line: int
    view: ModelView


class ModelViewTracker:
    """Follows one thread from its `thread/start`."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        self._start = start
        self._turn: Mapping[str, Any] = {}
        self._items: list[Mapping[str, Any]] = []
        self._after_outputs: list[Mapping[str, Any]] = []
        """Items injected while tool outputs are missing; codex places them after the outputs."""
        self._missing: set[str] = set()
        self._asked: dict[RequestId, str] = {}

    @property
    def waits(self) -> bool:
        """Whether the model waits for tool outputs."""
        return bool(self._missing)

    def told(self, message: Message) -> ModelView | None:
        """Take a message to codex; return what the model is shown if the message makes it run."""
        match message:
            case Request(method="thread/inject_items", params=params):
                (self._after_outputs if self._missing else self._items).extend(params["items"])
            case Request(method="turn/start", params=params):
                self._turn = params
                if params.get("input"):
                    content = [_user_part(one) for one in params["input"]]
                    self._items.append({"type": "message", "role": "user", "content": content})
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
                self._missing.discard(call_id)  # codex itself has answered the call of an undeclared tool
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
        self._items += self._after_outputs
        self._after_outputs.clear()
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


def _user_part(given: Mapping[str, Any]) -> Mapping[str, Any]:
    if given["type"] == "image":
        return {"type": "input_image", "image_url": given["url"]}
    return {"type": "input_text", "text": given["text"]}
