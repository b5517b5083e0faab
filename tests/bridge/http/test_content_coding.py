"""Compressed bodies are decoded whole, in pieces, and never beyond the limit."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import ApiError
from bridge.http.content_coding import MOST_FRAMES, PIECE, decoder_of
from tests.harness.compression import COMPRESS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MEGABYTE = 1 << 20
TEXT = '{"text": "Grüße, 你好"}'.encode() * 5000


def decoded(names: Iterable[str], pieces: Iterable[bytes], limit: int = MEGABYTE) -> bytes:
    """Decode a body that comes in pieces; check that no decoded piece is larger than promised."""
    decoder = decoder_of(names, limit)
    out = [one for piece in pieces for one in decoder.decode(piece)]
    decoder.finish()
    assert not decoder or all(len(one) <= PIECE for one in out)
    return b"".join(out)


def refusal(names: Iterable[str], *pieces: bytes, limit: int = MEGABYTE) -> ApiError:
    with pytest.raises(ApiError) as caught:
        decoded(names, pieces, limit)
    return caught.value


@pytest.mark.parametrize("coding", COMPRESS)
@pytest.mark.parametrize("data", [b"", b"x", TEXT, bytes(MEGABYTE)], ids=["empty", "a byte", "text", "zeros"])
def test_a_compressed_body_is_decoded(coding: str, data: bytes) -> None:
    name, compress = COMPRESS[coding]
    sent = compress(data)
    assert decoded([name], [sent]) == data
    assert decoded([name], [sent[:5], sent[5:9], b"", sent[9:]]) == data
    if len(sent) < 100_000:
        assert decoded([name], [sent[n : n + 1] for n in range(len(sent))]) == data


@given(st.lists(st.sampled_from(sorted(COMPRESS)), max_size=3), st.binary(max_size=2000), st.integers(1, 50))
@settings(deadline=None)
def test_codings_are_undone_in_reverse_order(codings: Sequence[str], data: bytes, size: int) -> None:
    sent = data
    for coding in codings:
        sent = COMPRESS[coding][1](sent)
    names = [COMPRESS[coding][0] for coding in codings]
    pieces = [sent[n : n + size] for n in range(0, len(sent), size)]
    assert decoded([", ".join(names)], pieces) == data
    assert decoded(names, pieces) == data


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_body_of_several_parts_is_decoded(coding: str) -> None:
    name, compress = COMPRESS[coding]
    sent = compress(b"one ") + compress(b"") + compress(b"two")
    assert decoded([name], [sent]) == b"one two"


@pytest.mark.parametrize("headers", [["br"], ["compress"], ["gzip, br"], ["*"], ["gzip;q=1"], ["gzip,gzip,gzip,gzip"]])
def test_another_coding_is_refused_with_those_that_are_accepted(headers: list[str]) -> None:
    error = refusal(headers)
    assert (error.status, error.code) == (415, "unsupported_encoding")
    assert error.headers == {"accept-encoding": "gzip, deflate, zstd, identity"}
    assert "gzip, deflate, zstd, identity" in error.message


@pytest.mark.parametrize("coding", ["gzip", "zlib", "raw deflate", "zstd"])
def test_broken_data_is_refused(coding: str) -> None:
    name, compress = COMPRESS[coding]
    sent = compress(TEXT)
    for broken in (sent[:-3], sent[:1], b"{}", sent + b"\x00more", b"\xff" + sent):
        error = refusal([name], broken)
        assert (error.status, error.code) == (400, "invalid_encoding"), broken[:9]


@pytest.mark.parametrize("coding", ["gzip", "zlib", "raw deflate", "zstd"])
def test_a_body_that_expands_beyond_the_limit_takes_no_more_memory_than_that(coding: str) -> None:
    name, compress = COMPRESS[coding]
    bomb = compress(bytes(200 * MEGABYTE))
    tracemalloc.start()
    try:
        error = refusal([name], bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.status == 413
    assert peak < 2 * MEGABYTE


def test_a_bomb_inside_another_is_stopped_by_the_size_of_the_outer_one() -> None:
    inner = gzip.compress(bytes(9 * MEGABYTE)) * 200
    assert refusal(["gzip, gzip"], gzip.compress(inner)).status == 413
    assert refusal(["gzip, zstd"], zstd.compress(gzip.compress(b"") * 100_000), limit=100_000).status == 413


def test_a_body_of_endless_empty_parts_is_refused() -> None:
    assert refusal(["gzip"], gzip.compress(b"") * (MOST_FRAMES + 1)).code == "invalid_encoding"
    assert refusal(["zstd"], zstd.compress(b"") * (MOST_FRAMES + 1)).code == "invalid_encoding"


def test_zstd_with_a_window_beyond_that_of_http_is_refused() -> None:
    """The decoder would allocate the window, here 128 MB, whatever the limit."""
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 27}
    compressor = zstd.ZstdCompressor(options=options)
    sent = compressor.compress(b"x") + compressor.flush()
    assert refusal(["zstd"], sent).code == "invalid_encoding"
