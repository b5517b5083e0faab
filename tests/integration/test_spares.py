"""A new conversation on the built-in provider uses a WebSocket that is already open."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from tests.harness.codex_home import Transport
from tests.harness.proxy import Proxy, proxy, user
from tests.harness.upstream import Upstream


@pytest.fixture
def transport() -> Transport:
    return "websocket"


@pytest.fixture
async def sparing(upstream: Upstream, home: Path) -> AsyncGenerator[Proxy]:
    """A proxy that has answered a first conversation and has a spare thread for the next."""
    with anyio.fail_after(20):
        async with proxy(upstream, home, spares=2) as running:
            assert (await running.chat(user("first"))).status_code == 200
            while not running.service.threads.spares:  # noqa: ASYNC110 - no event announces it
                await anyio.sleep(0.01)
            yield running


async def test_a_new_conversation_needs_no_new_connection(sparing: Proxy):
    upstream = sparing.upstream
    await upstream.wait_for_warm_ups(2)
    opened, upstream.handshake = upstream.websockets, math.inf

    answer = await sparing.chat(user("second"))

    assert answer.json()["choices"][0]["message"]["content"] == "ok"
    assert answer.headers["x-codex-proxy-thread"] == "new; reason=first-request"
    assert upstream.websockets == opened == 2
    assert upstream.conversation()[-1]["content"] == [{"type": "input_text", "text": "second"}]


async def test_the_conversation_continues_on_the_former_spare_thread(sparing: Proxy):
    first = user("second")
    said = {"role": "assistant", "content": "ok"}

    await sparing.chat(first)
    answer = await sparing.chat(first, said, user("third"))

    assert answer.headers["x-codex-proxy-thread"] == "continued; reason=same-history"


async def test_other_tools_need_another_thread(sparing: Proxy):
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}

    answer = await sparing.chat(user("second"), tools=[tool])

    assert answer.status_code == 200
    assert [tool["name"] for tool in sparing.upstream.requests[-1].tools] == ["look"]
