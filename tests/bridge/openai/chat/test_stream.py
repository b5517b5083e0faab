from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.config import ReasoningDisplay
from bridge.conversation.events import (
    Failed,
    Finished,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    TurnEvent,
    Used,
)
from bridge.conversation.tools import Kind
from bridge.errors import unavailable, upstream_failed
from bridge.openai import sse
from bridge.openai.chat.answer import ChatAnswer
from bridge.openai.chat.completion import ChatCompletion
from bridge.openai.chat.stream import ChatStream
from bridge.openai.clients import OVERFLOW_TOKENS
from codex_rpc.wire.events import TokenUsage

ID, CREATED, MODEL = "chatcmpl-codex-1", 1768247311, "2.5-tpg"
HEAD: Mapping[str, Any] = {"id": ID, "created": CREATED, "model": MODEL}
USAGE = TokenUsage(input=812, cached_input=768, output=40, reasoning_output=16)
WIRE_USAGE = {
    "prompt_tokens": 812,
    "completion_tokens": 40,
    "total_tokens": 852,
    "prompt_tokens_details": {"cached_tokens": 768},
    "completion_tokens_details": {"reasoning_tokens": 16},
}
NOTHING_USED = {
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "total_tokens": 0,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


def answer(choices: int = 1, display: ReasoningDisplay = "off", *, cursor: bool = False) -> ChatAnswer:
    return ChatAnswer(ID, CREATED, MODEL, choices, display, cursor)


def stream(
    choices: int = 1, display: ReasoningDisplay = "off", *, cursor: bool = False, usage_chunk: bool = False
) -> ChatStream:
    return ChatStream(answer(choices, display, cursor=cursor), usage_chunk=usage_chunk)


def test_an_old_client_gets_its_call_as_a_function_call() -> None:
    writer = ChatStream(ChatAnswer(ID, CREATED, MODEL, old_calls=True), usage_chunk=False)
    first, last, done = chunks(writer.feed([ToolCall("c1", "look", '{"at": 1}'), Finished("tool_calls")]))
    called = {"name": "look", "arguments": '{"at": 1}'}
    assert first == chunk({"role": "assistant", "refusal": None, "function_call": called})
    assert (last, done) == (chunk({}, "function_call", usage=NOTHING_USED), "[DONE]")


def chunks(written: bytes) -> list[Any]:
    """Return the data of each event; the last one of a complete stream is the text [DONE]."""
    *lines, rest = written.decode().split("\n\n")
    assert rest == ""
    assert all(line.startswith("data: ") for line in lines)
    data = [line.removeprefix("data: ") for line in lines]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


def chunk(delta: Mapping[str, Any], finish_reason: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {**HEAD, "object": "chat.completion.chunk", "choices": [choice], **more}


def usage_chunk_of(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": usage}


FIRST = {"role": "assistant", "refusal": None}


@pytest.mark.parametrize(
    ("usage_chunk", "events", "expected"),
    [
        (
            False,
            [TextDelta("Hel"), TextDelta("lo"), Used(USAGE), Finished("stop")],
            [
                chunk({**FIRST, "content": "Hel"}),
                chunk({"content": "lo"}),
                chunk({}, "stop", usage=WIRE_USAGE),
                "[DONE]",
            ],
        ),
        (
            True,
            [TextDelta("Hel"), TextDelta("lo"), Used(USAGE), Finished("stop")],
            [
                chunk({**FIRST, "content": "Hel"}, usage=None),
                chunk({"content": "lo"}, usage=None),
                chunk({}, "stop", usage=None),
                usage_chunk_of(WIRE_USAGE),
                "[DONE]",
            ],
        ),
        (False, [Finished("length")], [chunk(FIRST, "length", usage=NOTHING_USED), "[DONE]"]),
        (
            True,
            [Finished("content_filter")],
            [
                chunk(FIRST, "content_filter", usage=None),
                usage_chunk_of(NOTHING_USED),
                "[DONE]",
            ],
        ),
        (False, [Used(USAGE)], []),
        (
            False,
            [TextDelta("Hel"), Failed(upstream_failed("Cut."))],
            [chunk({**FIRST, "content": "Hel"}), upstream_failed("Cut.").body(), "[DONE]"],
        ),
    ],
    ids=["usage beside", "usage apart", "empty", "empty, usage apart", "nothing to say", "failed"],
)
def test_the_stream_is_chunks_of_the_openai_api(
    usage_chunk: bool, events: list[TurnEvent], expected: list[Any]
) -> None:
    assert chunks(stream(usage_chunk=usage_chunk).feed(events)) == expected


def test_a_stream_that_cannot_be_completed_ends_with_the_error() -> None:
    writer = stream(usage_chunk=True)
    writer.feed([TextDelta("Hel")])
    error = unavailable("Soon.")
    assert chunks(writer.fail(error)) == [error.body(), "[DONE]"]


def test_it_travels_as_server_sent_events() -> None:
    writer = stream()
    assert (writer.media, writer.keep_alive()) == (sse.HEADERS, sse.KEEP_ALIVE)


@pytest.mark.parametrize("old_calls", [False, True], ids=["tool_calls", "function_call"])
@pytest.mark.parametrize(
    ("kind", "field"), [("function", "arguments"), ("custom", "input")], ids=["function", "custom tool"]
)
@pytest.mark.parametrize("text", ["x", "\n", '"', "é", "\U0001f600", "\x01"], ids=repr)
def test_a_large_call_arrives_in_small_lines(text: str, kind: Kind, field: str, *, old_calls: bool) -> None:
    writer = ChatStream(ChatAnswer(ID, CREATED, MODEL, old_calls=old_calls), usage_chunk=False)
    written = writer.feed([ToolCall("c1", "write", text * 200_000, kind), TextDelta(text * 30_000), Finished("stop")])
    assert max(map(len, written.split(b"\n"))) < 9000
    deltas = [one["choices"][0]["delta"] for one in chunks(written)[:-1]]
    if old_calls:
        parts = [delta["function_call"] for delta in deltas if "function_call" in delta]
        assert "".join(part["arguments"] for part in parts) == text * 200_000
    else:
        calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
        assert {call["index"] for call in calls} == {0}
        assert [call["id"] for call in calls if "id" in call] == ["c1"]
        assert "".join(call[kind][field] for call in calls) == text * 200_000
    assert "".join(delta.get("content", "") for delta in deltas) == text * 30_000


def test_cursor_gets_a_call_of_a_custom_tool_as_a_function_with_raw_text() -> None:
    first, _, _ = chunks(stream(cursor=True).feed([PATCH, Finished("tool_calls")]))
    function = {"name": "ApplyPatch", "arguments": "*** Begin"}
    assert first["choices"][0]["delta"]["tool_calls"] == [
        {"index": 0, "id": "c2", "type": "function", "function": function}
    ]


CALL = ToolCall("c1", "look", '{"at": 1}')
WIRE_CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
PATCH = ToolCall("c2", "ApplyPatch", "*** Begin", "custom")
WIRE_PATCH = {"id": "c2", "type": "custom", "custom": {"name": "ApplyPatch", "input": "*** Begin"}}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([CALL], [chunk({**FIRST, "tool_calls": [{"index": 0, **WIRE_CALL}]})]),
        (
            [TextDelta("I look."), CALL, PATCH],
            [
                chunk({**FIRST, "content": "I look."}),
                chunk({"tool_calls": [{"index": 0, **WIRE_CALL}]}),
                chunk({"tool_calls": [{"index": 1, **WIRE_PATCH}]}),
            ],
        ),
    ],
    ids=["alone", "two after a text, one of a custom tool"],
)
def test_each_call_is_told_whole_under_its_own_index(events: list[TurnEvent], expected: list[Any]) -> None:
    told = chunks(stream().feed([*events, Finished("tool_calls")]))
    assert told == [*expected, chunk({}, "tool_calls", usage=NOTHING_USED), "[DONE]"]


@pytest.mark.parametrize(
    ("display", "expected"),
    [
        ("off", [chunk({**FIRST, "content": "Hello"})]),
        (
            "reasoning_content",
            [
                chunk({**FIRST, "reasoning_content": "Let me "}),
                chunk({"reasoning_content": "see."}),
                chunk({"content": "Hello"}),
            ],
        ),
        (
            "think",
            [
                chunk({**FIRST, "content": "<think>\nLet me "}),
                chunk({"content": "see."}),
                chunk({"content": "\n</think>\n\nHello"}),
            ],
        ),
        (
            "details",
            [
                chunk({**FIRST, "content": "<details><summary>Reasoning</summary>\n\nLet me "}),
                chunk({"content": "see."}),
                chunk({"content": "\n\n</details>\n\nHello"}),
            ],
        ),
    ],
)
def test_reasoning_is_shown_as_it_is_wanted(display: ReasoningDisplay, expected: list[Any]) -> None:
    said = [ReasoningDelta("Let me "), ReasoningDelta("see."), TextDelta("Hello")]
    assert chunks(stream(display=display).feed(said)) == expected


def test_a_block_of_reasoning_is_closed_before_a_call_and_before_the_end() -> None:
    said = [ReasoningDelta("A"), CALL, ReasoningDelta("B"), Finished("tool_calls")]
    assert chunks(stream(display="think").feed(said)) == [
        chunk({**FIRST, "content": "<think>\nA"}),
        chunk({"content": "\n</think>\n\n"}),
        chunk({"tool_calls": [{"index": 0, **WIRE_CALL}]}),
        chunk({"content": "<think>\nB"}),
        chunk({"content": "\n</think>\n\n"}),
        chunk({}, "tool_calls", usage=NOTHING_USED),
        "[DONE]",
    ]


@pytest.mark.parametrize("usage_chunk", [False, True])
def test_each_choice_is_told_under_its_index_and_the_end_of_the_last_one_ends_the_stream(usage_chunk: bool) -> None:
    beside: dict[str, Any] = {"usage": None} if usage_chunk else {}
    writer = stream(2, usage_chunk=usage_chunk)
    both = {**WIRE_USAGE, "prompt_tokens": 1624, "completion_tokens": 80, "total_tokens": 1704}
    both["prompt_tokens_details"] = {"cached_tokens": 1536}
    both["completion_tokens_details"] = {"reasoning_tokens": 32}
    assert chunks(writer.feed([TextDelta("b"), CALL], 1)) == [
        chunk({**FIRST, "content": "b"}, index=1, **beside),
        chunk({"tool_calls": [{"index": 0, **WIRE_CALL}]}, index=1, **beside),
    ]
    assert chunks(writer.feed([CALL, Used(USAGE), Finished("tool_calls")], 0)) == [
        chunk({**FIRST, "tool_calls": [{"index": 0, **WIRE_CALL}]}, **beside),
        chunk({}, "tool_calls", **beside),
    ]
    last = chunks(writer.feed([Used(USAGE), Finished("tool_calls")], 1))
    if usage_chunk:
        assert last == [chunk({}, "tool_calls", index=1, usage=None), usage_chunk_of(both), "[DONE]"]
    else:
        assert last == [chunk({}, "tool_calls", index=1, usage=both), "[DONE]"]


@pytest.mark.parametrize("usage_chunk", [False, True])
def test_cursor_which_takes_an_unknown_field_ill_gets_the_error_as_the_last_of_the_text(usage_chunk: bool) -> None:
    writer = stream(cursor=True, usage_chunk=usage_chunk)
    told = chunks(writer.feed([TextDelta("Hel"), Used(USAGE)]) + writer.fail(upstream_failed("Cut.")))
    assert told[-1] == "[DONE]"
    choices = [one for data in told[:-1] for one in data["choices"]]
    assert [one["delta"].get("content") for one in choices] == ["Hel", "\n\nCut.", None]
    assert [one["finish_reason"] for one in choices] == [None, None, "stop"]
    assert [data["usage"] for data in told[:-1] if data.get("usage")] == [WIRE_USAGE]
    assert all("error" not in data for data in told[:-1])


def test_an_error_for_cursor_is_not_hidden_in_a_block_of_reasoning() -> None:
    writer = stream(display="think", cursor=True)
    told = chunks(writer.feed([ReasoningDelta("Hm.")]) + writer.fail(upstream_failed("Cut.")))
    text = "".join(one["choices"][0]["delta"].get("content", "") for one in told[:-1])
    assert text == "<think>\nHm.\n</think>\n\n\n\nCut."


@pytest.mark.parametrize(
    ("usage_chunk", "beside", "apart"),
    [(False, OVERFLOW_TOKENS, []), (True, None, [OVERFLOW_TOKENS])],
    ids=["usage beside", "usage apart"],
)
def test_a_context_that_is_too_long_is_an_empty_answer_with_a_usage_that_makes_cursor_compact(
    usage_chunk: bool, beside: int | None, apart: list[int]
) -> None:
    first, last, *rest = chunks(stream(cursor=True, usage_chunk=usage_chunk).overflow())
    usage: dict[str, Any] = last["usage"] or {}
    assert first["choices"][0]["delta"] == {**FIRST, "content": ""}
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    assert usage.get("prompt_tokens") == beside
    assert [one["usage"]["prompt_tokens"] for one in rest[:-1]] == apart
    assert rest[-1] == "[DONE]"


COUNTS = st.integers(0, 10**6)
EVENTS: st.SearchStrategy[TurnEvent] = st.one_of(
    st.builds(TextDelta, st.text(min_size=1)),
    st.builds(ReasoningDelta, st.text(min_size=1)),
    st.builds(ToolCall, st.text(max_size=5), st.text(max_size=5), st.text(max_size=5)),
    st.builds(Used, st.builds(TokenUsage, COUNTS, COUNTS, COUNTS, COUNTS)),
)
REASONS: st.SearchStrategy[FinishReason] = st.sampled_from(["stop", "length", "content_filter", "tool_calls"])
DISPLAYS: st.SearchStrategy[ReasoningDisplay] = st.sampled_from(["off", "reasoning_content", "think", "details"])


@st.composite
def whole_answers(draw: st.DrawFn) -> list[TurnEvent]:
    """The events of an answer that is completed."""
    return [*draw(st.lists(EVENTS, max_size=8)), Finished(draw(REASONS))]


@st.composite
def interleaved(draw: st.DrawFn, choices: int) -> list[tuple[int, TurnEvent]]:
    """The events of so many choices, each in its own order, one among the other."""
    waiting = [draw(whole_answers()) for _ in range(choices)]
    order = draw(st.permutations([index for index, events in enumerate(waiting) for _ in events]))
    return [(index, waiting[index].pop(0)) for index in order]


def fold(told: Sequence[Any]) -> dict[str, Any]:
    """Put a complete stream together as a client does, and see that it is well formed."""
    assert told[-1] == "[DONE]"
    assert {(one["id"], one["created"], one["model"], one["object"]) for one in told[:-1]} == {
        (*HEAD.values(), "chat.completion.chunk")
    }
    choices = [choice for one in told[:-1] for choice in one["choices"]]
    indices = sorted({choice["index"] for choice in choices})
    [usage] = [one["usage"] for one in told[:-1] if one.get("usage") is not None]
    return {
        **HEAD,
        "object": "chat.completion",
        "choices": [fold_choice([one for one in choices if one["index"] == index]) for index in indices],
        "usage": usage,
    }


def fold_choice(told: Sequence[Any]) -> dict[str, Any]:
    deltas = [choice["delta"] for choice in told]
    assert ["role" in delta for delta in deltas] == [True] + [False] * (len(deltas) - 1)
    reasons = [choice["finish_reason"] for choice in told]
    assert reasons[:-1] == [None] * (len(reasons) - 1)
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert [call.pop("index") for call in calls] == list(range(len(calls)))
    content = "".join(delta.get("content", "") for delta in deltas)
    message = {
        "role": deltas[0]["role"],
        "content": content if content or not calls else None,
        "refusal": deltas[0]["refusal"],
        "tool_calls": calls or None,
    }
    if reasoning := "".join(delta.get("reasoning_content", "") for delta in deltas):
        message["reasoning_content"] = reasoning
    return {"index": told[0]["index"], "message": message, "logprobs": None, "finish_reason": reasons[-1]}


@settings(deadline=None)
@given(data=st.data(), choices=st.integers(1, 4), display=DISPLAYS, usage_chunk=st.booleans())
def test_a_stream_put_together_is_the_whole_answer(
    data: st.DataObject, choices: int, display: ReasoningDisplay, usage_chunk: bool
) -> None:
    events = data.draw(interleaved(choices))
    streamed, completed = stream(choices, display, usage_chunk=usage_chunk), ChatCompletion(answer(choices, display))
    told = b"".join(streamed.feed([event], index) for index, event in events)
    whole = json.loads(b"".join(completed.feed([event], index) for index, event in events))
    assert fold(chunks(told)) == whole


def test_reasoning_around_a_call_is_the_same_in_a_stream_and_a_whole_answer() -> None:
    said = [ReasoningDelta("A"), CALL, ReasoningDelta("B"), Finished("tool_calls")]
    whole = json.loads(ChatCompletion(answer(display="think")).feed(said))
    assert fold(chunks(stream(display="think").feed(said))) == whole


@settings(deadline=None)
@given(events=whole_answers())
def test_the_text_of_a_stream_is_that_of_its_deltas(events: list[TurnEvent]) -> None:
    message = fold(chunks(stream().feed(events)))["choices"][0]["message"]
    assert (message["content"] or "") == "".join(event.text for event in events if isinstance(event, TextDelta))


@settings(deadline=None)
@given(events=whole_answers(), usage_chunk=st.booleans(), data=st.data())
def test_events_are_written_the_same_alone_and_together(
    events: list[TurnEvent], usage_chunk: bool, data: st.DataObject
) -> None:
    split = data.draw(st.integers(0, len(events)))
    writer = stream(usage_chunk=usage_chunk)
    assert writer.feed(events[:split]) + writer.feed(events[split:]) == stream(usage_chunk=usage_chunk).feed(events)


@settings(deadline=None)
@given(events=whole_answers())
def test_who_asked_for_a_usage_chunk_gets_one_with_no_choices_after_the_finish_reason(events: list[TurnEvent]) -> None:
    told = chunks(stream(usage_chunk=True).feed(events))
    assert [one["choices"] for one in told[-2:-1]] == [[]]
    assert told[-3]["choices"][0]["finish_reason"] is not None
    assert all("usage" in one for one in told[:-1])


@given(st.lists(st.text(), min_size=1), st.sampled_from(['""', '"', "\\", "2.5-tpg", '{"content":""}']), st.booleans())
@settings(deadline=None)
def test_every_chunk_of_text_is_whole_whatever_the_text_and_the_model(
    texts: list[str], model: str, usage_chunk: bool
) -> None:
    written = ChatStream(ChatAnswer(ID, CREATED, model), usage_chunk=usage_chunk).feed(map(TextDelta, texts))

    first, *others = chunks(written)
    more: dict[str, Any] = {"usage": None} if usage_chunk else {}
    assert others == [{**chunk({"content": text}, **more), "model": model} for text in texts[1:]]
    assert first["choices"][0]["delta"] == {"role": "assistant", "refusal": None, "content": texts[0]}
