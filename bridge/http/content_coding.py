"""Decodes compressed request bodies in small pieces, each coding up to a size limit.

A body that expands beyond the limit is refused as soon as it does, so it never takes more memory than the limit.

Source: RFC 9110, section 8.4; RFC 9659 for the window of zstd.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Protocol

from bridge.errors import body_not_decodable, body_too_large, unsupported_coding

PIECE = 64 * 1024
"""Most bytes that are decoded at once."""

MOST_CODINGS = 3
"""Most codings of one body. Clients use one; each further one is more work for a body of the same size."""

MOST_FRAMES = 10_000
"""Most gzip members or zstd frames in a body. Compressors write one, or one for each megabyte or so."""

ZSTD_WINDOW = 23
"""Logarithm of the largest window of zstd (8 MB), which a decoder allocates whatever the size of the body."""


class _Decompressor(Protocol):
    """Decodes one frame; `ZstdDecompressor` has this interface."""

    @property
    def eof(self) -> bool:
        """Whether the frame is complete."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether there is no more output without more input."""
        ...

    @property
    def unused_data(self) -> bytes:
        """The input after the end of the frame."""
        ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Inflater:
    """The decompressor of zlib, with the interface of zstd's."""

    def __init__(self, format_and_window: int) -> None:
        self._zlib = zlib.decompressobj(format_and_window)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = len(piece) < max_length and not self._zlib.unconsumed_tail
        return piece


class _Coding:
    """Decodes one coding: a sequence of frames, of which `begin` returns the decompressor, given its first bytes."""

    def __init__(
        self, name: str, begin: Callable[[bytes], _Decompressor], failure: type[Exception], limit: int
    ) -> None:
        self._name = name
        self._begin = begin
        self._failure = failure
        self._limit = limit
        self._size = 0
        self._frames = 0
        self._frame: _Decompressor | None = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the decoded data in pieces of up to `PIECE` bytes, some of them empty.

        Raises:
            ApiError: 400, the data is broken; 413, the decoded data is larger than the limit.
        """
        while data or not (self._frame is None or self._frame.needs_input):
            if self._frame is None:
                self._frames += 1
                if self._frames > MOST_FRAMES:
                    raise body_not_decodable(self._name, f"it has more than {MOST_FRAMES} parts")
                self._frame = self._begin(data)
            try:
                piece = self._frame.decompress(data, PIECE)
            except self._failure as error:
                raise body_not_decodable(self._name, str(error)) from None
            self._size += len(piece)
            if self._size > self._limit:
                raise body_too_large(self._limit)
            data = b""
            if self._frame.eof:
                data, self._frame = self._frame.unused_data, None
            yield piece

    def finish(self) -> None:
        """Check that the last frame is complete.

        Raises:
            ApiError: 400, the data is cut off.
        """
        if self._frame is not None:
            raise body_not_decodable(self._name, "it is cut off")


class Decoder:
    """Decodes a body by its codings, the last applied first."""

    def __init__(self, codings: Iterable[_Coding]) -> None:
        self._codings = tuple(codings)

    def __bool__(self) -> bool:
        """Whether there is anything to decode."""
        return bool(self._codings)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the decoded data in pieces, each after little work; some are empty.

        Raises:
            ApiError: 400, the data is broken; 413, the decoded data is larger than the limit.
        """
        pieces: Iterable[bytes] = (data,)
        for coding in self._codings:
            pieces = chain.from_iterable(map(coding.decode, pieces))
        return iter(pieces)

    def finish(self) -> None:
        """Check that the body is complete.

        Raises:
            ApiError: 400, the data is cut off.
        """
        for coding in self._codings:
            coding.finish()


def decoder_of(headers: Iterable[str], limit: int) -> Decoder:
    """Return the decoder for these `Content-Encoding` headers; each coding may yield up to `limit` bytes.

    Raises:
        ApiError: 415, a coding is not supported, or there are too many.
    """
    names = [name for header in headers for one in header.split(",") if (name := one.strip().lower())]
    names = [name for name in names if name != "identity"]
    if len(names) > MOST_CODINGS:
        raise unsupported_coding(", ".join(names))
    return Decoder(_coding(name, limit) for name in reversed(names))


def _coding(name: str, limit: int) -> _Coding:
    match name:
        case "gzip" | "x-gzip":
            return _Coding("gzip", lambda _: _Inflater(16 + zlib.MAX_WBITS), zlib.error, limit)
        case "deflate":
            return _Coding(name, _deflate, zlib.error, limit)
        case "zstd":
            return _zstd(limit)
        case _:
            raise unsupported_coding(name)


def _deflate(data: bytes) -> _Inflater:
    """Return the decompressor for data in the format of zlib, or without its header as some clients send it."""
    has_header = data[0] & 0x0F == zlib.DEFLATED
    return _Inflater(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def _zstd(limit: int) -> _Coding:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - most requests are not compressed
    else:
        from backports import zstd  # noqa: PLC0415

    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW}
    return _Coding("zstd", lambda _: zstd.ZstdDecompressor(options=options), zstd.ZstdError, limit)
