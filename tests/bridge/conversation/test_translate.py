from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
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
from bridge.conversation.tools import Tool, Toolbox
from bridge.conversation.translate import UNDECLARED_CALLS, Translator
from codex_rpc.wire.events import (
    CodexFailure,
    CompactionStarted,
    ErrorReported,
    Event,
    MessageDelta,
    RawItemCompleted,
    TokenUsage,
)
from tests.bridge.conversation.codex_events import (
    THREAD,
    TURN,
    called,
    delta,
    ended,
    item,
    message,
    output,
    reasoning,
    reported,
    used,
)

USAGE = TokenUsage(812, 768, 40, 16)
LOOK = Tool.function("look", "Looks.", {})
DOTTED = Tool.function("fs.read", "Reads.", {})
PATCH = Tool.custom("ApplyPatch", "Edits.", None)
BOX = Toolbox((LOOK, DOTTED, PATCH))


def translate(events: Sequence[Event], toolbox: Toolbox = BOX) -> list[TurnEvent]:
    """Return the translation of the events, fed one by one up to the first end, without completed items."""
    translator = Translator(toolbox)
    out: list[TurnEvent] = []
    for event in events:
        out += without_items(translator.feed([event]))
        if out and isinstance(out[-1], Finished | Failed):
            break
    return out


def without_items(events: Iterable[TurnEvent]) -> list[TurnEvent]:
    """Return the events without completed items."""
    return [event for event in events if not isinstance(event, ItemDone)]


def text_of(events: Sequence[TurnEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def failure_of(events: Sequence[TurnEvent]) -> tuple[int, str | None, str]:
    """Return status, code and message of the failure that must be the last event."""
    last = events[-1]
    assert isinstance(last, Failed), f"no failure at the end of {events}"
    return last.error.status, last.error.code, last.error.message


TEXT_CHANGED = (502, "upstream_error", "The model's stream was interrupted, and the repeated text differed.")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [delta("Hel"), delta("lo"), message("Hello"), used(USAGE), ended()],
            [TextDelta("Hel"), TextDelta("lo"), Used(USAGE), Finished("stop")],
        ),
        ([delta("Hello", pieces=3), ended()], [TextDelta("Hello", 3), Finished("stop")]),
        ([message("Hello"), ended()], [TextDelta("Hello"), Finished("stop")]),
        ([message("Hel", "lo"), ended()], [TextDelta("Hello"), Finished("stop")]),
        ([delta("Hel"), message("Hello"), ended()], [TextDelta("Hel"), TextDelta("lo"), Finished("stop")]),
        (
            [delta("One", "msg_1"), message("One"), delta("Two", "msg_2"), message("Two"), ended()],
            [TextDelta("One"), TextDelta("Two"), Finished("stop")],
        ),
        (
            [delta("One", "msg_1"), message("One"), used(None), delta("One", "msg_2"), message("One"), ended()],
            [TextDelta("One"), TextDelta("One"), Finished("stop")],
        ),
        (
            [used(USAGE), used(None), used(USAGE), ended()],
            [Used(USAGE), Used(USAGE), Finished("stop")],
        ),
        ([delta(""), message(""), message(), ended()], [Finished("stop")]),
        (
            [
                item({"type": "reasoning", "summary": []}),
                item({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}),
                item({"type": "a_type_of_the_future"}),
                reported(),
                ended(),
            ],
            [Finished("stop")],
        ),
        (
            [item({"type": "message", "role": "assistant", "content": [{"type": "a_part_of_the_future"}]}), ended()],
            [Finished("stop")],
        ),
        (
            [reasoning("Let "), reasoning("me see."), delta("Hello"), message("Hello"), ended()],
            [ReasoningDelta("Let ", "rs_1"), ReasoningDelta("me see.", "rs_1"), TextDelta("Hello"), Finished("stop")],
        ),
        ([], []),
    ],
    ids=[
        "a whole answer",
        "merged deltas",
        "no deltas",
        "two parts",
        "too few deltas",
        "two messages",
        "the same message in two responses",
        "usage of each response",
        "empty texts",
        "what is no answer",
        "unknown parts",
        "reasoning",
        "nothing",
    ],
)
def test_events_of_codex_become_turn_events(events: list[Event], expected: list[TurnEvent]) -> None:
    assert translate(events) == expected
    assert without_items(Translator(BOX).feed(events)) == expected


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [delta("Hel", "msg_1"), reported(), delta("He", "msg_2"), delta("llo", "msg_2"), message("Hello")],
            [TextDelta("Hel"), TextDelta("lo")],
        ),
        (
            [delta("Hel", "msg_1"), delta("Hello", "msg_2"), message("Hello")],
            [TextDelta("Hel"), TextDelta("lo")],
        ),
        (
            [delta("Hel", "msg_1"), delta("Hel", "msg_2"), delta("lo", "msg_2")],
            [TextDelta("Hel"), TextDelta("lo")],
        ),
        (
            [delta("Hel", "msg_1"), delta("H", "msg_2"), delta("Hello", "msg_3")],
            [TextDelta("Hel"), TextDelta("lo")],
        ),
        (
            [delta("Hel", "msg_1"), delta("Hell", "msg_2"), delta("Hello", "msg_3")],
            [TextDelta("Hel"), TextDelta("l"), TextDelta("o")],
        ),
        (
            [delta("Hel", "msg_1"), message("Hello")],
            [TextDelta("Hel"), TextDelta("lo")],
        ),
        (
            [delta("Hel", "msg_1"), delta("Hello there", "msg_2", pieces=4)],
            [TextDelta("Hel"), TextDelta("lo there", 4)],
        ),
    ],
    ids=[
        "in two deltas",
        "in one delta",
        "at the same cut",
        "again while repeating",
        "again after going on",
        "without deltas",
        "merged",
    ],
)
def test_text_that_a_restarted_stream_repeats_is_passed_on_once(events: list[Event], expected: list[TurnEvent]) -> None:
    assert translate(events) == expected


