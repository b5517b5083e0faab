"""Many requests at once, and many in sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest

from tests.harness.program import program
from tests.harness.proxy import MODEL, Stream, proxy, user
from tests.harness.script import Hold, Text, reply
from tests.harness.upstream import Upstream
from tests.load.soak import memory, respond, said_to, soak


@pytest.mark.long
async def test_two_hundred_streams_at_once_complete_with_their_own_text(upstream: Upstream, home: Path) -> None:
    """The upstream holds each stream back until all have begun, so that they do run at once."""
    del home
    everybody = anyio.Event()

    def held(request: Any) -> Any:
        question = request.input[-1]["content"][0]["text"]
        pieces = tuple(f"{question}/{number} " for number in range(20))
        if len(upstream.requests) == 200:
            everybody.set()
        return reply(Text(pieces, between=Hold(everybody)))

    upstream.respond = held
    texts: dict[str, str] = {}
    limits = httpx2.Limits(max_connections=None)
    async with (
        program() as running,
        httpx2.AsyncClient(base_url=running.base_url, timeout=100, limits=limits) as client,
    ):

        async def ask(question: str) -> None:
            body = {"model": MODEL, "stream": True, "messages": [user(question)]}
            async with client.stream("POST", "/chat/completions", json=body) as response:
                texts[question] = (await Stream(response).read()).text

        with anyio.fail_after(100):
            async with anyio.create_task_group() as tasks:
                for number in range(200):
                    tasks.start_soon(ask, f"stream {number}")
    assert texts == {f"stream {number}": said_to(f"stream {number}") for number in range(200)}


@pytest.mark.long
async def test_a_mixture_of_all_clients_gets_right_answers_and_leaves_no_more_memory_than_before(
    upstream: Upstream, home: Path
) -> None:
    del home
    upstream.respond = respond
    async with program("--threads", "8") as running:
        await soak(running.base_url, 60, 10, seed=1)
        server, _ = memory(running)
        run = await soak(running.base_url, 120, 10, seed=2)
        assert run.wrong == []
        kinds = {
            "whole",
            "streamed",
            "tools",
            "leaving",
            "broken",
            "bad",
            "compressed",
            "foreign",
            "one-shot",
            "agents",
        }
        assert kinds <= set(run.done)
        assert memory(running)[0] - server < 32 * 1024 * 1024


async def test_a_client_that_asks_for_many_answers_delays_another_by_one_place(upstream: Upstream, home: Path) -> None:
    order: list[str] = []
    gate = anyio.Event()
    upstream.will_reply(reply(Text(("first ", "answer"), between=Hold(gate))))
    async with proxy(upstream, home, answers=1) as bridge:

        async def ask(text: str, client: str) -> None:
            body = {"model": MODEL, "messages": [user(text)]}
            response = await bridge.client.post("/chat/completions", json=body, headers={"user-agent": client})
            assert response.status_code == 200
            order.append(text)

        def there() -> int:
            states = bridge.service.admission.states()
            return states["running"] + states["waiting"]

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for number, (text, client) in enumerate([("a0", "A"), ("a1", "A"), ("a2", "A"), ("b0", "B")]):
                    tasks.start_soon(ask, text, client)
                    while there() <= number:
                        await anyio.lowlevel.checkpoint()
                gate.set()
    assert order == ["a0", "a1", "b0", "a2"]
