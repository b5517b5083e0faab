"""Serves WebSocket handshakes as GET requests, so that routes, access control and the log need no second form.

A response with the status 101 accepts the handshake; any other response refuses it.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from msgspec import Struct
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UPGRADE = "codex_proxy.upgrade"
"""The key in the scope of a request that asks for a WebSocket."""


class Upgrade(Struct, frozen=True):
    """The channels of a WebSocket once it is accepted."""

    receive: Receive
    send: Send


def upgrade_of(scope: MutableMapping[str, Any]) -> Upgrade | None:
    """Return the channels of the WebSocket that a request asks for; None if it asks for none."""
    return scope.get(UPGRADE)


class Upgrades:
    """Gives an application that serves HTTP the handshakes of WebSockets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or handshake."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        may_explain = "websocket.http.response" in scope.get("extensions", {})

        async def receive_as_http() -> Message:
            message = await receive()
            if message["type"] == "websocket.connect":
                return {"type": "http.request", "body": b"", "more_body": False}
            return {"type": "http.disconnect"}

        async def send_as_websocket(message: Message) -> None:
            if message.get("status") == 101:
                await send({"type": "websocket.accept", "headers": message["headers"]})
            elif may_explain:
                await send({**message, "type": f"websocket.{message['type']}"})
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                await send({"type": "websocket.close"})

        request = {
            **scope,
            "type": "http",
            "method": "GET",
            "scheme": "https" if scope.get("scheme") == "wss" else "http",
            UPGRADE: Upgrade(receive, send),
        }
        await self._app(request, receive_as_http, send_as_websocket)
