"""Hypothesis strategies for the turn events of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from bridge.conversation.events import (
    Failed,
    Finished,
    FinishReason,
    ItemDone,
    ReasoningDelta,
    ReasoningPart,
    TextDelta,
    ToolCall,
    TurnEvent,
    Used,
)
from bridge.conversation.prompt import Item
from bridge.conversation.tools import Tool, Toolbox
from bridge.errors import ApiError, invalid_request, unavailable, upstream_failed
from bridge.openai.responses.items import read_input
from codex_rpc.wire.events import TokenUsage

TEXTS = st.text(max_size=8)
SOURCES = st.just("") | st.uuids().map(lambda made: f"rs_{made.hex}")
CITATION = {"type": "url_citation", "start_index": 0, "end_index": 1, "title": "T", "url": "https://x.test"}
ACTIONS = (
    {"type": "search", "query": "cats"},
    {"type": "open_page", "url": "https://x.test"},
    {"type": "find_in_page", "url": "https://x.test", "pattern": "cat"},
    None,
)
ERRORS = (
    upstream_failed("broken"),
    unavailable("starting"),
    invalid_request("bad", "input"),
    ApiError(429, "rate_limit_error", "usage_limit_reached", "later"),
)
REASONS: tuple[FinishReason, ...] = ("stop", "length", "content_filter", "tool_calls", "cancelled")


def message_item(text: str = "", phase: str | None = None, annotations: Sequence[Mapping[str, Any]] = ()) -> ItemDone:
    part = {"type": "output_text", "text": text, "annotations": [*annotations]}
    return ItemDone({"type": "message", "role": "assistant", "content": [part], "phase": phase})


def reasoning_item(*summary: str, source: str = "") -> ItemDone:
    parts = [{"type": "summary_text", "text": text} for text in summary]
    id_field = {"id": source} if source else {}
    return ItemDone({"type": "reasoning", "summary": parts, "encrypted_content": f"secret of {source}", **id_field})


def search_item(action: Mapping[str, Any] | None = ACTIONS[0]) -> ItemDone:
    return ItemDone({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action})


LOOK, EDIT = Tool.function("look", "", {}), Tool.custom("edit", "", None)
GROUPED = [tool.in_namespace(group, "") for tool in (LOOK, EDIT) for group in ("files", "web")]
BOX = Toolbox((LOOK, EDIT, Tool.function("exec_command", "", {}), Tool.search("", {}), *GROUPED))


@st.composite
def calls(draw: st.DrawFn) -> ToolCall:
    """A call of a tool in `BOX`, with the client's names."""
    tool = draw(st.sampled_from(BOX.tools))
    texts = TEXTS if tool.kind == "custom" else st.sampled_from(["{}", '{"at": 1}', '{"at": "\\u00e9", "n": [1.0]}'])
    namespace, name = tool.path
    return ToolCall(str(draw(st.uuids())), name, draw(texts), tool.kind, namespace)


usages = st.builds(TokenUsage, *[st.integers(0, 9)] * 4).map(Used)
ends = st.sampled_from(REASONS).map(Finished) | st.sampled_from(ERRORS).map(Failed)
searches = st.sampled_from(ACTIONS).map(search_item)


@st.composite
def messages(draw: st.DrawFn) -> list[TurnEvent]:
    """A message in deltas, as the translator yields it."""
    pieces = draw(st.lists(TEXTS.filter(bool), max_size=4))
    phase = draw(st.sampled_from([None, "commentary", "final_answer"]))
    annotations = draw(st.lists(st.just(CITATION), max_size=2))
    return [*map(TextDelta, pieces), message_item("".join(pieces), phase, annotations)]


@st.composite
def reasoning_items(draw: st.DrawFn) -> list[TurnEvent]:
    """A reasoning item whose summary comes in deltas, or only at its end."""
    parts = draw(st.lists(st.lists(TEXTS.filter(bool), min_size=1, max_size=3), max_size=3))
    source = draw(SOURCES)
    deltas: list[TurnEvent] = []
    for pieces in parts if draw(st.booleans()) else []:
        deltas += [ReasoningPart(source), *(ReasoningDelta(piece, source) for piece in pieces)]
    return [*deltas, reasoning_item(*("".join(pieces) for pieces in parts), source=source)]


def alone(event: TurnEvent) -> list[TurnEvent]:
    return [event]


steps = st.one_of(messages(), reasoning_items(), calls().map(alone), usages.map(alone), searches.map(alone))


@st.composite
def turns(draw: st.DrawFn) -> list[TurnEvent]:
    """Whole items, the last of which may be cut off, and an end."""
    events = [event for step in draw(st.lists(steps, max_size=6)) for event in step]
    return [*events[: draw(st.integers(0, len(events))) or len(events)], draw(ends)]


anything: st.SearchStrategy[TurnEvent] = st.one_of(
    TEXTS.map(TextDelta),
    st.just(ReasoningPart()),
    TEXTS.map(ReasoningDelta),
    calls(),
    usages,
    searches,
    st.just(message_item("text", "commentary", [CITATION])),
    st.just(reasoning_item("text")),
)
"""Any event, also in an order that no translator produces."""

disorder = st.tuples(st.lists(anything, max_size=12), ends).map(lambda made: [*made[0], made[1]])


def sent_back(output: Sequence[Any]) -> list[Item]:
    """Return the items of a response's output that is sent back as part of the next input."""
    return [item for one in read_input(output) if (item := one.item.item(BOX)) is not None]
