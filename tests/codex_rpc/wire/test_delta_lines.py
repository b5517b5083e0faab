"""Lines that are read by their beginning give exactly what a full parse of them gives."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codex_rpc.errors import ProtocolError
from codex_rpc.wire.delta_lines import DeltaLines
from codex_rpc.wire.events import MessageDelta
from codex_rpc.wire.messages import Notification, decode
from codex_rpc.wire.protocol import read_event


def line(
    text: str = "more", *, thread: str = "t", turn: str = "u", item: str = "i", stamp: Any = 1795635700455
) -> bytes:
    params = {"threadId": thread, "turnId": turn, "itemId": item, "delta": text}
    return orjson.dumps({"method": "item/agentMessage/delta", "params": params, "emittedAtMs": stamp})


def parsed(one: bytes) -> MessageDelta | None:
    """The delta that a full parse of the line gives; None for any other line."""
    try:
        message = decode(one)
        event = read_event(message.method, message.params) if isinstance(message, Notification) else None
    except (ProtocolError, KeyError, TypeError, ValueError, AttributeError):
        return None
    return event if isinstance(event, MessageDelta) else None


def knowing(*lines: bytes) -> DeltaLines:
    known = DeltaLines()
    for one in lines:
        delta = parsed(one)
        assert delta is not None
        known.learn(one, delta)
    return known


@pytest.mark.parametrize("text", ["", "more", 'a "word"', "back\\slash", "\n\t\x00", "\u2028 é 漢 😀", '"delta":"'])
def test_the_next_line_of_a_message_is_read_without_parsing_it(text: str):
    first = line("first")

    assert knowing(first).read(line(text)) == (parsed(first), text)


def test_the_ids_may_hold_anything():
    strange = {"thread": '"delta":"', "turn": "\\", "item": '"},"emittedAtMs":1'}
    first = line("first", **strange)

    assert knowing(first).read(line("more", **strange)) == (parsed(first), "more")


@pytest.mark.parametrize(
    "other",
    [
        line(thread="t2"),
        line(turn="u2"),
        line(item="i2"),
        line(stamp=None),
        line(stamp="1"),
        line(stamp=1.5),
        line(stamp=-1),
        line(stamp=0),
        line().replace(b":1795", b":01795"),
        line(stamp=10**18),
        line()[:-1],
        line() + b"}",
        line() + b" ",
        line().replace(b'"more"', b"5"),
        line().replace(b'"more"', b'"more'),
        line().replace(b'"more"', b'"mo"re"'),
        line().replace(b'"more"', b'"a","b":"c"'),
        line().replace(b'"more"', b'"a","delta":"c"'),
        line().replace(b'"more"', b'"\x01"'),
        line().replace(b'"more"', b'"\xff"'),
        line().replace(b'"more"', b'"\\ud800"'),
        line().replace(b'"},', b'"},"id":5,'),
        line().partition(b"more")[0] + b"5}",
        line().partition(b"more")[0] + b"}",
        b"{",
        b"}",
    ],
)
def test_any_other_line_must_be_parsed(other: bytes):
    assert knowing(line("first")).read(other) is None


def test_a_line_with_another_layout_is_never_recognised():
    spaced = line("first").replace(b'"params":', b'"params": ')

    assert knowing(spaced).read(spaced) is None


def test_a_new_message_of_a_thread_replaces_the_one_before():
    known = knowing(line(item="1"), line(thread="other"), line(item="2"))

    assert known.read(line(item="1")) is None
    assert known.read(line(item="2")) is not None
    assert known.read(line(thread="other")) is not None


def test_a_forgotten_thread_is_no_longer_recognised():
    known = knowing(line(), line(thread="other"))

    known.forget("t")
    known.forget("t")

    assert known.read(line()) is None
    assert known.read(line(thread="other")) is not None


pieces = st.sampled_from(
    [
        b'"',
        b"\\",
        b"}",
        b",",
        b"{",
        b":",
        b"1",
        b"0",
        b'"delta":"',
        b'"},"emittedAtMs":',
        b"\xc3\xa9",
        b"\xff",
        b"\n",
        b"x",
    ]
)


@given(st.lists(pieces, max_size=8).map(b"".join), st.binary(max_size=4), st.integers(0, 40))
@example(b"word", b"", 0)
@example(b"1", b"}", 31)
@settings(deadline=None, max_examples=500)
def test_a_recognised_line_has_the_text_that_a_full_parse_gives(inserted: bytes, tail: bytes, removed: int):
    first, middle = line("first"), line("first").index(b"first")
    changed = first[:middle] + inserted + first[middle + 5 :]
    changed = changed[: len(changed) - removed] + tail

    read = knowing(first).read(changed)

    if read is not None:
        known, text = read
        assert parsed(changed) == MessageDelta(known.thread_id, known.turn_id, known.item_id, text)


@given(st.text(), st.text(), st.integers(0, 10**12))
@settings(deadline=None)
def test_every_text_that_codex_can_send_is_recognised(first: str, text: str, stamp: int):
    read = knowing(line(first)).read(line(text, stamp=stamp + 1))

    assert read is not None
    assert read[1] == text
