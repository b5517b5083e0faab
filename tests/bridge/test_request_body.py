from __future__ import annotations

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from bridge.config import Settings
from bridge.errors import ApiError
from bridge.request_body import read_json
from tests.bridge.exchange import http_scope

LIMIT = 1024


def request(*pieces: bytes, leaves: bool = False) -> Request:
    """A request whose body comes in pieces, of whose client nothing comes behind them if it leaves."""
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = leaves
    messages.append({"type": "http.disconnect"})

    async def receive() -> Message:
        return messages.pop(0)

    return Request(http_scope("/chat/completions", "POST"), receive)


async def test_a_body_that_comes_in_pieces_is_read_to_its_end() -> None:
    assert await read_json(request(b"[1", b"", b", 2", b"]"), Settings(max_body=LIMIT)) == [1, 2]


async def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    halves = b'["' + b"x" * (LIMIT // 2 - 2), b"x" * (LIMIT // 2 - 2) + b'"]'
    assert await read_json(request(*halves), Settings(max_body=LIMIT)) == ["x" * (LIMIT - 4)]
    with pytest.raises(ApiError) as refused:
        await read_json(request(*halves, b" "), Settings(max_body=LIMIT))
    assert refused.value.status == 413


async def test_a_client_that_leaves_within_its_body_is_no_request() -> None:
    with pytest.raises(ClientDisconnect):
        await read_json(request(b"[1]", leaves=True), Settings(max_body=LIMIT))
