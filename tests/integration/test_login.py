"""A login made by another program while the server runs."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from tests.harness.codex_home import Transport, log_in
from tests.harness.proxy import Proxy, user
from tests.harness.script import Hold, Text, reply


def log_in_again(home: Path, key: str) -> None:
    log_in(home)
    auth = json.loads((home / "auth.json").read_text())
    (home / "auth.json").write_text(json.dumps({**auth, "OPENAI_API_KEY": key}))


def keys(bridge: Proxy) -> list[str]:
    return [request.headers["authorization"] for request in bridge.upstream.requests]


@pytest.fixture
def transport() -> Transport:
    return "websocket"


async def test_a_new_login_holds_for_the_next_request_and_running_turns_are_not_lost(bridge: Proxy, home: Path) -> None:
    gate = anyio.Event()
    bridge.upstream.will_reply(reply(Text(("Once ", "upon"), between=Hold(gate))))
    with anyio.fail_after(20):
        async with bridge.stream(user("tell me a story")) as stream:
            chunks = aiter(stream)
            while stream.text != "Once ":
                await anext(chunks)
            log_in_again(home, "sk-another")
            assert (await bridge.chat(user("hi"))).status_code == 200
            assert len(bridge.codex_children()) == 2
            gate.set()
            async for _ in chunks:
                pass
        assert stream.text == "Once upon"
        assert stream.chunks[-1]["choices"][0]["finish_reason"] == "stop"
        while len(bridge.codex_children()) == 2:
            await bridge.client.get("/healthz")
    assert keys(bridge) == ["Bearer sk-test", "Bearer sk-another"]


async def test_a_conversation_continues_under_a_new_login(bridge: Proxy, home: Path) -> None:
    history = [user("one?")]
    first = await bridge.chat(*history)
    log_in_again(home, "sk-another")
    second = await bridge.chat(*history, first.json()["choices"][0]["message"], user("two?"))
    assert second.headers["x-codex-proxy-thread"] == "rebuilt; reason=codex-restarted"
    assert keys(bridge) == ["Bearer sk-test", "Bearer sk-another"]
    third = await bridge.chat(user("hi"))
    assert third.status_code == 200
    assert bridge.service.supervisor.starts == 2
