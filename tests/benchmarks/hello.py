"""A minimal Starlette application under Hypercorn, to measure the start without our own code.

python -m tests.benchmarks.hello PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

from hypercorn.asyncio import serve  # pyright: ignore[reportUnknownVariableType] - of its WSGI part
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def hello(request: Request) -> PlainTextResponse:
    """Answer every request."""
    del request
    return PlainTextResponse("hello")


if __name__ == "__main__":
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    asyncio.run(serve(cast("Any", Starlette(routes=[Route("/", hello)])), config))
