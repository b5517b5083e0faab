"""Replies of a scripted model, as values made of Responses API events, pauses, gates and cuts.

This module knows the events of the Responses API but no sockets; `upstream.py` plays the values.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio
import orjson

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing for this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Send nothing until the test sets the gate."""

    gate: anyio.Event


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection here, without a proper end of the stream."""


Action = Event | Pause | Hold | Cut


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request: an event stream (`status` 200) or an HTTP error with a JSON body."""

    actions: tuple[Action, ...] = ()
    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def response_id(self) -> str | None:
        """The id of the response, or None if the reply begins none."""
        events = (action for action in self.actions if isinstance(action, dict) and "response" in action)
        return next((event["response"]["id"] for event in events), None)

    @property
    def items(self) -> list[dict[str, Any]]:
        """The output items that the reply completes."""
        events = (action for action in self.actions if isinstance(action, dict))
        return [event["item"] for event in events if event["type"] == "response.output_item.done"]

    def in_namespaces(self, namespaces: Mapping[str, str]) -> Reply:
        """Return the reply with the namespace added to each call of a tool declared in one, like the real upstream."""
        if not namespaces:
            return self  # a reply may be long, and made while it is played
        named = (_named(one, namespaces) if isinstance(one, dict) else one for one in self.actions)
        return Reply(tuple(named), self.status, self.body, self.headers)

    def then(self, *more: Action) -> Reply:
        return Reply((*self.actions, *more), self.status, self.body, self.headers)


def _named(action: Event, namespaces: Mapping[str, str]) -> Event:
    match action:
        case {"item": {"type": "function_call", "name": str(name)} as item} if name in namespaces:
            return {**action, "item": {"namespace": namespaces[name], **item}}
        case {"response": {"output": _}}:
            response: dict[str, Any] = action["response"]
            outputs = [_named({"item": item}, namespaces)["item"] for item in response["output"]]
            return {**action, "response": {**response, "output": outputs}}
        case _:
            return action


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the Responses API reports them."""

    input: int = 812
    cached: int = 768
    output: int = 40
    reasoning: int = 16

    def wire(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.input + self.output,
        }


@dataclass(frozen=True, slots=True)
class Text:
    """An assistant message that arrives in the given pieces; `between` follows each piece but the last."""

    pieces: tuple[str, ...]
    between: Pause | Hold | None = None

    def item(self, item_id: str) -> dict[str, Any]:
        part: dict[str, Any] = {"type": "output_text", "text": "".join(self.pieces), "annotations": []}
        return {"type": "message", "id": item_id, "role": "assistant", "content": [part], "status": "completed"}

    def actions(self, item_id: str, index: int) -> Iterator[Action]:
        where = {"item_id": item_id, "output_index": index, "content_index": 0}
        opened: dict[str, Any] = {
            "type": "message",
            "id": item_id,
            "role": "assistant",
            "content": [],
            "status": "in_progress",
        }
        yield {"type": "response.output_item.added", "output_index": index, "item": opened}
        yield {"type": "response.content_part.added", **where, "part": {"type": "output_text", "text": ""}}
        for number, piece in enumerate(self.pieces):
            if number and self.between is not None:
                yield self.between
            yield {"type": "response.output_text.delta", **where, "delta": piece}
        yield {"type": "response.output_text.done", **where, "text": "".join(self.pieces)}
        yield {"type": "response.output_item.done", "output_index": index, "item": self.item(item_id)}


@dataclass(frozen=True, slots=True)
class Thought:
    """A reasoning item: its visible summary and the encrypted content that only the upstream can read."""

    summary: str = ""
    encrypted: str = "encrypted-reasoning"

    def item(self, item_id: str) -> dict[str, Any]:
        summary = [{"type": "summary_text", "text": self.summary}] if self.summary else []
        return {"type": "reasoning", "id": item_id, "summary": summary, "encrypted_content": self.encrypted}

    def actions(self, item_id: str, index: int) -> Iterator[Action]:
        where = {"item_id": item_id, "output_index": index, "summary_index": 0}
        opened: dict[str, Any] = {"type": "reasoning", "id": item_id, "summary": []}
        yield {"type": "response.output_item.added", "output_index": index, "item": opened}
        if self.summary:
            part = {"type": "summary_text", "text": ""}
            yield {"type": "response.reasoning_summary_part.added", **where, "part": part}
            yield {"type": "response.reasoning_summary_text.delta", **where, "delta": self.summary}
            yield {"type": "response.reasoning_summary_text.done", **where, "text": self.summary}
        yield {"type": "response.output_item.done", "output_index": index, "item": self.item(item_id)}


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; `arguments` is the JSON text that the model wrote."""

    name: str
    arguments: str = "{}"
    call_id: str = "call_1"

    def item(self, item_id: str) -> dict[str, Any]:
        return {
            "type": "function_call",
            "id": item_id,
            "call_id": self.call_id,
            "name": self.name,
            "arguments": self.arguments,
            "status": "completed",
        }

    def actions(self, item_id: str, index: int) -> Iterator[Action]:
        yield {
            "type": "response.output_item.added",
            "output_index": index,
            "item": {**self.item(item_id), "arguments": "", "status": "in_progress"},
        }
        where = {"item_id": item_id, "output_index": index}
        yield {"type": "response.function_call_arguments.delta", **where, "delta": self.arguments}
        yield {"type": "response.function_call_arguments.done", **where, "arguments": self.arguments}
        yield {"type": "response.output_item.done", "output_index": index, "item": self.item(item_id)}


