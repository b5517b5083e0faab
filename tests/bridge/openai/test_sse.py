from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    assert (sse.KEEP_ALIVE, sse.DONE) == (b": keep-alive\n\n", b"data: [DONE]\n\n")
