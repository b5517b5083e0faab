"""The Responses API through popular clients: openai-python with strict validation, and openai-agents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import anyio
import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from tests.harness.codex_home import write_home
from tests.harness.proxy import BOTH_KINDS, Proxy, proxy
from tests.harness.script import Call, Cut, Hold, Text, Thought, begun, reply
from tests.harness.upstream import Upstream
from tests.integration.test_chat import tiny_png
from tests.integration.test_frameworks import ANSWER, BASE_URL, add, adding_model, assert_one_thread

pytestmark = BOTH_KINDS

BOTH_TRANSPORTS = pytest.mark.parametrize("transport", ["http", "websocket"])
ENCRYPTED: Any = ["reasoning.encrypted_content"]
LOOK: Any = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}


def strict_client(bridge: Proxy) -> openai.AsyncOpenAI:
    """The official client with strict validation of its types."""
    return openai.AsyncOpenAI(
        api_key="any",
        base_url=BASE_URL,
        http_client=bridge.client,
        max_retries=0,
        _strict_response_validation=True,
    )


@pytest.fixture
def client(bridge: Proxy) -> openai.AsyncOpenAI:
    return strict_client(bridge)


def sent_back(response: Response) -> list[Any]:
    """Return the output items in the form for the next input."""
    return [item.model_dump(mode="json", exclude_unset=True) for item in response.output]


def unparsed(value: Any) -> Any:
    """Return a response without the fields that the client adds to an assembled one."""
    match value:
        case dict():
            fields = cast("dict[str, Any]", value)
            return {name: unparsed(one) for name, one in fields.items() if name not in {"parsed", "parsed_arguments"}}
        case list():
            return [unparsed(one) for one in cast("list[Any]", value)]
        case _:
            return value


# ── openai-python ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_response_holds_the_models_answer(bridge: Proxy, client: openai.AsyncOpenAI) -> None:
    bridge.upstream.will_reply(reply(Thought("Hm.", "secret"), "Hello.", Call("look", "{}", "c1")))
    response = await client.responses.create(
        model=bridge.model, instructions="Be.", input="Hi.", tools=[LOOK], reasoning={"summary": "auto"}
    )
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert (response.output_text, response.model, response.status) == ("Hello.", bridge.model, "completed")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (812, 40)


@BOTH_TRANSPORTS
async def test_every_event_is_valid_and_the_assembled_stream_is_the_stored_response(
    bridge: Proxy, client: openai.AsyncOpenAI
) -> None:
    said = [Thought("Hm.", "secret"), Text(("Hel", "lo.")), Call("look", '{"at": 1}', "c1"), Call("look", "{}", "c2")]
    bridge.upstream.will_reply(reply(*said))
    async with client.responses.stream(
        model=bridge.model, input="Hi.", tools=[LOOK], reasoning={"summary": "auto"}
    ) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert [event.sequence_number for event in events if hasattr(event, "sequence_number")] == [*range(len(events))]
    assert final.output_text == "Hello."
    stored = await client.responses.retrieve(final.id)
    assert stored.to_dict()["output"] == unparsed(final.to_dict()["output"])
    completed = events[-1]
    assert completed.type == "response.completed"
    assert completed.response.to_dict()["output"] == final.to_dict()["output"]


class Sum(BaseModel):
    """The expected answer of the model."""

    total: int


async def test_an_answer_is_parsed_by_its_schema(bridge: Proxy, client: openai.AsyncOpenAI) -> None:
    bridge.upstream.will_reply(reply('{"total": 5}'))
    response = await client.responses.parse(model=bridge.model, input="2+3?", text_format=Sum)
    assert response.output_parsed == Sum(total=5)
    sent = bridge.upstream.requests[0].body["text"]["format"]
    assert (sent["type"], sent["strict"]) == ("json_schema", True)
    assert sent["schema"]["properties"]["total"]["type"] == "integer"


async def test_a_stored_response_exists_until_it_is_deleted(bridge: Proxy, client: openai.AsyncOpenAI) -> None:
    response = await client.responses.create(model=bridge.model, input="Hi.")
    assert (await client.responses.retrieve(response.id)).to_dict() == response.to_dict()
    await client.responses.delete(response.id)
    for gone in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            await gone(response.id)
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model=bridge.model, input="Go on.", previous_response_id=response.id)
    assert (caught.value.param, caught.value.code) == ("previous_response_id", "previous_response_not_found")
    unstored = await client.responses.create(model=bridge.model, input="Hi.", store=False)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(unstored.id)


async def test_a_chain_continues_its_thread_and_its_items_are_listed_in_pages(
    bridge: Proxy, client: openai.AsyncOpenAI
) -> None:
    bridge.upstream.will_reply(reply("One."), reply("Two."), reply("Three."))
    previous: str | None = None
    for question in ("one?", "two?", "three?"):
        response = await client.responses.create(
            model=bridge.model, input=[{"role": "user", "content": question}], previous_response_id=previous
        )
        previous = response.id
    assert len({request.body["prompt_cache_key"] for request in bridge.upstream.requests}) == 1
    texts = [part["text"] for item in bridge.upstream.conversation() for part in item["content"]]
    assert texts == ["one?", "One.", "two?", "Two.", "three?"]
    assert previous is not None
    listed = [item async for item in client.responses.input_items.list(previous, limit=2, order="asc")]
    assert [item.to_dict()["content"][0]["text"] for item in cast("list[Any]", listed)] == texts
    assert [item.id async for item in client.responses.input_items.list(previous, limit=1)] == [
        item.id for item in reversed(listed)
    ]


async def test_a_running_response_is_cancelled(bridge: Proxy, client: openai.AsyncOpenAI) -> None:
    gate = anyio.Event()
    bridge.upstream.will_reply(begun(Text(("Hel", "lo."), Hold(gate))))
    with anyio.fail_after(20):
        stream = await client.responses.create(model=bridge.model, input="Hi.", stream=True)
        response_id, cancelled, last = "", None, None
        async for event in stream:
            match event.type:
                case "response.created":
                    response_id = event.response.id
                    assert (await client.responses.retrieve(response_id)).status == "in_progress"
                case "response.output_text.delta":
                    cancelled = await client.responses.cancel(response_id)
                case _:
                    last = event
    assert last is not None
    assert last.type == "response.incomplete"
    assert cancelled is not None
    assert (cancelled.status, cancelled.output_text) == ("cancelled", "Hel")
    assert last.response.to_dict() == cancelled.to_dict()
    assert (await client.responses.retrieve(response_id)).to_dict() == cancelled.to_dict()
    with pytest.raises(openai.BadRequestError):
        await client.responses.cancel(response_id)
    gate.set()


async def test_an_answer_that_is_too_long_is_incomplete(bridge: Proxy, client: openai.AsyncOpenAI) -> None:
    bridge.upstream.will_reply(reply(Text(tuple("abcdef"))))
    response = await client.responses.create(model=bridge.model, input="Hi.", max_output_tokens=3)
    assert (response.status, response.output_text) == ("incomplete", "abc")
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


async def test_an_image_reaches_the_model(bridge: Proxy, client: openai.AsyncOpenAI) -> None:
    image = {"type": "input_image", "image_url": tiny_png()}
    parts: Any = [{"type": "input_text", "text": "What is it?"}, image]
    await client.responses.create(model=bridge.model, input=[{"role": "user", "content": parts}])
    [item] = bridge.upstream.conversation()
    assert [part["type"] for part in item["content"]] == ["input_text", "input_image"]
    assert item["content"][1]["image_url"] == tiny_png()


# ── Reasoning ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@BOTH_TRANSPORTS
async def test_encrypted_reasoning_from_a_stateless_client_reaches_the_upstream_unchanged(
    bridge: Proxy, client: openai.AsyncOpenAI
) -> None:
    """The first message differs, so that no live thread and no stored reasoning is used."""
    bridge.upstream.will_reply(reply(Thought("Hm.", "secret"), Call("look", "{}", "c1")), reply("Done."))
    first = await client.responses.create(
        model=bridge.model, input="Hi.", tools=[LOOK], store=False, include=ENCRYPTED, reasoning={"summary": "auto"}
    )
    output = {"type": "function_call_output", "call_id": "c1", "output": "seen"}
    given: Any = [{"role": "user", "content": "Hello."}, *sent_back(first), output]
    await client.responses.create(model=bridge.model, input=given, tools=[LOOK], store=False, include=ENCRYPTED)
    said, _ = bridge.upstream.played[0].items
    sent = [item for item in bridge.upstream.requests[-1].input if item["type"] != "additional_tools"]
    assert [item["type"] for item in sent] == ["message", "reasoning", "function_call", "function_call_output"]
    assert {name: sent[1][name] for name in ("id", "summary", "encrypted_content")} == {
        name: said[name] for name in ("id", "summary", "encrypted_content")
    }


async def test_reasoning_without_its_encrypted_content_is_found_in_the_store(
    bridge: Proxy, client: openai.AsyncOpenAI
) -> None:
    bridge.upstream.will_reply(reply(Thought("Hm.", "secret"), "One."), reply("Two."), reply("Three."))
    first = await client.responses.create(model=bridge.model, input="Hi.", reasoning={"summary": "auto"})
    assert "secret" not in first.to_json()
    given: Any = [{"role": "user", "content": "Hello."}, *sent_back(first), {"role": "user", "content": "Next."}]
    await client.responses.create(model=bridge.model, input=given)
    said, _ = bridge.upstream.played[0].items
    assert [
        (item["id"], item["encrypted_content"])
        for item in bridge.upstream.requests[1].input
        if item["type"] == "reasoning"
    ] == [(said["id"], "secret")]
    await client.responses.delete(first.id)
    await client.responses.create(model=bridge.model, input=given)
    assert [item["type"] for item in bridge.upstream.requests[2].input] == ["message"] * 3


async def test_reasoning_that_a_retry_repeats_does_not_divide_a_message(
    upstream: Upstream, tmp_path: Path, home: Path
) -> None:
    write_home(home, upstream.base_url, stream_retries=1)
    async with proxy(upstream, home) as bridge:
        upstream.will_reply(
            begun(Thought("Hm.", "secret"), Text(("Hel", "lo."))).then(Cut()),
            reply(Thought("Hm.", "another secret"), "Hello."),
            reply("Two."),
        )
        client = strict_client(bridge)
        first = await client.responses.create(model=bridge.model, input="Hi.", reasoning={"summary": "auto"})
        assert [item.type for item in first.output] == ["reasoning", "message"]
        assert first.output_text == "Hello."
        await client.responses.create(
            model=bridge.model, input="Next.", previous_response_id=first.id, reasoning={"summary": "auto"}
        )
    assert len({request.body["prompt_cache_key"] for request in upstream.requests}) == 1


# ── Agents ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_agent_whose_server_keeps_the_conversation_sends_only_what_is_new(
    bridge: Proxy, client: openai.AsyncOpenAI
) -> None:
    import agents

    bridge.upstream.respond = adding_model
    agents.set_tracing_disabled(disabled=True)
    model = agents.OpenAIResponsesModel(bridge.model, client)
    agent = agents.Agent(name="adder", instructions="Add.", tools=[agents.function_tool(add)], model=model)
    result = await agents.Runner.run(agent, "2+3 and 4+5?", auto_previous_response_id=True)
    assert result.final_output == ANSWER
    assert_one_thread(bridge)
    assert json.dumps(bridge.upstream.conversation()).count("2+3 and 4+5?") == 1
