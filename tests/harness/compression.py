"""Compresses request bodies as clients do."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable, Mapping

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESS: Mapping[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-Gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", lambda data: zlib.compress(data, wbits=-zlib.MAX_WBITS)),
    "zstd": ("zstd", zstd.compress),
    "identity": ("identity", bytes),
}
"""A name → its `Content-Encoding`, and the function that compresses."""
