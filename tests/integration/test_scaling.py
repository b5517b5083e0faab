"""Two servers behind nginx with one Redis, as docs/scaling.md sets them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2

from tests.harness.program import program
from tests.harness.proxy import MODEL, served, user
from tests.harness.script import Hold, Text, reply
from tests.harness.services import nginx, redis_server
from tests.harness.system_programs import program_of
from tests.harness.upstream import Upstream


@dataclass
class Asking:
    """A client of one server, or of all of them."""

    client: httpx2.AsyncClient
    upstream: Upstream

    async def ask(self, url: str, body: Mapping[str, Any], said: str, **headers: str) -> tuple[str, Any]:
        """Send a request; return the thread outcome and the answer."""
        self.upstream.will_reply(reply(said))
        response = await self.client.post(url, json={"model": MODEL, **body}, headers=headers)
        assert response.status_code == 200, response.text
        return response.headers["x-codex-proxy-thread"].partition(";")[0], response.json()


async def test_any_server_continues_a_stored_chain_and_a_conversation_stays_on_one_server(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("redis", "nginx")]
    for folder in folders:
        folder.mkdir()
    async with (
        redis_server(folders[0]) as url,
        program("--store", url) as one,
        program("--store", url) as two,
        nginx(folders[1], one.port, two.port) as both,
        httpx2.AsyncClient(timeout=30) as client,
    ):
        asking = Asking(client, upstream)

        # One chain, with steps on alternating servers: nothing is lost.
        previous = None
        for step, server in enumerate((one, two, one, two)):
            body = {"input": f"question {step}", "previous_response_id": previous}
            _, answered = await asking.ask(f"{server.base_url}/responses", body, f"answer {step}")
            previous = answered["id"]
        told = [item["content"][0]["text"] for item in upstream.requests[-1].input]
        earlier = [text for step in range(3) for text in (f"question {step}", f"answer {step}")]
        assert told == [*earlier, "question 3"]

        # Through nginx a named conversation finds its thread again, despite other conversations.
        for name in ("a", "b", "c", "d"):
            chat, named = f"{both}/chat/completions", {"x-conversation-id": name}
            first, answered = await asking.ask(chat, {"messages": [user(name)]}, "Hi.", **named)
            messages = [user(name), answered["choices"][0]["message"], user("Go on.")]
            second, _ = await asking.ask(chat, {"messages": messages}, "Bye.", **named)
            assert (first, second) == ("new", "continued")

        # If a server is gone, the other one answers and rebuilds the thread.
        one.process.terminate()
        await one.process.wait()
        body = {"input": "And now?", "previous_response_id": previous}
        _, answered = await asking.ask(f"{both}/responses", body, "Still here.")
        assert answered["output"][0]["content"][0]["text"] == "Still here."


async def test_a_stream_passes_nginx_piece_by_piece(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    program_of("nginx")  # skipped before the server runs: a skip is no Exception, so it would come out in a group
    gate = anyio.Event()
    upstream.will_reply(reply(Text(("one", "two"), between=Hold(gate))))
    body = {"model": MODEL, "stream": True, "messages": [user("Hi")]}
    received = ""
    async with (
        served() as server,
        nginx(tmp_path, server.port, server.port) as base,
        httpx2.AsyncClient(timeout=30) as client,
        client.stream("POST", f"{base}/chat/completions", json=body) as response,
    ):
        async for line in response.aiter_lines():
            received += line
            if '"one"' in line:
                assert "two" not in received
                gate.set()
    assert '"two"' in received