class Output(Protocol):
    """What a response consists of."""

    def item(self, item_id: str) -> dict[str, Any]: ...

    def actions(self, item_id: str, index: int) -> Iterator[Action]: ...


_numbers = itertools.count(1)


def reply(*output: Output | str, usage: Usage | None = None) -> Reply:
    """Return a complete response: the outputs in order (a string is a one-piece message), then the usage."""
    return Reply(tuple(_response(output, usage or Usage())))


def begun(*output: Output | str) -> Reply:
    """Return a response without its end, which the test continues with `then`: a cut, a hold or a failure."""
    return Reply(tuple(_response(output, None)))


def failed(code: str, message: str) -> Reply:
    """Return a stream with only `response.failed`, as the upstream reports quota and overload."""
    response_id = f"resp_{next(_numbers)}"
    error = {"code": code, "message": message}
    return Reply(
        (
            {"type": "response.created", "response": {"id": response_id}},
            {"type": "response.failed", "response": {"id": response_id, "status": "failed", "error": error}},
        )
    )


def http_error(status: int, body: Mapping[str, Any], **headers: str) -> Reply:
    """Return an HTTP error instead of a stream, e.g. `http_error(429, {"error": {...}}, retry_after="7")`."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(status=status, body=orjson.dumps(body), headers=named)


def _response(output: Sequence[Output | str], usage: Usage | None) -> Iterator[Action]:
    response_id = f"resp_{next(_numbers)}"
    yield {"type": "response.created", "response": {"id": response_id, "status": "in_progress", "output": []}}
    items: list[dict[str, Any]] = []
    for index, one in enumerate(output):
        said = Text((one,)) if isinstance(one, str) else one
        item_id = f"item_{next(_numbers)}"
        items.append(said.item(item_id))
        if usage is None and index == len(output) - 1:
            yield from _all_but_the_end(said.actions(item_id, index))
        else:
            yield from said.actions(item_id, index)
    if usage is not None:
        done = {"id": response_id, "status": "completed", "output": items, "usage": usage.wire()}
        yield {"type": "response.completed", "response": done}


def _all_but_the_end(actions: Iterable[Action]) -> Iterator[Action]:
    for action in actions:
        if isinstance(action, dict) and action["type"].endswith(".done"):
            return
        yield action


NO_NAMESPACE = "functions"
"""The upstream's namespace for tools declared without one, on models whose tools are an item."""


def plain_item(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as a client sends it: without ids, states and codex's own metadata."""
    added = {"id", "internal_chat_message_metadata_passthrough", "status"}
    kept = {name: value for name, value in item.items() if name not in added and value is not None}
    if kept.get("namespace") == NO_NAMESPACE:
        del kept["namespace"]
    if kept["type"] == "message":
        kept["content"] = [{name: part[name] for name in part if name != "annotations"} for part in kept["content"]]
    return kept


def warmed_up() -> Reply:
    """Return the answer to the warm-up (`generate: false`) that codex sends over WebSocket at a thread's start."""
    return Reply(tuple(_response((), Usage(0, 0, 0, 0))))


@dataclass(slots=True)
class Received:
    """A request that codex sent to the upstream."""

    transport: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    before: tuple[dict[str, Any], ...] = ()
    """The items before this request's own; over WebSocket a request carries only the new ones."""

    @property
    def conversation(self) -> list[dict[str, Any]]:
        """All items that the model sees, without tools and without the fields that codex adds."""
        items = (*self.before, *self.input)
        return [plain_item(item) for item in items if item["type"] != "additional_tools"]

    @property
    def input(self) -> list[dict[str, Any]]:
        return self.body["input"]

    @property
    def declared(self) -> list[dict[str, Any]]:
        """The declared tools, from the `tools` field or the items, depending on the model family."""
        items = (*self.before, *self.input)
        extra = [item["tools"] for item in items if item.get("type") == "additional_tools"]
        return [*(self.body.get("tools") or ()), *itertools.chain.from_iterable(extra)]

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools that the model sees; tools without a namespace look the same on every model."""
        return [
            tool
            for one in self.declared
            for tool in (one["tools"] if (one["type"], one.get("name")) == ("namespace", NO_NAMESPACE) else [one])
        ]

    @property
    def namespaces(self) -> dict[str, str]:
        """Tool name → namespace, for tools declared in one."""
        groups = [one for one in self.declared if one["type"] == "namespace"]
        return {tool["name"]: group["name"] for group in groups for tool in group["tools"]}
