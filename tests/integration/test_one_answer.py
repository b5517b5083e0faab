"""What belongs to one answer: its messages, each once, and the reasoning of the account that it was made for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.codex_home import Transport, log_in, write_home
from tests.harness.proxy import BOTH_KINDS, Proxy, proxy, user
from tests.harness.script import Cut, Output, Received, Reply, Text, Thought, failed, http_error, reply
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


# ── reasoning ─────────────────────────────────────────────────────────────────────────────────────────────────────────

REFUSAL = "The encrypted content gAAA… could not be verified. Reason: it could not be decrypted or parsed."
INCLUDE = ["reasoning.encrypted_content"]


def reasoning(request: Received) -> list[str]:
    """Return the encrypted reasoning that the model sees."""
    return [item["encrypted_content"] for item in request.conversation if item["type"] == "reasoning"]


async def ask(bridge: Proxy, dialect: str, asked: str, history: list[Any] | None = None) -> tuple[list[Any], str]:
    """Continue a history in a dialect; return the longer history, and what became of the thread."""
    new = [*(history or ()), user(asked)]
    if dialect == "chat":
        answer = await bridge.chat(*new)
        assert answer.status_code == 200, answer.text
        return [*new, answer.json()["choices"][0]["message"]], answer.headers["x-codex-proxy-thread"]
    fields: dict[str, Any] = {"input": new, "store": False, "include": INCLUDE}
    if dialect == "stored":
        fields = {"input": asked, "previous_response_id": history[0] if history else None}
    answer = await bridge.client.post("/responses", json={"model": bridge.model, **fields})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    after = [body["id"]] if dialect == "stored" else [*new, *body["output"]]
    return after, answer.headers["x-codex-proxy-thread"]


@BOTH_KINDS
@pytest.mark.parametrize("dialect", ["chat", "stored", "sent"])
async def test_reasoning_of_an_account_is_never_sent_for_another_account(
    bridge: Proxy, home: Path, dialect: str
) -> None:
    bridge.upstream.will_reply(reply(Thought(encrypted="A's"), "One."), reply(Thought(encrypted="B's"), "Two."))
    history, _ = await ask(bridge, dialect, "one?")
    log_in_again(home)
    history, _ = await ask(bridge, dialect, "two?", history)
    _, thread = await ask(bridge, dialect, "three?", history)
    assert [reasoning(request) for request in bridge.upstream.requests] == [[], [], ["B's"]]
    assert thread == "continued; reason=same-history"


@BOTH_KINDS
async def test_stored_reasoning_is_not_sent_for_another_account_after_a_restart(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    upstream.will_reply(reply(Thought(encrypted="A's"), "One."))
    async with proxy(upstream, home, store=str(tmp_path / "store")) as bridge:
        history, _ = await ask(bridge, "stored", "one?")
    async with proxy(upstream, home, store=str(tmp_path / "store")) as bridge:
        await ask(bridge, "stored", "same account?", history)
    log_in_again(home)
    async with proxy(upstream, home, store=str(tmp_path / "store")) as bridge:
        await ask(bridge, "stored", "another account?", history)
    assert [reasoning(request) for request in upstream.requests] == [[], ["A's"], []]


def log_in_again(home: Path) -> None:
    """Log in with another key."""
    (home / "auth.json").unlink(missing_ok=True)
    log_in(home)
    with (home / "auth.json").open("a") as auth:
        auth.write("\n")


@BOTH_KINDS
@pytest.mark.parametrize(
    ("refusal", "dialect"),
    [
        (http_error(400, {"error": {"message": REFUSAL, "code": "invalid_encrypted_content"}}), "chat"),
        (http_error(400, {"detail": REFUSAL}), "stored"),
        (failed("invalid_encrypted_content", REFUSAL), "sent"),
        (failed("invalid_encrypted_content", REFUSAL), "chat"),
    ],
    ids=["error-chat", "detail-stored", "in the stream-sent", "in the stream-chat"],
)
async def test_a_request_whose_reasoning_is_refused_is_repeated_once_without_it(
    bridge: Proxy, refusal: Reply, dialect: str
) -> None:
    bridge.upstream.will_reply(reply(Thought(encrypted="A's"), "One."))
    bridge.upstream.respond = lambda request: refusal if reasoning(request) else reply("Two.")
    history, _ = await ask(bridge, dialect, "one?")
    history, _ = await ask(bridge, dialect, "two?", history)
    _, thread = await ask(bridge, dialect, "three?", history)
    assert thread == "continued; reason=same-history"
    assert [reasoning(request) for request in bridge.upstream.requests[-2:]] == [[], []]


@BOTH_KINDS
async def test_a_request_without_reasoning_is_not_repeated_for_ever(bridge: Proxy) -> None:
    bridge.upstream.respond = lambda _: http_error(400, {"error": {"message": REFUSAL}})
    answer = await bridge.chat(user("one?"))
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, REFUSAL)
    assert len(bridge.upstream.requests) == 2
