"""Conversations through openai-python and openai-agents."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import openai
import pytest

from tests.harness import proxy as harness
from tests.harness.proxy import BOTH_KINDS, Proxy, served
from tests.harness.script import Call, Hold, Text, Thought, begun, failed, reply
from tests.harness.services import redis_server
from tests.harness.upstream import Upstream
from tests.integration.test_responses_clients import ENCRYPTED, LOOK, strict_client

pytestmark = BOTH_KINDS


@pytest.fixture
def client(bridge: Proxy) -> openai.AsyncOpenAI:
    return strict_client(bridge)


def user(text: str) -> Any:
    return {"type": "message", "role": "user", "content": text}


def texts(items: list[dict[str, Any]]) -> list[str]:
    """Return the texts of messages, and the types of other items."""
    return [item["content"][0]["text"] if item["type"] == "message" else item["type"] for item in items]


async def listed(client: openai.AsyncOpenAI, conversation: str, **options: Any) -> list[Any]:
    return [item async for item in client.conversations.items.list(conversation, order="asc", **options)]


async def test_the_synchronous_client_uses_every_route(upstream: Upstream, home: Path) -> None:
    def use(base_url: str) -> None:
        with openai.OpenAI(api_key="any", base_url=base_url, max_retries=0, _strict_response_validation=True) as client:
            made = client.conversations.create(items=[user("Hi.")], metadata={"topic": "a"})
            assert (made.object, made.metadata) == ("conversation", {"topic": "a"})
            assert client.conversations.update(made.id, metadata={"topic": "b"}).metadata == {"topic": "b"}
            assert client.conversations.retrieve(made.id).to_dict() == {**made.to_dict(), "metadata": {"topic": "b"}}
            added = client.conversations.items.create(made.id, items=[user("one"), user("two")])
            assert [item.id for item in added.data] == [added.first_id, added.last_id]
            response = client.responses.create(model=harness.asked, input="three", conversation=made.id)
            assert response.conversation is not None
            assert response.conversation.id == made.id
            items: list[Any] = list(client.conversations.items.list(made.id, limit=2))
            assert [one.id for one in items[1:]] == [
                item.id for item in client.conversations.items.list(made.id, after=items[0].id)
            ]
            assert len(items) == 5
            assert client.conversations.items.retrieve(items[0].id, conversation_id=made.id) == items[0]
            assert client.conversations.items.delete(added.first_id, conversation_id=made.id).id == made.id
            assert len(list(client.conversations.items.list(made.id))) == 4
            assert client.conversations.delete(made.id).deleted
            for gone in (client.conversations.retrieve, client.conversations.delete):
                with pytest.raises(openai.NotFoundError):
                    gone(made.id)

    async with served() as server:
        await anyio.to_thread.run_sync(partial(use, server.base_url))
    assert texts(upstream.conversation()) == ["Hi.", "one", "two", "three"]


async def test_each_response_sees_the_items_and_adds_its_own_on_one_thread(
    bridge: Proxy, client: openai.AsyncOpenAI
) -> None:
    bridge.upstream.will_reply(reply(Thought("Hm.", "secret"), Call("look", "{}", "c1")), reply("Seen."), reply("Bye."))
    conversation = await client.conversations.create()
    output: Any = {"type": "function_call_output", "call_id": "c1", "output": "a cat"}
    for given in ("Look.", [output], [user("Thanks.")]):
        await client.responses.create(
            model=bridge.model, input=given, tools=[LOOK], conversation={"id": conversation.id}, store=False
        )
    seen = ["Look.", "reasoning", "function_call", "function_call_output", "Seen.", "Thanks."]
    assert texts(bridge.upstream.conversation()) == seen
    assert len({request.body["prompt_cache_key"] for request in bridge.upstream.requests}) == 1
    items = await listed(client, conversation.id)
    assert texts([item.to_dict() for item in items]) == [*seen, "Bye."]
    assert len({item.id for item in items}) == 7
    assert "secret" not in str([item.to_dict() for item in items])
    assert "secret" in str([item.to_dict() for item in await listed(client, conversation.id, include=ENCRYPTED)])
    counted = await client.responses.input_tokens.count(conversation=conversation.id)
    assert counted.input_tokens > 20
    compacted = await client.responses.compact(
        model=bridge.model, extra_body={"conversation": conversation.id}, input=None
    )
    assert compacted.output[0].type == "compaction"


async def test_a_conversation_is_rebuilt_from_its_items_after_one_was_deleted(
    bridge: Proxy, client: openai.AsyncOpenAI
) -> None:
    conversation = await client.conversations.create(items=[user("My name is Ann.")])
    await client.responses.create(model=bridge.model, input="Hi.", conversation=conversation.id)
    first, *_ = await listed(client, conversation.id)
    await client.conversations.items.delete(first.id, conversation_id=conversation.id)
    await client.responses.create(model=bridge.model, input="Who am I?", conversation=conversation.id)
    assert texts(bridge.upstream.conversation()) == ["Hi.", "ok", "Who am I?"]


async def test_a_response_that_failed_or_was_cancelled_adds_nothing(bridge: Proxy, client: openai.AsyncOpenAI) -> None:
    gate = anyio.Event()
    conversation = await client.conversations.create()
    bridge.upstream.will_reply(failed("insufficient_quota", "No more."), begun(Text(("Hel", "lo."), Hold(gate))))
    with pytest.raises(openai.RateLimitError):
        await client.responses.create(model=bridge.model, input="one", conversation=conversation.id)
    with anyio.fail_after(20):
        running = await client.responses.create(
            model=bridge.model, input="two", conversation=conversation.id, background=True
        )
        stream = await client.responses.retrieve(running.id, stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                await client.responses.cancel(running.id)
    assert await listed(client, conversation.id) == []
    await client.responses.create(model=bridge.model, input="three", conversation=conversation.id)
    assert texts([item.to_dict() for item in await listed(client, conversation.id)]) == ["three", "ok"]
    gate.set()


async def refusal(bridge: Proxy, method: str, path: str, body: Any = None) -> tuple[int, str | None, str]:
    response = await bridge.client.request(method, path, json=body)
    error = response.json()["error"]
    return response.status_code, error["param"], error["code"]


async def test_what_does_not_exist_or_is_wrong_is_refused_with_its_place(
    bridge: Proxy, client: openai.AsyncOpenAI
) -> None:
    here = f"/conversations/{(await client.conversations.create()).id}"
    message = user("Hi.")
    cases: list[tuple[str, str, Any, tuple[int, str | None, str]]] = [
        ("GET", "/conversations/conv_none", None, (404, "conversation", "conversation_not_found")),
        ("GET", "/conversations/conv_none/items", None, (404, "conversation", "conversation_not_found")),
        ("POST", "/conversations/conv_none", {"metadata": {}}, (404, "conversation", "conversation_not_found")),
        (
            "POST",
            "/conversations/conv_none/items",
            {"items": [message]},
            (404, "conversation", "conversation_not_found"),
        ),
        ("GET", f"{here}/items/msg_none", None, (404, "item_id", "item_not_found")),
        ("DELETE", f"{here}/items/msg_none", None, (404, "item_id", "item_not_found")),
        ("POST", f"{here}/items", {}, (400, "items", "empty_array")),
        ("POST", f"{here}/items", {"items": [message, {"type": "x"}]}, (400, "items[1].type", "unsupported_content")),
        (
            "POST",
            f"{here}/items",
            {"items": [{"type": "compaction", "encrypted_content": "x"}]},
            (400, "items[0].encrypted_content", "invalid_encrypted_content"),
        ),
        ("GET", f"{here}/items?limit=0", None, (400, "limit", "invalid_value")),
        ("POST", "/conversations", {"metadata": {"a": 5}}, (400, "metadata[...]", "invalid_type")),
        ("POST", "/conversations", {"metadata": {"a" * 65: ""}}, (400, "metadata", "invalid_value")),
        ("POST", "/conversations", {"metadata": {str(n): "" for n in range(17)}}, (400, "metadata", "invalid_value")),
        (
            "POST",
            "/responses",
            {"model": bridge.model, "input": "Hi.", "conversation": "conv_none"},
            (404, "conversation", "conversation_not_found"),
        ),
    ]
    for method, path, body, expected in cases:
        assert await refusal(bridge, method, path, body) == expected, path
    assert await listed(client, here.rpartition("/")[2]) == []


async def test_an_agents_session_keeps_its_history_here(bridge: Proxy, client: openai.AsyncOpenAI) -> None:
    import agents

    agents.set_tracing_disabled(disabled=True)
    session: Any = agents.OpenAIConversationsSession(openai_client=client)
    agent = agents.Agent(name="a", model=agents.OpenAIResponsesModel(bridge.model, client))
    for question in ("one", "two"):
        result = await agents.Runner.run(agent, question, session=session)
        assert result.final_output == "ok"
    assert texts(bridge.upstream.conversation()) == ["one", "ok", "two"]
    assert len(await session.get_items()) == 4


async def test_servers_with_one_redis_share_conversations(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    async with redis_server(folder) as url, served(store=url) as one, served(store=url) as two:
        first, second = (openai.AsyncOpenAI(api_key="any", base_url=server.base_url) for server in (one, two))
        async with first, second:
            conversation = await first.conversations.create()
            for client, question in ((first, "one"), (second, "two")):
                await client.responses.create(model=harness.asked, input=question, conversation=conversation.id)
    assert texts(upstream.conversation()) == ["one", "ok", "two"]
