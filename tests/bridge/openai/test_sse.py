from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from bridge.openai import sse

ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=5), some, max_size=3),
    max_leaves=10,
)


def test_a_value_becomes_one_data_line_and_an_empty_line() -> None:
    assert sse.data({"text": "schön\nund gut"}) == 'data: {"text":"schön\\nund gut"}\n\n'.encode()


@settings(deadline=None)
@given(ANY_JSON)
def test_any_value_stays_on_one_line_and_comes_back(value: Any) -> None:
    written = sse.data(value)
    line, end, rest = written.partition(b"\n\n")
    assert (end, rest) == (b"\n\n", b"")
    assert not set(line) & set(b"\r\n")
    assert line.startswith(b"data: ")
    assert json.loads(line.removeprefix(b"data: ")) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
    ],
    ids=["type", "cache", "buffering"],
)
def test_the_headers_keep_proxies_from_buffering_and_changing_the_stream(name: str, value: str) -> None:
    assert sse.HEADERS[name] == value


def test_the_stream_is_kept_alive_by_a_comment_and_ended_as_openai_ends_it() -> None:
    assert (sse.KEEP_ALIVE, sse.DONE) == (b": keep-alive\n", b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    "end", ["\u0085", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r", "\n"], ids=repr
)
@pytest.mark.parametrize("written", [sse.data, partial(sse.named, "x")], ids=["data", "named"])
def test_no_character_of_a_text_ends_a_line_for_any_client(end: str, written: Callable[[Any], bytes]) -> None:
    text = f"“one”{end}two{end}{end}"
    *_, line, empty = written({"text": text, end: 1}).decode().splitlines()
    assert empty == ""
    assert json.loads(line.removeprefix("data: ")) == {"text": text, end: 1}


@given(st.text())
def test_a_text_that_is_escaped_for_a_line_comes_back(text: str) -> None:
    line = sse.json_line(text).decode()
    assert (json.loads(line), line.splitlines()) == (text, [line])


@settings(deadline=None)
@given(st.text(), st.integers(0, 9000))
@example("\u0085", 3000)
def test_the_pieces_of_a_text_are_small_and_join_to_it(text: str, times: int) -> None:
    parts = sse.pieces(text * times)
    assert "".join(parts) == text * times
    assert all(len(sse.json_line(part)) <= sse.LONGEST_PIECE for part in parts)
    assert len(parts) == 1 or all(parts)


def test_a_client_reads_a_stream_with_comments_as_without_them() -> None:
    sent = [sse.data({"n": 1}), sse.named("x", {"n": 2}), sse.DONE]
    commented = sse.KEEP_ALIVE * 3 + sse.KEEP_ALIVE.join(sent)
    read = [
        [(event.event, event.data) for event in SSEDecoder().iter_bytes(iter([stream]))]
        for stream in (b"".join(sent), commented)
    ]
    assert read[0] == read[1] == [(None, '{"n":1}'), ("x", '{"n":2}'), (None, "[DONE]")]
