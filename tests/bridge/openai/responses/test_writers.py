"""The stream of a response obeys the grammar of the API, and ends with what the whole answer is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

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
from bridge.conversation.tools import Kind
from bridge.errors import CONTEXT_TOO_LONG, ApiError, invalid_request, unavailable, upstream_failed
from bridge.openai.chat.answer import ChatAnswer
from bridge.openai.chat.completion import ChatCompletion
from bridge.openai.chat.stream import ChatStream
from bridge.openai.responses.fields import read_body
from bridge.openai.responses.object import ResponseFrame
from bridge.openai.responses.request import begin
from bridge.openai.responses.writers import EventStream, ResponseFrames, ResponseStream, ResponseWhole
from codex_rpc.wire.events import TokenUsage
from tests.bridge.conversation.turn_events import disorder, message_item, reasoning_item, sent_back, turns
from tests.harness.open_responses import check_stream

FRAME = (
    begin(read_body({"model": "2.5-tpg", "input": "Hi."})).read({}).frame("0123456789abcdef" * 2, lambda: 1768247311)
)
ENCRYPTED = replace(FRAME, encrypted=True)
STRICT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
STRICT_RESPONSE: TypeAdapter[Any] = TypeAdapter(Response)

Event = dict[str, Any]


def events_of(written: bytes) -> list[Event]:
    """Return the data of the server-sent events, whose names must be their types; [DONE] must come last, once."""
    *blocks, last, rest = written.decode().split("\n\n")
    assert (last, rest) == ("data: [DONE]", "")
    events: list[Event] = []
    for block in blocks:
        name, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def streamed(events: Sequence[TurnEvent], frame: ResponseFrame = FRAME) -> list[Event]:
    return events_of(ResponseStream(frame).feed(events))


def whole(events: Sequence[TurnEvent], frame: ResponseFrame = FRAME) -> Event:
    return json.loads(ResponseWhole(frame).feed(events))


def text_of(response: Event) -> str:
    messages = (item for item in response["output"] if item["type"] == "message")
    return "".join(part["text"] for message in messages for part in message["content"])


# ── The grammar ──────────────────────────────────────────────────────────────────────────────────────────────────────

GROWING = {
    "message": ("content_part", "output_text", "content", "content_index"),
    "reasoning": ("reasoning_summary_part", "reasoning_summary_text", "summary", "summary_index"),
}
"""Items whose parts grow: how the events of a part and of its text are called, the field, the field's index."""

SAID_AT_ONCE = {
    "function_call": ("function_call_arguments", "arguments"),
    "custom_tool_call": ("custom_tool_call_input", "input"),
}
"""Items with one text: how its events are called, the field."""

ENDS = {"response.completed", "response.incomplete", "response.failed"}


