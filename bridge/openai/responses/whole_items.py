"""The output items that are complete as soon as they begin: calls of the client's tools and web searches.

Source: the OpenAI API reference, "Streaming events" of Responses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from msgspec import Struct

from bridge.conversation.events import ToolCall
from bridge.openai.responses.object import Object, ResponseFrame
from bridge.openai.sse import pieces

Event = dict[str, Any]


class WholeItem(Struct, frozen=True):
    """An item as it begins, the events that follow, and the item as it ends."""

    begun: Object
    events: tuple[Event, ...]
    done: Object


def tool_call(call: ToolCall, frame: ResponseFrame, index: int) -> WholeItem:
    """Return the item of a call of one of the client's tools."""
    match call.kind:
        case "function":
            return _call(call, frame.item_id("fc", index), index, ("function_call", "arguments"))
        case "custom":
            return _call(call, frame.item_id("ctc", index), index, ("custom_tool_call", "input"))
        case "search":
            return _tool_search(call, frame.item_id("tsc", index))


def web_search(item: Object, frame: ResponseFrame, index: int) -> WholeItem:
    """Return the item of a web search, which the upstream or codex has run."""
    item_id = frame.item_id("ws", index)
    action: Mapping[str, Any] = item.get("action") or {"type": "search"}
    searched = {"id": item_id, "type": "web_search_call", "status": "completed", "action": action}
    where = {"item_id": item_id, "output_index": index}
    steps = ("in_progress", "searching", "completed")
    events = tuple([{"type": f"response.web_search_call.{step}", **where} for step in steps])
    return WholeItem({**searched, "status": "in_progress"}, events, searched)


def compaction(item: Object) -> WholeItem:
    """Return the item of a compaction."""
    return WholeItem({**item, "encrypted_content": ""}, (), item)


def _call(call: ToolCall, item_id: str, index: int, names: tuple[str, str]) -> WholeItem:
    kind, field = names
    named = {"name": call.name} if call.namespace is None else {"name": call.name, "namespace": call.namespace}
    item: dict[str, Any] = {"id": item_id, "type": kind, "status": "in_progress", "call_id": call.call_id, **named}
    events = tuple(_told(call.arguments, field, f"response.{kind}_{field}", item_id, index))
    return WholeItem({**item, field: ""}, events, {**item, "status": "completed", field: call.arguments})


def _told(text: str, field: str, name: str, item_id: str, index: int) -> Iterator[Event]:
    where = {"item_id": item_id, "output_index": index}
    for piece in pieces(text):
        yield {"type": f"{name}.delta", **where, "delta": piece}
    yield {"type": f"{name}.done", **where, field: text}


def _tool_search(call: ToolCall, item_id: str) -> WholeItem:
    item = {
        "id": item_id,
        "type": "tool_search_call",
        "status": "completed",
        "call_id": call.call_id,
        "execution": "client",
        "arguments": _json(call.arguments),
    }
    return WholeItem({**item, "status": "in_progress"}, (), item)


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