RETRY = ErrorReported(THREAD, TURN, CodexFailure("Reconnecting... 1/5"), will_retry=True)
"""Codex does not report the first retry over WebSocket."""


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([delta("On", "msg_2"), delta("e", "msg_2"), message("One")], ["One", "message"]),
        ([RETRY, delta("One", "msg_2"), message("One")], ["One", "message"]),
        ([message("One")], ["One", "message"]),
        (
            [delta("One", "msg_2"), message("One"), delta("Two", "msg_3"), message("Two")],
            ["One", "message", "Two", "message"],
        ),
        (
            [delta("Tw", "msg_2"), delta("One", "msg_3"), message("One"), delta("Two", "msg_4"), message("Two")],
            ["One", "message", "Tw", "o", "message"],
        ),
        (
            [delta("Tw", "msg_2"), message("Two"), delta("Two", "msg_3"), delta("One", "msg_3"), message("TwoOne")],
            ["One", "message", "Tw", "o", "message", "TwoOne", "message"],
        ),
        ([delta("O", "msg_2"), delta("n", "msg_3"), message("no")], ["One", "message", "n", "o", "message"]),
        ([delta("On", "msg_2"), message("On")], ["One", "message", "On", "message"]),
        ([delta("One more", "msg_2"), message("One more")], ["One", "message", "One more", "message"]),
        (
            [RETRY, delta("One", "msg_2"), delta(" more", "msg_2"), message("One more.")],
            ["One", "message", " more", ".", "message"],
        ),
        ([RETRY, message("One more")], ["One", "message", " more", "message"]),
    ],
    ids=[
        "in deltas",
        "after a reported retry",
        "without deltas",
        "before the next message",
        "before an incomplete message",
        "twice the second message",
        "cut again",
        "another, shorter message",
        "another, longer message",
        "a longer repetition",
        "a longer repetition without deltas",
    ],
)
def test_a_complete_message_that_a_retry_repeats_is_passed_on_once(events: list[Event], expected: list[str]) -> None:
    assert shown([delta("One", "msg_1"), message("One"), *events]) == expected