class Reader:
    """Reads a stream as a strict client does: each event must be allowed where it comes, and is folded in.

    stream  = created in_progress item* end
    item    = added body done
    body    = (part_added text_delta* annotation* text_done part_done)*    of a message and of a reasoning
            | delta* done                                                  of a function's and a custom tool's call
            | in_progress searching completed                              of a web search
            | nothing                                                      of a search for tools
    """

    def __init__(self) -> None:
        self.output: list[Event] = []
        self.response: Event | None = None
        self._item: Any = None
        self._part: Any = None
        self._steps: list[str] = []
        self._texts_done: list[str] = []
        self._events = 0

    def read(self, events: Sequence[Event]) -> Event:
        """Return the final response object."""
        for event in events:
            assert self.response is None, f"{event} comes after the end"
            assert event["sequence_number"] == self._events
            self._take(event)
            self._events += 1
        assert self.response is not None, "the stream has no end"
        return self.response

    def _take(self, event: Event) -> None:
        name = event["type"].removeprefix("response.")
        if self._events < 2:
            assert name == ("created", "in_progress")[self._events]
            assert event["response"]["status"] == "in_progress"
            assert event["response"]["output"] == []
            return
        if event["type"] in ENDS:
            assert self._item is None, "an item is still open"
            self.response = event["response"]
            return
        assert event["output_index"] == len(self.output)
        match name:
            case "output_item.added":
                assert self._item is None, "two items are open"
                self._item = event["item"]
                assert self._item["id"] not in {item["id"] for item in self.output}
                assert self._item.get("status", "in_progress") == "in_progress"
                self._steps, self._texts_done = [], []
            case "output_item.done":
                self._done(event["item"])
            case _:
                assert self._item is not None, f"{name} belongs to no item"
                assert event["item_id"] == self._item["id"]
                self._grow(name, event, self._item)

    def _grow(self, name: str, event: Event, item: Event) -> None:
        kind = item["type"]
        if kind in GROWING:
            part, text, field, index = GROWING[kind]
            here = len(item[field]) - (self._part is not None)
            assert event[index] == here
            if name == f"{part}.added":
                assert self._part is None, "two parts are open"
                assert event["part"]["text"] == ""
                self._part = event["part"]
                item[field].append(self._part)
                return
            assert self._part is not None, f"{name} belongs to no part"
            if name == f"{text}.delta":
                self._part["text"] += event["delta"]
            elif name == "output_text.annotation.added":
                assert event["annotation_index"] == len(self._part["annotations"])
                self._part["annotations"].append(event["annotation"])
            elif name == f"{text}.done":
                assert event["text"] == self._part["text"]
                self._texts_done.append(event["text"])
            else:
                assert name == f"{part}.done"
                assert self._texts_done[here:] == [self._part["text"]], "a part ends behind its text, once"
                assert event["part"] == self._part
                self._part = None
        elif kind in SAID_AT_ONCE:
            told, field = SAID_AT_ONCE[kind]
            assert not self._texts_done
            if name == f"{told}.delta":
                item[field] += event["delta"]
            else:
                assert name == f"{told}.done"
                assert event[field] == item[field]
                self._texts_done.append(event[field])
        else:
            assert kind == "web_search_call"
            self._steps.append(name.removeprefix("web_search_call."))

    def _done(self, item: Event) -> None:
        assert self._item is not None
        assert self._part is None, "a part is still open"
        kind = item["type"]
        assert kind not in SAID_AT_ONCE or self._texts_done
        assert self._steps == (["in_progress", "searching", "completed"] if kind == "web_search_call" else [])
        assert item.get("status", "completed") in {"completed", "incomplete"}
        told_at_the_end = ("status", "phase", "encrypted_content")
        assert {**self._item, **{name: item[name] for name in told_at_the_end if name in item}} == item
        self.output.append(item)
        self._item = None


frames = st.sampled_from([FRAME, ENCRYPTED])


# ── Deltas, pauses, phases ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["function", "custom"])
@pytest.mark.parametrize("text", ["x", "\n", "\U0001f600", "\x01"], ids=repr)
def test_long_texts_arrive_in_small_deltas(text: str, kind: Kind) -> None:
    long = text * 50_000
    call = ToolCall("c1", "write", long, kind)
    events = streamed([ReasoningDelta(long), TextDelta(long), call, Finished("tool_calls")])
    assert Reader().read(events)["status"] == "completed"
    deltas = [event["delta"] for event in events if event["type"].endswith(".delta")]
    assert "".join(deltas) == long * 3
    assert max(len(orjson.dumps(delta)) for delta in deltas) <= 8000


@pytest.mark.parametrize(
    ("phase", "shown"),
    [
        ("commentary", "commentary"),
        ("final_answer", "final_answer"),
        ("partial_answer", "commentary"),
        ("a_phase_of_the_future", "commentary"),
        (None, None),
    ],
)
def test_a_phase_that_clients_do_not_know_is_commentary(phase: str | None, shown: str | None) -> None:
    [message] = whole([TextDelta("Hi"), message_item("Hi", phase), Finished("stop")])["output"]
    assert message.get("phase") == shown


