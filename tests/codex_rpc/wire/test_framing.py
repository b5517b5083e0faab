"""Chunks of bytes become the same complete lines wherever they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_rpc.errors import ProtocolError
from codex_rpc.wire.framing import LineSplitter

streams = st.text("ab\r\n{é", max_size=60).map(str.encode)


def fed(splitter: LineSplitter, *chunks: bytes) -> list[list[bytes]]:
    return [splitter.feed(chunk) for chunk in chunks]


def byte_by_byte(splitter: LineSplitter, data: bytes) -> list[bytes]:
    return [line for at in range(len(data)) for line in splitter.feed(data[at : at + 1])]


CHUNKS: list[tuple[list[bytes], list[list[bytes]]]] = [
    ([b""], [[]]),
    ([b"\n"], [[]]),
    ([b"one"], [[]]),
    ([b"one\n"], [[b"one"]]),
    ([b"one\n", b"two\n"], [[b"one"], [b"two"]]),
    ([b"one\ntwo\n"], [[b"one", b"two"]]),
    ([b"one\ntw", b"o\nthree"], [[b"one"], [b"two"]]),
    ([b"o", b"n", b"e", b"\n"], [[], [], [], [b"one"]]),
    ([b"one", b"", b"\n"], [[], [], [b"one"]]),
    ([b"one", b"\ntwo", b"\n"], [[], [b"one"], [b"two"]]),
    ([b"\n\none\n\n\ntwo\n"], [[b"one", b"two"]]),
    ([b"one\r\n two \n"], [[b"one\r", b" two "]]),
]


@pytest.mark.parametrize(("chunks", "lines"), CHUNKS)
def test_each_chunk_gives_the_lines_that_it_completes(chunks: list[bytes], lines: list[list[bytes]]):
    assert fed(LineSplitter(), *chunks) == lines


@given(streams)
@settings(deadline=None)
def test_a_stream_fed_byte_by_byte_gives_the_same_lines_as_fed_whole(data: bytes):
    *complete, _rest = data.split(b"\n")
    lines = [line for line in complete if line]

    assert LineSplitter().feed(data) == lines
    assert byte_by_byte(LineSplitter(), data) == lines


@given(st.lists(streams, max_size=8))
@settings(deadline=None)
def test_the_cuts_between_chunks_do_not_change_the_lines(chunks: list[bytes]):
    lines = [line for lines in fed(LineSplitter(), *chunks) for line in lines]

    assert lines == LineSplitter().feed(b"".join(chunks))


@pytest.mark.parametrize("chunks", [[b"123456"], [b"123", b"456"], [b"short\n123", b"456"], [b"12345", b"6", b"\n"]])
def test_a_line_longer_than_the_limit_is_a_protocol_error(chunks: list[bytes]):
    with pytest.raises(ProtocolError, match="longer than 5 bytes"):
        fed(LineSplitter(max_line=5), *chunks, b"7")


def test_the_limit_counts_one_line_and_not_the_stream():
    splitter = LineSplitter(max_line=5)

    assert fed(splitter, *[b"12345", b"\n123", b"45\n"] * 100) == [[], [b"12345"], [b"12345"]] * 100


@given(streams)
@settings(deadline=None)
def test_a_stream_is_refused_exactly_when_one_of_its_lines_is_too_long(data: bytes):
    longest = max(map(len, data.split(b"\n")))

    byte_by_byte(LineSplitter(max_line=longest), data)
    if longest:
        with pytest.raises(ProtocolError):
            byte_by_byte(LineSplitter(max_line=longest - 1), data)
