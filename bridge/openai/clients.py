"""What clients tell of themselves, and what Cursor needs other than every other client: which errors it shows,
and how it learns that a context is full.

Cursor shows the text of a 400 alone: a 401 becomes "Unauthorized User API key", a 429 and every 5xx "User API Key Rate
limit exceeded".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

from bridge.config import ActivityStyle
from bridge.errors import ApiError, invalid_request

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


def activity_of(headers: Mapping[str, str]) -> ActivityStyle | None:
    """Return how the client wants to see what an agent does, if it says so (lower-case header names).

    Raises:
        ApiError: 400, there is no such way.
    """
    asked = headers.get("x-codex-proxy-activity")
    styles: tuple[ActivityStyle, ...] = get_args(ActivityStyle)
    if asked is None or asked in styles:
        return asked
    raise invalid_request(f"The header x-codex-proxy-activity must be one of {', '.join(styles)}, not {asked!r}.")


def conversation_of(headers: Mapping[str, str]) -> str | None:
    """Return the client's own name for the conversation, if it sends one (lower-case header names)."""
    return headers.get("x-codex-proxy-conversation") or headers.get("x-openwebui-chat-id")
