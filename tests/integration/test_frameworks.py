"""Tool loops of popular agent frameworks, unchanged, through the proxy."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from pydantic import SecretStr

from tests.harness.proxy import BOTH_KINDS, Proxy
from tests.harness.script import Call, Received, Reply, Text, reply

pytestmark = BOTH_KINDS

BASE_URL = "http://testserver/v1"
ANSWER = "The sums are 5 and 9."


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def adding_model(request: Received) -> Reply:
    """Return a model that calls the tool twice in parallel, then reports the results."""
    outputs = [item["output"] for item in request.input if item["type"] == "function_call_output"]
    if not outputs:
        return reply(Call("add", '{"a": 2, "b": 3}', "c1"), Call("add", '{"a": 4, "b": 5}', "c2"))
    return reply(Text(("The sums are ", f"{outputs[0]} and {outputs[1]}.")))


@pytest.fixture
def client(bridge: Proxy) -> openai.AsyncOpenAI:
    """The official client, which all the frameworks use, with strict validation of its types."""
    bridge.upstream.respond = adding_model
    return openai.AsyncOpenAI(
        api_key="any",
        base_url=BASE_URL,
        http_client=bridge.client,
        max_retries=0,
        _strict_response_validation=True,
    )


def assert_one_thread(bridge: Proxy) -> None:
    assert len(bridge.upstream.requests) == 2
    assert len({request.body["prompt_cache_key"] for request in bridge.upstream.requests}) == 1


@pytest.mark.parametrize("model", ["OpenAIChatCompletionsModel", "OpenAIResponsesModel"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_openai_agents_runs_a_tool_loop(
    bridge: Proxy, client: openai.AsyncOpenAI, model: str, *, streamed: bool
) -> None:
    import agents

    agents.set_tracing_disabled(disabled=True)
    agent = agents.Agent(
        name="adder",
        instructions="Add.",
        tools=[agents.function_tool(add)],
        model=getattr(agents, model)(bridge.model, client),
    )
    if streamed:
        run = agents.Runner.run_streamed(agent, "2+3 and 4+5?")
        async for _ in run.stream_events():
            pass
        assert run.final_output == ANSWER
    else:
        assert (await agents.Runner.run(agent, "2+3 and 4+5?")).final_output == ANSWER
    assert_one_thread(bridge)


@pytest.mark.parametrize("streamed", [False, True])
async def test_pydantic_ai_runs_a_tool_loop(bridge: Proxy, client: openai.AsyncOpenAI, *, streamed: bool) -> None:
    import pydantic_ai
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(bridge.model, provider=OpenAIProvider(openai_client=client))
    agent = pydantic_ai.Agent(model, instructions="Add.", tools=[add])
    if streamed:
        async with agent.run_stream("2+3 and 4+5?") as run:
            assert await run.get_output() == ANSWER
    else:
        assert (await agent.run("2+3 and 4+5?")).output == ANSWER
    assert_one_thread(bridge)


@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
async def test_langchain_runs_a_tool_loop(
    bridge: Proxy, client: openai.AsyncOpenAI, *, responses: bool, streamed: bool
) -> None:
    from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
    from langchain_core.tools import tool as langchain_tool
    from langchain_openai import ChatOpenAI

    del client
    chat: Any = ChatOpenAI(
        model=bridge.model,
        base_url=BASE_URL,
        api_key=SecretStr("any"),
        http_async_client=bridge.client,
        stream_usage=True,
        use_responses_api=responses,
    )
    bound = chat.bind_tools([langchain_tool(add)])
    messages: list[Any] = [HumanMessage("2+3 and 4+5?")]
    for _ in range(2):
        if streamed:
            answer: Any = AIMessageChunk(content="")
            async for chunk in bound.astream(messages):
                answer += chunk
        else:
            answer = await bound.ainvoke(messages)
        messages.append(answer)
        messages += [ToolMessage(str(add(**call["args"])), tool_call_id=call["id"]) for call in answer.tool_calls]
    assert messages[-1].text == ANSWER
    assert messages[-1].usage_metadata["total_tokens"] == 852
    assert_one_thread(bridge)
