"""What belongs to one answer: its messages, each once, and the reasoning of the account that it was made for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.codex_home import Transport, write_home
from tests.harness.proxy import BOTH_KINDS, Proxy, proxy, user
from tests.harness.script import Cut, Output, Reply, Text, reply
from tests.harness.upstream import Upstream

LOOKING, ANSWER = "I look at the files.", "The answer is 5."
TOGETHER = f"{LOOKING}\n\n{ANSWER}"


@pytest.fixture
async def bridge(upstream: Upstream, home: Path, transport: Transport) -> AsyncGenerator[Proxy]:
    """The running proxy with a codex that retries a cut stream."""
    write_home(home, upstream.base_url, transport, stream_retries=2)
    async with proxy(upstream, home) as running:
        yield running


def cut_after(*output: Output | str) -> Reply:
    """Return a response that is cut off after complete items."""
    actions = reply(*output).actions
    return Reply(tuple(one for one in actions if isinstance(one, dict) and one["type"] != "response.completed")).then(
        Cut()
    )


async def said(bridge: Proxy, *messages: dict[str, Any], stream: bool) -> tuple[str, str]:
    """Return the text of an answer, and what became of its thread."""
    if not stream:
        answer = await bridge.chat(*messages)
        return answer.json()["choices"][0]["message"]["content"], answer.headers["x-codex-proxy-thread"]
    async with bridge.stream(*messages) as streamed:
        return (await streamed.read()).text, streamed.response.headers["x-codex-proxy-thread"]


@BOTH_KINDS
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_sends_two_messages_back_as_one_keeps_its_thread(bridge: Proxy, *, stream: bool) -> None:
    bridge.upstream.will_reply(reply(LOOKING, Text(("The answer ", "is 5."))), reply("Bye."))
    text, _ = await said(bridge, user("5?"), stream=stream)
    assert text == TOGETHER
    history = user("5?"), {"role": "assistant", "content": text}, user("Thanks.")
    assert await said(bridge, *history, stream=stream) == ("Bye.", "continued; reason=same-history")
    seen = [item["content"][0]["text"] for item in bridge.upstream.conversation()]
    assert seen == ["5?", LOOKING, ANSWER, "Thanks."]


@BOTH_KINDS
@pytest.mark.parametrize("again", [(LOOKING, ANSWER), (ANSWER,)], ids=["repeated", "continued"])
async def test_after_a_cut_that_follows_a_complete_message_no_word_comes_twice(
    bridge: Proxy, again: tuple[str, ...]
) -> None:
    bridge.upstream.respond = lambda request: reply(*again) if len(bridge.upstream.requests) > 1 else cut_after(LOOKING)
    assert (await said(bridge, user("5?"), stream=True))[0] == TOGETHER
    assert len(bridge.upstream.requests) == 2


@BOTH_KINDS
async def test_messages_of_an_answer_are_items_of_a_response_each_once(bridge: Proxy) -> None:
    bridge.upstream.will_reply(cut_after(LOOKING), reply(LOOKING, ANSWER))
    answer = await bridge.client.post("/responses", json={"model": bridge.model, "input": "5?"})
    assert [item["content"][0]["text"] for item in answer.json()["output"]] == [LOOKING, ANSWER]
    follow_up = {"model": bridge.model, "input": "Thanks.", "previous_response_id": answer.json()["id"]}
    answer = await bridge.client.post("/responses", json=follow_up)
    assert answer.headers["x-codex-proxy-thread"] == "continued; reason=same-history"