def reasoned(text: str, item_id: str = "rs_1") -> RawItemCompleted:
    """A finished reasoning item."""
    summary = [{"type": "summary_text", "text": text}]
    return item({"type": "reasoning", "id": item_id, "summary": summary, "encrypted_content": f"secret of {item_id}"})


def shown(events: Sequence[Event]) -> list[Any]:
    """Return the translation: a new reasoning part as `…`, its text after `~`, a completed item as its type and id."""
    out: list[Any] = []
    translator = Translator(BOX)
    for event in itertools.chain.from_iterable(translator.feed([event]) for event in events):
        match event:
            case ReasoningPart(source):
                out.append(f"… {source}")
            case ReasoningDelta(text, source):
                out.append(f"~{text} {source}")
            case TextDelta(text):
                out.append(text)
            case ItemDone(done):
                out.append(f"{done['type']} {done.get('id', '')}".strip())
            case _:
                out.append(event)
    return out


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [
                reasoning(""),
                reasoning("Hm"),
                reasoning("", "rs_2"),
                reasoning("Hmm.", "rs_2"),
                reasoned("Hmm.", "rs_2"),
            ],
            ["… rs_1", "~Hm rs_1", "~m. rs_2", "reasoning rs_2"],
        ),
        (
            [reasoning(""), reasoning("Hm"), reasoning("", "rs_2"), reasoning("So.", "rs_2"), reasoned("So.", "rs_2")],
            ["… rs_1", "~Hm rs_1", "… rs_2", "~So. rs_2", "reasoning rs_2"],
        ),
        (
            [reasoning("Hm"), reasoning("H", "rs_2"), reasoning("i", "rs_2"), reasoned("Hi", "rs_2")],
            ["~Hm rs_1", "… rs_2", "~Hi rs_2", "reasoning rs_2"],
        ),
        (
            [
                reasoning("Hm."),
                reasoned("Hm."),
                reasoning("", "rs_2"),
                reasoning("Hm.", "rs_2"),
                reasoned("Hm.", "rs_2"),
            ],
            ["~Hm. rs_1", "reasoning rs_1", "… rs_2", "~Hm. rs_2", "reasoning rs_2"],
        ),
        (
            [
                reasoned("Hm."),
                delta("Hel", "msg_1"),
                reported(),
                reasoning("", "rs_2"),
                reasoning("Hm.", "rs_2"),
                reasoned("Hm.", "rs_2"),
                item({"type": "web_search_call", "id": "ws_2"}),
                delta("Hello", "msg_2"),
                message("Hello"),
                reasoned("Done.", "rs_3"),
            ],
            ["reasoning rs_1", "Hel", "lo", "message", "reasoning rs_3"],
        ),
    ],
    ids=["the same", "another", "another later", "again after a complete one", "inside a message"],
)
def test_repeated_reasoning_is_passed_on_once_and_other_reasoning_as_a_new_part(
    events: list[Event], expected: list[str]
) -> None:
    assert shown(events) == expected


def test_a_repeated_message_is_remembered_once() -> None:
    translator = Translator(BOX)
    translator.feed([message("One"), delta("One", "msg_2"), message("One")])
    assert translator.items == [message("One").item]


def test_items_that_a_retry_repeats_are_kept_but_not_passed_on() -> None:
    translator = Translator(BOX)
    translator.feed([reasoned("Hm."), delta("Hel", "msg_1"), reasoned("Hm.", "rs_2"), message("Hello")])
    assert [one.get("id") for one in translator.items] == ["rs_1", "rs_2", None]


