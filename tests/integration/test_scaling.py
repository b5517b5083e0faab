"""Two servers behind nginx with one Redis, as docs/scaling.md sets them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2

from tests.harness.proxy import MODEL, user
from tests.harness.script import Hold, Text, reply
from tests.harness.services import nginx, redis_server
from tests.harness.upstream import Upstream
from tests.integration.test_program import Program, program


def port_of(server: Program) -> int:
    port = urlsplit(server.base_url).port
    assert port is not None
    return port


@dataclass
class Asking:
    """A client of one of the servers, or of all of them."""

    client: httpx2.AsyncClient
    upstream: Upstream

    async def ask(self, url: str, body: Mapping[str, Any], said: str, **headers: str) -> tuple[str, Any]:
        """Ask for what the model then says; return what became of the thread, and the answer."""
        self.upstream.will_reply(reply(said))
        response = await self.client.post(url, json={"model": MODEL, **body}, headers=headers)
        assert response.status_code == 200, response.text
        return response.headers["x-codex-proxy-thread"].partition(";")[0], response.json()


async def test_any_server_continues_what_another_has_stored_and_a_conversation_stays_with_its_own(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("redis", "nginx")]
    for folder in folders:
        folder.mkdir()
    async with (
        redis_server(folders[0]) as url,
        program("--store", url) as one,
        program("--store", url) as two,
        nginx(folders[1], port_of(one), port_of(two)) as both,
        httpx2.AsyncClient(timeout=30) as client,
    ):
        asking = Asking(client, upstream)

        # One chain, each step on the other server: nothing is lost.
        previous = None
        for step, server in enumerate((one, two, one, two)):
            body = {"input": f"question {step}", "previous_response_id": previous}
            _, answered = await asking.ask(f"{server.base_url}/responses", body, f"answer {step}")
            previous = answered["id"]
        told = [item["content"][0]["text"] for item in upstream.requests[-1].input]
        earlier = [text for step in range(3) for text in (f"question {step}", f"answer {step}")]
        assert told == [*earlier, "question 3"]

        # Through nginx a conversation that has a name finds its thread again, whoever else talks.
        for name in ("a", "b", "c", "d"):
            chat, named = f"{both}/chat/completions", {"x-conversation-id": name}
            first, answered = await asking.ask(chat, {"messages": [user(name)]}, "Hi.", **named)
            messages = [user(name), answered["choices"][0]["message"], user("Go on.")]
            second, _ = await asking.ask(chat, {"messages": messages}, "Bye.", **named)
            assert (first, second) == ("new", "continued")

        # A server that is gone is replaced by the other one, which rebuilds what it needs.
        one.process.terminate()
        await one.process.wait()
        body = {"input": "And now?", "previous_response_id": previous}
        _, answered = await asking.ask(f"{both}/responses", body, "Still here.")
        assert answered["output"][0]["content"][0]["text"] == "Still here."


async def test_a_stream_passes_nginx_piece_by_piece(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    gate = anyio.Event()
    upstream.will_reply(reply(Text(("one", "two"), between=Hold(gate))))
    body = {"model": MODEL, "stream": True, "messages": [user("Hi")]}
    seen = ""
    async with (
        program() as server,
        nginx(tmp_path, port_of(server), port_of(server)) as base,
        httpx2.AsyncClient(timeout=30) as client,
        client.stream("POST", f"{base}/chat/completions", json=body) as response,
    ):
        async for line in response.aiter_lines():
            seen += line
            if '"one"' in line:
                assert "two" not in seen
                gate.set()
    assert '"two"' in seen
