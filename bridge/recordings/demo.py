"""The demo for a machine without a login: it plays the shipped recordings and says so in every response."""

from __future__ import annotations

from pathlib import Path

import anyio
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge.codex.launch import Launcher
from codex_rpc.errors import CodexError
from codex_rpc.wire.calls import account_read

NOTICE = "recorded answers, because codex is not logged in; log in and start the server again"
ASK_DEADLINE = 15.0
"""Seconds to start codex and read its account."""


def shipped_cases() -> Path:
    """Return the folder of the shipped recordings: inside the installed package, or next to it in a checkout."""
    inside = Path(__file__).parent.parent / "fixtures"
    return inside if inside.is_dir() else Path(__file__).parent.parent.parent / "fixtures"


async def is_logged_out(codex: str | None) -> bool:
    """Start codex and return whether it has no login; False if it fails, which the server itself will report."""
    try:
        with anyio.fail_after(ASK_DEADLINE):
            async with Launcher(codex).open_client() as client:
                return not (await client.call(account_read())).ready
    except (CodexError, TimeoutError):
        return False


class DemoNotice:
    """Adds a header to every response that says that it is a demo."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_notice(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"])["x-codex-proxy-demo"] = NOTICE
            await send(message)

        await self._app(scope, receive, send_with_notice)