@pytest.mark.parametrize(
    "events",
    [
        [delta("Hello", "msg_1"), delta("Good", "msg_2")],
        [delta("Hello", "msg_1"), delta("Hel", "msg_2"), delta("p", "msg_2")],
        [delta("Hello", "msg_1"), delta("Help me", "msg_2")],
        [delta("Hello", "msg_1"), message("Hell")],
        [delta("Hello", "msg_1"), message("Good bye")],
        [delta("Hello", "msg_1"), delta("Hell", "msg_2"), message("Hell")],
        [delta("Hello", "msg_1"), message()],
    ],
    ids=[
        "at once",
        "later",
        "in a long delta",
        "completed shorter",
        "completed otherwise",
        "repeated shorter",
        "completed empty",
    ],
)
def test_a_repeated_text_that_differs_fails_the_answer(events: list[Event]) -> None:
    out = translate(events)
    assert out[:-1] == [TextDelta("Hello")]
    assert failure_of(out) == TEXT_CHANGED


@pytest.mark.parametrize(
    ("message_text", "reason"),
    [
        ("Incomplete response returned, reason: max_output_tokens", "length"),
        ("stream error: Incomplete response returned, reason: content_filter.", "content_filter"),
    ],
    ids=["length", "content filter"],
)
def test_an_answer_that_the_upstream_cut_short_is_finished(message_text: str, reason: FinishReason) -> None:
    events = [delta("Hel"), ended("failed", CodexFailure(message_text))]
    assert translate(events) == [TextDelta("Hel"), Finished(reason)]


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (ended("interrupted"), (502, "upstream_error", "The turn was interrupted.")),
        (
            ended("failed", CodexFailure("No more today.", "usageLimitExceeded")),
            (429, "usage_limit_reached", "No more today. Try again later."),
        ),
        (
            ended("failed", CodexFailure("Incomplete response returned, reason: another")),
            (502, "upstream_error", "Incomplete response returned, reason: another. Try again in a moment."),
        ),
    ],
    ids=["interrupted", "of a known kind", "incomplete for an unknown reason"],
)
def test_a_turn_that_does_not_complete_fails_the_answer(ending: Event, expected: tuple[int, str, str]) -> None:
    out = translate([delta("Hel"), used(USAGE), ending])
    assert out[:-1] == [TextDelta("Hel"), Used(USAGE)]
    assert failure_of(out) == expected


@pytest.mark.parametrize(
    "events",
    [[ended(), delta("more", "msg_9")], [delta("a"), delta("b", "msg_2"), delta("more", "msg_2")]],
    ids=["after the end", "after a failure"],
)
def test_no_event_follows_the_end(events: list[Event]) -> None:
    out = Translator(BOX).feed(events)
    assert isinstance(out[-1], Finished | Failed)
    assert "more" not in text_of(out)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [called("c1", "look", '{"at": "x"}'), used(USAGE)],
            [ToolCall("c1", "look", '{"at": "x"}'), Used(USAGE), Finished("tool_calls")],
        ),
        (
            [delta("I look."), message("I look."), called("c1"), called("c2"), used(USAGE)],
            [
                TextDelta("I look."),
                ToolCall("c1", "look", "{}"),
                ToolCall("c2", "look", "{}"),
                Used(USAGE),
                Finished("tool_calls"),
            ],
        ),
        (
            [called("c1", DOTTED.codex_name), used(USAGE)],
            [ToolCall("c1", "fs.read", "{}"), Used(USAGE), Finished("tool_calls")],
        ),
        (
            [called("c1", "ApplyPatch", '{"input": "*** Begin"}'), used(USAGE)],
            [ToolCall("c1", "ApplyPatch", "*** Begin", "custom"), Used(USAGE), Finished("tool_calls")],
        ),
        ([called("c1"), used(None)], [ToolCall("c1", "look", "{}"), Finished("tool_calls")]),
        (
            [called("c1", "undeclared"), used(USAGE), output("c1", "unsupported call"), message("Sorry."), ended()],
            [Used(USAGE), TextDelta("Sorry."), Finished("stop")],
        ),
        (
            [called("c1", "undeclared"), called("c2"), used(USAGE)],
            [ToolCall("c2", "look", "{}"), Used(USAGE), Finished("tool_calls")],
        ),
        (
            [called("c1"), used(USAGE), delta("more", "msg_9"), ended()],
            [ToolCall("c1", "look", "{}"), Used(USAGE), Finished("tool_calls")],
        ),
        (
            [called("c1"), ended("failed", CodexFailure("Incomplete response returned, reason: max_output_tokens"))],
            [ToolCall("c1", "look", "{}"), Finished("length")],
        ),
    ],
    ids=[
        "one call",
        "two calls after a text",
        "by the client's name",
        "custom with its raw text",
        "usage unknown",
        "an undeclared tool",
        "one declared of two",
        "nothing after the calls",
        "cut short after a call",
    ],
)
def test_calls_of_the_clients_tools_end_the_answer_when_the_response_is_complete(
    events: list[Event], expected: list[TurnEvent]
) -> None:
    assert translate(events) == expected
    assert without_items(Translator(BOX).feed(events)) == expected


