from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_rpc.errors import ProtocolError
from codex_rpc.recording.session import Line, Splitter, is_echo, read_lines, write_lines
from codex_rpc.wire.messages import ErrorResponse, Message, Notification, Request, Response
from tests.codex_rpc.recording.thread_lines import (
    THREAD,
    asks,
    completed,
    delta,
    gives,
    raw,
    refuses,
    session,
    start,
    started,
    turn,
)

MESSAGES = st.one_of(
    st.builds(Request, st.integers(0, 9), st.text(), st.none() | st.dictionaries(st.text(), st.integers(-9, 9))),
    st.builds(Notification, st.text(), st.dictionaries(st.text(), st.text())),
    st.builds(Response, st.integers(0, 9), st.none() | st.text()),
    st.builds(ErrorResponse, st.integers(0, 9), st.integers(-9, 9), st.text(), st.none() | st.text()),
)


@given(st.lists(st.builds(Line, st.integers(0, 99).map(float), st.booleans(), MESSAGES)))
def test_lines_are_read_as_they_were_written(lines: list[Line]) -> None:
    assert list(read_lines(write_lines(lines))) == lines


def test_a_line_is_an_object_with_time_direction_and_message() -> None:
    line = Line(0.12345, True, Notification("initialized", None))
    assert write_lines([line]) == b'{"t":0.123,"dir":"to","msg":{"method":"initialized"}}\n'


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[]",
        b'{"t":0,"dir":"up","msg":{"method":"m"}}',
        b'{"t":"x","dir":"to","msg":{"method":"m"}}',
        b'{"t":0,"dir":"to"}',
        b'{"t":0,"dir":"to","msg":{}}',
    ],
)
def test_a_line_that_cannot_be_read_is_named(text: bytes) -> None:
    with pytest.raises(ProtocolError, match="line 2 of the session cannot be read"):
        read_lines(b'{"t":0,"dir":"to","msg":{"method":"m"}}\n' + text)


def test_the_lines_of_a_connection_are_split_by_thread_and_a_start_waits_for_its_id() -> None:
    lines = session(
        [
            start(7),
            started(7),
            turn(8),
            delta("x"),
            asks(0, "c"),
            gives(0, "y"),
            asks(1, "d"),
            refuses(1, "no"),
            completed(),
        ]
    )
    splitter = Splitter()
    sorted_lines = [splitter.feed(line) for line in lines]
    assert sorted_lines[0] is None
    assert sorted_lines[1] == (THREAD, lines[:2])
    assert sorted_lines[2:] == [(THREAD, [line]) for line in lines[2:]]


@pytest.mark.parametrize(
    "message",
    [
        Notification("initialized", None),
        Notification("account/updated", {}),
        Response(3, {"x": 1}),
        ErrorResponse(3, 1, "x"),
    ],
)
def test_messages_about_the_process_belong_to_no_thread(message: Message) -> None:
    assert Splitter().feed(Line(0, False, message)) is None


def test_a_refused_start_belongs_to_no_thread() -> None:
    splitter = Splitter()
    assert splitter.feed(Line(0, True, Request(1, "thread/start", {}))) is None
    assert splitter.feed(Line(0, False, ErrorResponse(1, -1, "no"))) is None
    assert splitter.feed(Line(0, False, Response(1, {"thread": {"id": "t"}}))) is None


def test_each_side_numbers_its_own_requests() -> None:
    splitter = Splitter()
    for message in (Request(1, "turn/start", {"threadId": "ours"}), Notification("x", {})):
        splitter.feed(Line(0, True, message))
    splitter.feed(Line(0, False, Request(1, "item/tool/call", {"threadId": "theirs"})))
    answer = Line(0, False, Response(1, {}))
    assert splitter.feed(answer) == ("ours", [answer])
    answer = Line(0, True, Response(1, {}))
    assert splitter.feed(answer) == ("theirs", [answer])


def test_an_echo_of_an_injected_item_is_recognised_by_its_turn_id() -> None:
    assert is_echo(raw("auto-compact-3", type="message")[1])
    assert not is_echo(raw(type="message")[1])
    assert not is_echo(Notification("x", None))
    assert not is_echo(Response(1, {}))