def test_nothing_is_written_before_there_is_something_to_say() -> None:
    writer = ResponseStream(FRAME)
    assert writer.feed([Used(TokenUsage(1, 0, 1, 0))]) == b""
    written = writer.feed([TextDelta("Hi"), Finished("stop")])
    assert [event["type"] for event in events_of(written)][:3] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
    ]


def test_every_eighth_pause_of_silence_is_bridged_by_an_event_and_the_others_by_comments() -> None:
    writer = ResponseStream(FRAME)
    pauses = [writer.keep_alive() for _ in range(17)]
    assert [number for number, sent in enumerate(pauses) if sent != b": keep-alive\n"] == [0, 8, 16]
    assert writer.feed([Used(TokenUsage(1, 0, 1, 0))]) == b""
    rest = writer.feed([TextDelta("Hi")])
    assert [writer.keep_alive() for _ in range(7)] == [b": keep-alive\n"] * 7
    late = writer.keep_alive()
    written = b"".join(sent for sent in pauses if sent[:1] != b":") + rest + late + writer.feed([Finished("stop")])
    events = events_of(written)
    assert [event["sequence_number"] for event in events] == [*range(len(events))]
    assert [event["type"] for event in events].count("response.in_progress") == 4
    assert writer.keep_alive() == b": keep-alive\n"
    for event in events:
        STRICT.validate_python(event)


def test_a_response_whose_turn_is_repeated_begins_once() -> None:
    shared = EventStream()
    begun = ResponseStream(FRAME, shared).keep_alive()
    written = begun + ResponseStream(FRAME, shared).feed([TextDelta("Hi"), Finished("stop")])
    assert Reader().read(events_of(written))["status"] == "completed"


# ── Properties ───────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None)
@given(turns() | disorder, frames)
def test_every_stream_obeys_the_grammar_and_its_items_are_those_of_the_whole_answer(
    events: list[TurnEvent], frame: ResponseFrame
) -> None:
    reader = Reader()
    response = reader.read(streamed(events, frame))
    assert reader.output == response["output"]
    assert response == whole(events, frame)


@settings(deadline=None)
@given(turns() | disorder, frames)
def test_the_strict_client_takes_every_event(events: list[TurnEvent], frame: ResponseFrame) -> None:
    for event in streamed(events, frame):
        taken = STRICT.validate_python(event)
        assert json.loads(taken.model_dump_json(by_alias=True, exclude_unset=True)) == event
    assert STRICT_RESPONSE.validate_python(whole(events, frame)).status != "in_progress"


@settings(deadline=None)
@given(st.data(), turns())
def test_events_mean_the_same_alone_and_together(data: st.DataObject, events: list[TurnEvent]) -> None:
    cut = data.draw(st.integers(0, len(events)))
    writer, other = ResponseStream(FRAME), ResponseWhole(FRAME)
    together = ResponseStream(FRAME).feed(events)
    assert writer.feed(events[:cut]) + (writer.feed(events[cut:]) if cut < len(events) else b"") == together
    before = other.feed(events[:cut])
    assert before == b"" or cut == len(events)
    assert (before or other.feed(events[cut:])) == ResponseWhole(FRAME).feed(events)


def test_an_empty_message_is_none() -> None:
    """As an item it could not be sent back."""
    assert whole([message_item(""), Finished("stop")])["output"] == []


@settings(deadline=None)
@given(turns() | disorder)
def test_the_model_said_all_that_the_response_holds_and_in_this_order(events: list[TurnEvent]) -> None:
    response = whole(events)
    assert text_of(response) == "".join(event.text for event in events if isinstance(event, TextDelta))
    told = [item["call_id"] for item in response["output"] if item["type"].endswith("_call") and "call_id" in item]
    assert told == [event.call_id for event in events if isinstance(event, ToolCall)]
    searched = [item for item in response["output"] if item["type"] == "web_search_call"]
    wanted = [event for event in events if isinstance(event, ItemDone) and event.item["type"] == "web_search_call"]
    assert [item["action"] for item in searched] == [event.item["action"] or {"type": "search"} for event in wanted]


