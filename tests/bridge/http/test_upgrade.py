from __future__ import annotations

import pytest
from starlette.types import Message, Receive, Scope, Send

from bridge.http.answer import response_start
from bridge.http.upgrade import Upgrades, upgrade_of

EXPLAINED: dict[str, object] = {"websocket.http.response": {}}


async def handshake(status: int, extensions: dict[str, object]) -> list[Message]:
    """Return the messages to the server when the application answers a handshake with a status."""
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (scope["type"], scope["method"], scope["scheme"]) == ("http", "GET", "https")
        assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
        await send(response_start(status, {"x": "y"}))
        if status != 101:
            await send({"type": "http.response.body", "body": b"no", "more_body": True})
            await send({"type": "http.response.body", "body": b"."})
        elif upgrade := upgrade_of(scope):
            await upgrade.send({"type": "websocket.close"})

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "websocket", "scheme": "wss", "path": "/", "extensions": extensions}
    await Upgrades(app)(scope, receive, send)
    return sent


async def test_the_status_101_accepts_a_handshake_with_the_headers_of_the_response() -> None:
    accept, close = await handshake(101, EXPLAINED)
    assert accept == {"type": "websocket.accept", "headers": [(b"x", b"y")]}
    assert close == {"type": "websocket.close"}


@pytest.mark.parametrize(
    ("extensions", "types"),
    [
        (EXPLAINED, ["websocket.http.response.start", "websocket.http.response.body", "websocket.http.response.body"]),
        ({}, ["websocket.close"]),
    ],
    ids=["with a status", "without"],
)
async def test_another_status_refuses_a_handshake_and_is_sent_if_the_server_can(
    extensions: dict[str, object], types: list[str]
) -> None:
    assert [message["type"] for message in await handshake(426, extensions)] == types


async def test_http_requests_are_passed_on_unchanged() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)

    async def nothing() -> Message:
        raise AssertionError("nothing is received")

    async def no_one(message: Message) -> None:
        raise AssertionError(f"{message} is sent")

    scope: Scope = {"type": "http", "path": "/"}
    await Upgrades(app)(scope, nothing, no_one)
    assert scopes == [scope]
    assert upgrade_of(scope) is None
