"""What Cursor needs other than every other client: which errors it shows, and how it learns that a context is full.

Cursor shows the text of a 400 alone: a 401 becomes "Unauthorized User API key", a 429 and every 5xx "User API Key Rate
limit exceeded".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bridge.errors import ApiError

CURSOR_APP = "vscode-file://vscode-app"
"""The origin of Cursor's own window, from which its "Verify" comes."""

OVERFLOW_TOKENS = 1_000_000
"""A prompt size in the usage that makes Cursor compact the conversation and go on."""


def is_cursor(headers: Mapping[str, str]) -> bool:
    """Tell Cursor by its headers (lower-case names)."""
    return "Cursor/" in headers.get("user-agent", "") or headers.get("origin") == CURSOR_APP


def as_shown(error: ApiError, *, cursor: bool) -> ApiError:
    """Return the error as this client shows its text."""
    return replace(error, status=400) if cursor and error.status != 400 else error
