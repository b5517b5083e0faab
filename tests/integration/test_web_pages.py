"""Pages of other origins in a real browser: `--allow-origin` lets them use the server, and no other page."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import orjson
from anyio.abc import SocketAttribute, SocketStream

from tests.harness.browser import browser_page
from tests.harness.program import program
from tests.harness.proxy import MODEL, user
from tests.harness.upstream import Upstream

ASK = """(async () => {
  const sent = {
    method: "POST",
    headers: {"content-type": "application/json", "authorization": "Bearer any", "x-stainless-os": "Linux"},
    body: JSON.stringify(%s),
  };
  const models = await fetch("%s/v1/models");
  const answer = await fetch("%s/v1/chat/completions", sent);
  return [models.status, answer.status, Boolean(answer.headers.get("x-request-id")), await answer.text()];
})()"""


@asynccontextmanager
async def empty_pages() -> AsyncGenerator[int]:
    """Serve an empty page under every path and name; yield the port."""

    async def answer(connection: SocketStream) -> None:
        async with connection:
            with suppress(anyio.EndOfStream):  # browsers also open connections in advance
                await connection.receive()
                await connection.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n")

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, answer)
        yield int(listener.extra(SocketAttribute.local_port))  # noqa: S610 - not Django's
        tasks.cancel_scope.cancel()


async def test_only_a_page_of_an_allowed_origin_may_use_the_server(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    del home
    names = "--host-resolver-rules=MAP *.example 127.0.0.1"
    async with browser_page(tmp_path / "profile", names) as page, empty_pages() as port:
        origins = [f"http://{name}.example:{port}" for name in ("chat", "other")]
        async with program("--allow-origin", origins[0], "--allow-origin", "https://hosted.example") as running:
            got: list[Any] = []
            for origin in origins:
                await page.open(origin)
                await page.until(f"location.origin === {orjson.dumps(origin).decode()}")
                body = orjson.dumps({"model": MODEL, "messages": [user("hi")]}).decode()
                got.append(await page.evaluate(ASK % (body, running.url, running.url)))
    (allowed_models, allowed_chat, *allowed), (other_models, other_chat, *other) = got
    assert (allowed_models, allowed_chat, other_models, other_chat) == (200, 200, 403, 403)
    assert allowed[0] is True
    assert orjson.loads(allowed[1])["choices"][0]["message"]["content"]
    assert f"--allow-origin {origins[1]}" in orjson.loads(other[1])["error"]["message"]
    assert len(upstream.requests) == 1
