from __future__ import annotations

from collections import deque

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from bridge.config import Settings
from bridge.errors import ApiError
from bridge.http.body import read_json
from tests.bridge.http.exchange import http_scope

GONE: Message = {"type": "http.disconnect"}


def piece(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def arriving(*messages: Message) -> Request:
    """Return a request whose body arrives in these messages."""
    left = deque(messages)

    async def receive() -> Message:
        return left.popleft()

    return Request(http_scope("/v1/chat/completions", "POST"), receive)


@pytest.mark.parametrize(
    "messages",
    [
        [piece(b"[1]", more=False)],
        [piece(b"[", more=True), piece(b"1", more=True), piece(b"]", more=False)],
        [piece(b"[1", more=True), {"type": "http.request", "more_body": True}, {"type": "http.request", "body": b"]"}],
    ],
    ids=["whole", "in pieces", "with optional fields left out"],
)
async def test_a_body_is_read_to_its_end(messages: list[Message]) -> None:
    assert await read_json(arriving(*messages, GONE), Settings()) == [1]


async def test_a_body_whose_client_leaves_is_not_mistaken_for_a_whole_one() -> None:
    with pytest.raises(ClientDisconnect):
        await read_json(arriving(piece(b"[1]", more=True), GONE), Settings())


async def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    pieces = [piece(b"[1", more=True), piece(b"]", more=False)]
    assert await read_json(arriving(*pieces), Settings(max_body=3)) == [1]
    with pytest.raises(ApiError) as caught:
        await read_json(arriving(*pieces), Settings(max_body=2))
    assert caught.value.status == 413
