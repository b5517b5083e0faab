from __future__ import annotations

import gzip
from collections import deque

import anyio
import pytest
from anyio.lowlevel import checkpoint
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from bridge.config import Settings
from bridge.errors import ApiError
from bridge.http.body import read_json
from bridge.http.content_coding import PIECE
from bridge.json_values import MOST_VALUES
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


def compressed(coding: str, *messages: Message) -> Request:
    request = arriving(*messages)
    request.scope["headers"].append((b"content-encoding", coding.encode()))
    return request


async def test_a_compressed_body_is_read() -> None:
    sent = gzip.compress(b"[1]")
    assert await read_json(compressed("gzip", piece(sent, more=False)), Settings()) == [1]
    pieces = [piece(sent[n : n + 1], more=n + 1 < len(sent)) for n in range(len(sent))]
    assert await read_json(compressed("gzip", *pieces), Settings()) == [1]


@pytest.mark.parametrize(
    ("coding", "body", "limit", "status"),
    [
        ("br", b"[1]", 100, 415),
        ("gzip", b"[1]", 100, 400),
        ("gzip", gzip.compress(b"[1]")[:-1], 100, 400),
        ("gzip", gzip.compress(b" " * 101), 100, 413),
        ("gzip", gzip.compress(b"") * 6, 100, 413),
    ],
    ids=["another coding", "not compressed", "cut off", "too large decoded", "too large as sent"],
)
async def test_a_compressed_body_that_cannot_be_read_is_refused(
    coding: str, body: bytes, limit: int, status: int
) -> None:
    with pytest.raises(ApiError) as caught:
        await read_json(compressed(coding, piece(body, more=False)), Settings(max_body=limit))
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("body", "is_refused"),
    [
        (b"[" + b"1," * MOST_VALUES + b"1]", True),
        (b"[" + b"[]," * MOST_VALUES + b"1]", True),
        (b"[" + b'"",' * MOST_VALUES + b"1]", True),
        (b"[" + b'{"a":1},' * MOST_VALUES + b"1]", True),
        (b'["' + b"1," * MOST_VALUES + b'"]', False),
        (b'["' + rb"\"," * MOST_VALUES + b'"]', False),
        (b'["' + rb"\\\"[" * MOST_VALUES + b'"]', False),
    ],
    ids=["numbers", "arrays", "strings", "objects", "commas in a string", "quotes in a string", "escapes in a string"],
)
async def test_a_body_of_too_many_values_is_refused_before_it_is_decoded(body: bytes, is_refused: bool) -> None:
    request = arriving(piece(body, more=False))
    if is_refused:
        with pytest.raises(ApiError) as caught:
            await read_json(request, Settings())
        assert (caught.value.status, caught.value.code) == (400, "too_many_values")
    else:
        assert len(await read_json(request, Settings())) == 1


async def test_reading_a_large_body_lets_other_tasks_run_in_between() -> None:
    body, turns, over = gzip.compress(b'["' + b"x" * (8 << 20) + b'"]'), 0, False

    async def count_turns() -> None:
        nonlocal turns
        while not over:
            turns += 1
            await checkpoint()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count_turns)
            await read_json(compressed("gzip", piece(body, more=False)), Settings())
            over = True
    assert turns > 2 * (8 << 20) // PIECE
