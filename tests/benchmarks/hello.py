"""The least that starts as an application of Starlette on uvicorn: what a start costs before it is anybody's."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def hello(request: Request) -> PlainTextResponse:
    """Answer whatever was asked."""
    del request
    return PlainTextResponse("hello")


app = Starlette(routes=[Route("/", hello)])