def test_without_tools_no_call_is_passed_on() -> None:
    events = [called("c1"), used(USAGE), ended()]
    assert translate(events, Toolbox()) == [Used(USAGE), Finished("stop")]


def test_calls_of_undeclared_tools_are_left_to_codex_up_to_a_limit() -> None:
    refusals: list[Event] = []
    for number in range(UNDECLARED_CALLS):
        refusals += [called(f"c{number}", "no_such_tool"), output(f"c{number}", "unsupported call"), used(USAGE)]
    out = translate([*refusals[:-3], message("Sorry."), ended()])
    assert [event for event in out if event != Used(USAGE)] == [TextDelta("Sorry."), Finished("stop")]
    assert failure_of(translate(refusals)) == (
        502,
        "upstream_error",
        "The model keeps calling tools that do not exist: no_such_tool.",
    )


def test_the_names_of_undeclared_calls_are_reported() -> None:
    translator = Translator(BOX)
    elsewhere = {**called("c2", "look").item, "namespace": "files"}
    translator.feed([called("c1", "no_such_tool"), item(elsewhere), called("c3"), used(USAGE)])
    assert translator.undeclared == ["no_such_tool", "files.look"]


@pytest.mark.parametrize("namespace", ["functions", "", "look", None])
def test_a_call_in_the_upstreams_namespace_has_no_namespace(namespace: str | None) -> None:
    call = {**called("c1").item, "namespace": namespace}
    assert translate([item(call), used(USAGE)]) == [ToolCall("c1", "look", "{}"), Used(USAGE), Finished("tool_calls")]


@pytest.mark.parametrize(
    ("arguments", "namespace", "answers"),
    [
        ("{}", "functions", False),
        ('{"n": 1e400}', None, False),
        ("[1]", None, False),
        ("", None, True),
        ("{'a': 1}", None, True),
        ("{}", "look", True),
    ],
)
def test_calls_that_codex_answers_itself_are_recognised(arguments: str, namespace: str | None, answers: bool) -> None:
    translator = Translator(BOX)
    translator.feed([item({**called("c1", arguments=arguments).item, "namespace": namespace})])
    assert (translator.codex_answers, translator.codex_waits) == (answers, not answers)


def test_a_compaction_fails_the_answer() -> None:
    events = [CompactionStarted(THREAD, TURN), message("A summary."), used(USAGE), delta("Hello"), ended()]
    assert failure_of(translate(events)) == (
        502,
        "upstream_error",
        "Codex started to compact the conversation.",
    )
    assert text_of(translate(events)) == ""


def test_an_answer_can_be_suspended_only_after_a_call() -> None:
    translator = Translator(BOX)
    translator.feed([delta("I look."), called("c1", "undeclared")])
    assert translator.suspend() == []
    translator.feed([called("c2")])
    assert translator.suspend() == [Finished("tool_calls")]


