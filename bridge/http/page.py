"""The status page at `/`: static files without account data, and the routes of its checks and its buttons."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from bridge.agents.errors import agent_turn_not_found, approval_expired
from bridge.config import Settings
from bridge.errors import from_codex_error, invalid_request, route_not_found
from bridge.http.body import read_json
from bridge.http.self_test import SelfTest
from bridge.http.status import TunnelUrl, no_tunnel
from bridge.keys.live import id_of
from codex_rpc.errors import CodexError

if TYPE_CHECKING:
    from bridge.agents.control import Control

MEDIA = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "agents.js": "text/javascript; charset=utf-8",
    "words.js": "text/javascript; charset=utf-8",
    "chart.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The media types of the page's files; no other file is served."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
"""Headers that forbid loading anything from another origin, and framing the page."""


class Page:
    """The handlers of the page, its checks and its buttons; `agents` is None on a server without agents."""

    def __init__(self, settings: Settings, agents: Control | None = None, tunnel: TunnelUrl = no_tunnel) -> None:
        self._settings = settings
        self._agents = agents
        self._tunnel = tunnel
        self._files = files("bridge.http") / "web"
        self._checking = anyio.Lock()

    async def index(self, request: Request) -> Response:
        """GET /."""
        del request
        return self._file("index.html")

    async def file(self, request: Request) -> Response:
        """GET /page/{name}."""
        return self._file(request.path_params["name"])

    def _file(self, name: str) -> Response:
        if name not in MEDIA:
            raise route_not_found(f"/page/{name}")
        return Response((self._files / name).read_bytes(), media_type=MEDIA[name], headers=HEADERS)

    async def doctor(self, request: Request) -> Response:
        """GET /doctor: the checks that doctor can run inside the server, one run at a time, and the tunnel's URL."""
        del request
        from bridge.doctor.checks import look_around  # noqa: PLC0415 - needed only when the page is open

        async with self._checking:
            return JSONResponse(
                await look_around(self._settings, self._tunnel()), headers={"cache-control": "no-store"}
            )

    async def stream(self, request: Request) -> ASGIApp:
        """GET /doctor/stream."""
        return SelfTest.from_query(request.query_params, self._settings.keep_alive)

    async def stop_agent(self, request: Request) -> Response:
        """POST /agents/stop: stop the turn `turn`; then nothing of it runs, or its answer is about to end."""
        match await read_json(request, self._settings):
            case {"turn": str(turn)}:
                pass
            case _:
                raise invalid_request("The body must be an object with `turn`, the id of a turn.", "turn")
        if self._agents is None:
            raise agent_turn_not_found(turn)
        try:
            await self._agents.stop(turn, id_of(request.scope))
        except CodexError as error:
            raise from_codex_error(error) from error
        return JSONResponse({"turn": turn}, headers={"cache-control": "no-store"})

    async def answer_agent(self, request: Request) -> Response:
        """POST /agents/answer: say `approve`, true or false, to the question `approval`."""
        match await read_json(request, self._settings):
            case {"approval": str(approval), "approve": bool(approve)}:
                pass
            case _:
                message = "The body must be an object with `approval`, the id of a question, and a boolean `approve`."
                raise invalid_request(message, "approve")
        if self._agents is None:
            raise approval_expired()
        self._agents.decide(approval, id_of(request.scope), approve=approve)
        return JSONResponse({"approval": approval, "approve": approve}, headers={"cache-control": "no-store"})
