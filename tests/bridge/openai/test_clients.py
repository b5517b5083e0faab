from __future__ import annotations

import pytest

from bridge.errors import ApiError, body_too_large, invalid_request, not_logged_in, upstream_failed
from bridge.openai.clients import as_shown, is_cursor


@pytest.mark.parametrize(
    ("headers", "cursor"),
    [
        ({"user-agent": "Cursor/1.0"}, True),
        ({"user-agent": "Mozilla/5.0 Cursor/3.1.4 Electron/30"}, True),
        ({"origin": "vscode-file://vscode-app"}, True),
        ({"user-agent": "Mozilla/5.0 Chrome/130", "origin": "vscode-file://vscode-app"}, True),
        ({}, False),
        ({"user-agent": "Mozilla/5.0 Code/1.99", "origin": "https://cursor.com"}, False),
        ({"user-agent": "Cursor-like precursor"}, False),
        ({"origin": "Cursor/1.0"}, False),
    ],
)
def test_cursor_is_told_by_its_agent_or_its_window(headers: dict[str, str], cursor: bool) -> None:
    assert is_cursor(headers) == cursor


@pytest.mark.parametrize("error", [not_logged_in(), body_too_large(9), upstream_failed("Broke.")], ids=str)
def test_cursor_gets_every_error_as_a_400_and_others_as_it_is(error: ApiError) -> None:
    shown = as_shown(error, cursor=True)
    assert (shown.status, shown.body(), shown.headers) == (400, error.body(), error.headers)
    assert as_shown(error, cursor=False) is error


def test_a_400_needs_no_change() -> None:
    error = invalid_request("Wrong.")
    assert as_shown(error, cursor=True) is error