REASONING: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
HELLO = message("Hello").item
CALL = called("c1").item
METADATA = {"internal_chat_message_metadata_passthrough": {"turn_id": "turn_1"}}


@pytest.mark.parametrize(
    ("events", "items"),
    [
        ([item(REASONING), message("Hello"), called("c1")], [REASONING, HELLO, CALL]),
        ([item({**REASONING, **METADATA}), item({**HELLO, **METADATA})], [REASONING, HELLO]),
        ([delta("Hello"), reasoning("Hm.")], []),
        ([message("Be brief.", role="developer"), message("Hi", role="user"), message("Hello")], [HELLO]),
        ([called("c1"), output("c1", "failed to parse"), message("Hello")], [CALL, HELLO]),
        ([called("c1", arguments=" ")], [CALL]),
        (
            [called("c1", "undeclared"), output("c1", "unsupported call")],
            [called("c1", "undeclared").item, output("c1", "unsupported call").item],
        ),
        ([item({"type": "a_type_of_the_future"}), item({}), message("Hello")], [HELLO]),
        ([delta("Hel", "msg_1"), reported(), delta("Hello", "msg_2"), message("Hello")], [HELLO]),
    ],
    ids=[
        "every kind of item",
        "without codex's own metadata",
        "no deltas",
        "no other roles",
        "no answers of codex to the client's calls",
        "no arguments",
        "codex's own output",
        "no unknown types",
        "restarted",
    ],
)
def test_the_items_of_the_model_can_be_injected(events: list[Event], items: list[dict[str, Any]]) -> None:
    translator = Translator(BOX)
    translator.feed(events)
    assert translator.items == items


def test_the_items_of_events_are_not_modified() -> None:
    wire = {**HELLO, **METADATA}
    Translator(BOX).feed([item(wire)])
    assert wire == {**HELLO, **METADATA}


CALLS: st.SearchStrategy[RawItemCompleted] = st.builds(
    called,
    st.uuids().map(str),
    st.sampled_from(["look", DOTTED.codex_name, "ApplyPatch", "undeclared", ""]),
    st.sampled_from(["{}", '{"input": "raw"}', "no JSON", ""]),
)


@settings(deadline=None)
@given(st.lists(st.one_of(CALLS, st.builds(reasoning, st.text()), st.just(item(REASONING))), max_size=6))
def test_every_declared_call_is_passed_on_once_and_every_item_kept(
    events: list[Event],
) -> None:
    translator = Translator(BOX)
    out = translator.feed([*events, used(USAGE), ended()])
    wires = [event.item for event in events if isinstance(event, RawItemCompleted)]
    declared = {tool.codex_name: tool.name for tool in BOX.tools}
    expected = [
        (wire["call_id"], declared[wire["name"]])
        for wire in wires
        if wire["type"] == "function_call" and wire["name"] in declared
    ]
    assert [(event.call_id, event.name) for event in out if isinstance(event, ToolCall)] == expected
    assert out[-2:] == [Used(USAGE), Finished("tool_calls" if expected else "stop")]
    assert translator.items == [
        {**wire, "arguments": "{}"} if wire.get("arguments") == "" and wire["name"] in declared else wire
        for wire in wires
    ]


TEXTS = st.text(alphabet="ab ", min_size=1, max_size=12)


@st.composite
def deltas_of(draw: st.DrawFn, text: str, item_id: str) -> list[MessageDelta]:
    """Return a text in deltas, cut anywhere."""
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=4)))
    edges = [0, *cuts, len(text)]
    return [delta(text[start:end], item_id) for start, end in itertools.pairwise(edges)]


@st.composite
def answers(draw: st.DrawFn, text: str) -> list[Event]:
    """Return a text whose stream is cut several times, at any place, and starts again each time."""
    events: list[Event] = []
    for number in range(draw(st.integers(0, 3))):
        reached = draw(st.integers(0, len(text)))
        events += draw(deltas_of(text[:reached], f"msg_cut_{number}"))
        events += draw(st.lists(st.builds(reported), max_size=1))
    return events + draw(deltas_of(text, "msg_last"))


