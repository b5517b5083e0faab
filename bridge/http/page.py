"""The status page at `/`: static files without account data, and the routes of its checks."""

from __future__ import annotations

from importlib.resources import files

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from bridge.config import Settings
from bridge.errors import route_not_found
from bridge.http.self_test import SelfTest

MEDIA = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
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
    """The handlers of the page and its checks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
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
            return JSONResponse(await look_around(self._settings), headers={"cache-control": "no-store"})

    async def stream(self, request: Request) -> ASGIApp:
        """GET /doctor/stream."""
        return SelfTest.from_query(request.query_params, self._settings.keep_alive)
