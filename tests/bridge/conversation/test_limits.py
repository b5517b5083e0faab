from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bridge.conversation.events import Failed, Finished, ReasoningDelta, TextDelta, ToolCall, TurnEvent, Used
from bridge.conversation.limits import Limiter, Limits
from bridge.errors import upstream_failed
from codex_rpc.wire.events import TokenUsage

CALL = ToolCall("c1", "look", "{}")
USED = Used(TokenUsage(1, 0, 1, 0))
END = Finished("content_filter")
"""An end without a limit."""


def text_of(events: list[TurnEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize(
    ("limits", "any_"), [(Limits(), False), (Limits(("x",)), True), (Limits(max_tokens=1), True)], ids=str
)
def test_limits_are_true_if_any_is_set(limits: Limits, any_: bool) -> None:
    assert bool(limits) == any_


@given(
    st.lists(st.text("abc", max_size=5), max_size=6),
    st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=4),
)
@settings(deadline=None, max_examples=200)
def test_the_text_ends_before_the_earliest_stop_sequence_however_it_is_split(
    pieces: list[str], stops: list[str]
) -> None:
    assume(not any(one in other[1:-1] for one in stops for other in stops))
    text = "".join(pieces)
    begin = min((text.find(stop) for stop in stops if stop in text), default=None)
    limiter = Limiter(Limits(tuple(stops)))
    out: list[TurnEvent] = []
    for event in [*map(TextDelta, pieces), END]:
        out += limiter.feed([event])
        assert text[:begin].startswith(text_of(out))
        if out and isinstance(out[-1], Finished):
            break
    assert text_of(out) == text[:begin]
    assert [event for event in out if not isinstance(event, TextDelta)] == [END if begin is None else Finished("stop")]
    assert text_of(Limiter(Limits(tuple(stops))).feed([*map(TextDelta, pieces), END])) == text[:begin]


def test_nested_stop_sequences_end_the_text_alike_however_it_is_split() -> None:
    whole, pieces = (Limiter(Limits(("abc", "b"))).feed(map(TextDelta, text)) for text in (["abc"], "abc"))
    assert text_of(whole) == text_of(pieces)


def test_text_that_cannot_begin_a_stop_sequence_is_sent_at_once() -> None:
    limiter = Limiter(Limits(("END",)))
    assert limiter.feed([TextDelta("a"), TextDelta("bE"), TextDelta("N")]) == [TextDelta("a"), TextDelta("b")]
    assert limiter.feed([TextDelta("E")]) == [TextDelta("EN")]
    assert limiter.feed([TextDelta("x")]) == [TextDelta("Ex")]


@pytest.mark.parametrize("event", [CALL, USED, ReasoningDelta("hm"), END, Failed(upstream_failed("broke"))], ids=str)
def test_held_text_is_sent_before_the_next_event(event: TurnEvent) -> None:
    limiter = Limiter(Limits(("END",)))
    assert limiter.feed([TextDelta("a E")]) == [TextDelta("a ")]
    assert limiter.feed([event]) == [TextDelta("E", 0), event]
    assert text_of(limiter.feed([TextDelta("ND.")])) == "ND."


def test_other_events_pass_and_do_not_count_as_tokens() -> None:
    limiter = Limiter(Limits(max_tokens=1))
    assert limiter.feed([ReasoningDelta("hm"), CALL, USED]) == [ReasoningDelta("hm"), CALL, USED]
    assert limiter.tokens == 0


@pytest.mark.parametrize("split", [1, 2, 3, 4])
def test_an_answer_ends_with_its_last_token(split: int) -> None:
    deltas = [TextDelta(letter) for letter in "abcd"]
    limiter = Limiter(Limits(max_tokens=3))
    out = limiter.feed(deltas[:split])
    assert out == ([*deltas[:split]] if split < 3 else [*deltas[:3], Finished("length")])
    if split < 3:
        assert limiter.feed([*deltas[split:], USED]) == [*deltas[split:3], Finished("length")]
    assert limiter.tokens == 3


def test_a_joined_delta_counts_for_all_of_its_tokens() -> None:
    assert Limiter(Limits(max_tokens=3)).feed([TextDelta("a b", 2), TextDelta("c", 0), TextDelta("d")]) == [
        TextDelta("a b", 2),
        TextDelta("c", 0),
        TextDelta("d"),
        Finished("length"),
    ]


@pytest.mark.parametrize(
    ("last", "out"),
    [
        ("E", [TextDelta("E"), Finished("length")]),
        ("xEND", [TextDelta("x"), Finished("stop")]),
        ("END", [TextDelta(""), Finished("stop")]),
    ],
)
def test_a_stop_sequence_in_the_last_token_counts_and_half_of_one_is_text(last: str, out: list[TurnEvent]) -> None:
    assert Limiter(Limits(("END",), 1)).feed([TextDelta(last), TextDelta("more"), END]) == out


@pytest.mark.parametrize("end", [END, Failed(upstream_failed("broke"))], ids=["finished", "failed"])
def test_nothing_follows_an_end(end: TurnEvent) -> None:
    assert Limiter(Limits(max_tokens=9)).feed([TextDelta("a"), end, TextDelta("b")]) == [TextDelta("a"), end]