@settings(deadline=None)
@given(data=st.data(), text=TEXTS, with_item=st.booleans())
def test_a_text_is_passed_on_exactly_once_wherever_its_stream_is_cut(
    data: st.DataObject, text: str, with_item: bool
) -> None:
    events = data.draw(answers(text)) + ([message(text)] if with_item else [])
    out = translate([*events, used(USAGE), ended()])
    assert text_of(out) == text
    assert out[-2:] == [Used(USAGE), Finished("stop")]
    assert "" not in [event.text for event in out if isinstance(event, TextDelta)]


@settings(deadline=None)
@given(data=st.data(), texts=st.lists(TEXTS, max_size=3, unique=True))
def test_each_of_several_messages_is_passed_on_exactly_once(data: st.DataObject, texts: list[str]) -> None:
    assume(not any(text.startswith(one) for one, text in itertools.permutations(texts, 2)))
    events = [event for text in texts for event in [*data.draw(answers(text)), message(text)]]
    assert text_of(translate([*events, ended()])) == "".join(texts)


@settings(deadline=None)
@given(data=st.data(), first=TEXTS, repeated=TEXTS, with_item=st.booleans())
def test_a_restart_with_another_text_fails_without_passing_it_on(
    data: st.DataObject, first: str, repeated: str, with_item: bool
) -> None:
    assume(not repeated.startswith(first))
    assume(with_item or not first.startswith(repeated))
    events = data.draw(deltas_of(first, "msg_1")) + data.draw(deltas_of(repeated, "msg_2"))
    out = translate([*events, *([message(repeated)] if with_item else []), ended()])
    assert failure_of(out) == TEXT_CHANGED
    assert text_of(out) == first


@settings(deadline=None)
@given(data=st.data(), text=TEXTS)
def test_events_fed_alone_or_together_give_the_same_result(data: st.DataObject, text: str) -> None:
    events = [*data.draw(answers(text)), message(text), used(USAGE), ended()]
    split = data.draw(st.integers(0, len(events)))
    translator = Translator(BOX)
    assert without_items(translator.feed(events[:split]) + translator.feed(events[split:])) == translate(events)


def test_a_search_that_codex_runs_becomes_a_web_search() -> None:
    arguments = '{"search_query": [{"q": "anyio"}, {"q": "trio"}, {}], "response_length": "short"}'
    call = {**called("c1", "run", arguments).item, "namespace": "web"}
    translator = Translator(BOX)
    done = {
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "queries": ["anyio", "trio"]},
    }
    assert translator.feed([item(call), output("c1", "found")]) == [ItemDone(done)]
    assert translator.items == [call, output("c1", "found").item]
    assert translator.calls == 0


@pytest.mark.parametrize(
    ("searches", "queries"),
    [
        ('[{"q": "anyio"}, "trio", 3, null, ["q"], {"q": 5}, {"q": "curio"}]', ["anyio", "curio"]),
        ('"anyio"', []),
        ('{"q": "anyio"}', []),
        ("5", []),
        ("true", []),
        ("null", []),
    ],
)
def test_a_search_with_arguments_of_any_shape_is_passed_on(searches: str, queries: list[str]) -> None:
    call = {**called("c1", "run", f'{{"search_query": {searches}}}').item, "namespace": "web"}
    [done] = Translator(BOX).feed([item(call)])
    assert isinstance(done, ItemDone)
    assert done.item["action"] == {"type": "search", "queries": queries}


@pytest.mark.parametrize("arguments", ["", "[]", "null", '{"search_query": [', '{"q": NaN}'])
def test_a_search_whose_arguments_are_no_object_has_no_queries(arguments: str) -> None:
    call = {**called("c1", "run", arguments).item, "namespace": "web"}
    [done] = Translator(BOX).feed([item(call)])
    assert isinstance(done, ItemDone)
    assert done.item["action"] == {"type": "search", "queries": []}