@settings(deadline=None)
@given(turns())
def test_reasoning_is_told_with_or_without_deltas_under_the_id_that_the_upstream_knows(events: list[TurnEvent]) -> None:
    done = [event.item for event in events if isinstance(event, ItemDone) and event.item["type"] == "reasoning"]
    response = whole(events, ENCRYPTED)
    told = [item for item in response["output"] if item["type"] == "reasoning" and "encrypted_content" in item]
    assert sent_back(told) == done
    assert "encrypted_content" not in orjson.dumps(whole(events)).decode()


def test_reasoning_that_a_retry_tells_under_another_id_is_whole_and_alone_under_that_one() -> None:
    """The upstream refuses what it encrypted under another id."""
    said: list[TurnEvent] = [ReasoningPart("rs_1"), ReasoningDelta("Hm", "rs_1"), ReasoningDelta("m.", "rs_2")]
    events = [*said, reasoning_item("Hmm.", source="rs_2"), Finished("stop")]
    broken, kept = Reader().read(streamed(events, ENCRYPTED))["output"]
    summary = [{"type": "summary_text", "text": "Hmm."}]
    assert broken == {"id": FRAME.item_id("rs", "rs_1"), "type": "reasoning", "summary": summary}
    secret = "secret of rs_2"
    assert kept == {**broken, "id": FRAME.item_id("rs", "rs_2"), "encrypted_content": secret}
    items = sent_back([broken, kept])
    assert items == [{"type": "reasoning", "id": "rs_2", "summary": summary, "encrypted_content": secret}]


# ── One event list, both dialects ────────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None)
@given(turns())
def test_chat_and_responses_say_the_same(events: list[TurnEvent]) -> None:
    if isinstance(events[-1], Failed):
        events = [*events[:-1], Finished("stop")]
    responses, chat = whole(events), json.loads(ChatCompletion(ChatAnswer("id", 1, "m", 1, "off")).feed(events))
    message = chat["choices"][0]["message"]
    assert (message["content"] or "") == text_of(responses)
    called = [item for item in responses["output"] if "call_id" in item]
    told: list[Event] = message["tool_calls"] or []
    assert [call["id"] for call in told] == [item["call_id"] for item in called]
    for call, item in zip(told, called, strict=True):
        if item["type"] != "tool_search_call":
            assert call[call["type"]] == {name: item[name] for name in ("name", "arguments", "input") if name in item}
    for ours, theirs in (
        ("input_tokens", "prompt_tokens"),
        ("output_tokens", "completion_tokens"),
        ("total_tokens", "total_tokens"),
    ):
        assert (responses["usage"] or {ours: 0})[ours] == chat["usage"][theirs]


@settings(deadline=None)
@given(turns())
def test_both_streams_say_the_same(events: list[TurnEvent]) -> None:
    stream = ChatStream(ChatAnswer("id", 1, "m", 1, "off"), usage_chunk=False).feed(events)
    blocks = [block.removeprefix("data: ") for block in stream.decode().split("\n\n")[:-1]]
    chunks = [json.loads(block) for block in blocks if block != "[DONE]"]
    choices = [choice for chunk in chunks for choice in chunk.get("choices", ())]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    deltas = [event["delta"] for event in streamed(events) if event["type"] == "response.output_text.delta"]
    assert text == "".join(deltas)


# ── Ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reason", "name", "status", "details", "item_status"),
    [
        ("stop", "completed", "completed", None, "completed"),
        ("tool_calls", "completed", "completed", None, "completed"),
        ("length", "incomplete", "incomplete", {"reason": "max_output_tokens"}, "incomplete"),
        ("content_filter", "incomplete", "incomplete", {"reason": "content_filter"}, "incomplete"),
        ("cancelled", "incomplete", "cancelled", None, "incomplete"),
    ],
)
def test_each_end_has_its_event_and_status(
    reason: FinishReason, name: str, status: str, details: object, item_status: str
) -> None:
    *_, end = streamed([TextDelta("Hel"), Finished(reason)])
    assert end["type"] == f"response.{name}"
    response = end["response"]
    assert (response["status"], response["incomplete_details"], response["error"]) == (status, details, None)
    assert [item["status"] for item in response["output"]] == [item_status]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (upstream_failed("broken"), "server_error"),
        (unavailable("starting"), "server_error"),
        (ApiError(429, "rate_limit_error", "usage_limit_reached", "later"), "rate_limit_exceeded"),
        (invalid_request("bad", "input"), "invalid_prompt"),
        # No code of openai-python's, but the one that the API sends and that the Codex CLI acts on.
        (invalid_request("too long", "input", CONTEXT_TOO_LONG), CONTEXT_TOO_LONG),
    ],
)
@pytest.mark.parametrize("way", ["event", "writer"])
def test_a_failure_is_told_in_the_response_that_it_ends(error: ApiError, code: str, way: str) -> None:
    said: list[TurnEvent] = [TextDelta("Hel"), Used(TokenUsage(9, 0, 3, 0))]

    def written(writer: ResponseStream | ResponseWhole) -> bytes:
        ending: Callable[[], bytes] = (
            (lambda: writer.fail(error)) if way == "writer" else (lambda: writer.feed([Failed(error)]))
        )
        return writer.feed(said) + ending()

    response = Reader().read(events_of(written(ResponseStream(FRAME))))
    assert response == json.loads(written(ResponseWhole(FRAME)))
    assert response["status"] == "failed"
    assert response["error"] == {"code": code, "message": error.message}
    assert [item["status"] for item in response["output"]] == ["incomplete"]
    assert response["usage"]["total_tokens"] == 12


@pytest.mark.parametrize(
    "ending",
    [
        [Used(TokenUsage(9, 0, 3, 0)), Finished("stop")],
        [Used(TokenUsage(9, 0, 3, 0)), Finished("length")],
        [Used(TokenUsage(9, 0, 3, 0)), Finished("cancelled")],
        [Failed(upstream_failed("broken"))],
    ],
    ids=["completed", "too long", "cancelled", "failed"],
)
def test_every_event_has_all_fields_that_open_responses_requires(ending: list[TurnEvent]) -> None:
    check_stream(events_of(ResponseStream(FRAME).feed([TextDelta("Hi."), *ending])))


@pytest.mark.parametrize("stream_id", [None, "a"])
def test_frames_have_the_events_of_the_stream_one_on_each_line(stream_id: str | None) -> None:
    said: list[TurnEvent] = [TextDelta("Two\nlines.\u2028"), Used(TokenUsage(9, 0, 3, 0)), Finished("stop")]
    lines = ResponseFrames(FRAME, stream_id).feed(said).splitlines()
    lane = {} if stream_id is None else {"stream_id": stream_id}
    assert [json.loads(line) for line in lines] == [
        {**event, **lane} for event in events_of(ResponseStream(FRAME).feed(said))
    ]


def test_a_stream_that_fails_before_anything_was_said_still_begins() -> None:
    events = events_of(ResponseStream(FRAME).fail(upstream_failed("broken")))
    assert [event["type"] for event in events] == ["response.created", "response.in_progress", "response.failed"]
    assert Reader().read(events)["output"] == []


def test_the_usage_is_that_of_all_upstream_responses_together() -> None:
    response = whole([Used(TokenUsage(10, 5, 3, 1)), Used(TokenUsage(20, 6, 4, 2)), Finished("stop")])
    assert response["usage"] == {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 11, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 37,
    }


def test_a_response_tells_the_tier_in_which_it_runs() -> None:
    writer = ResponseStream(FRAME)
    writer.output.run_in("priority")
    events = events_of(writer.feed([Finished("stop")]))
    assert {cast("Event", event["response"])["service_tier"] for event in events} == {"priority"}
