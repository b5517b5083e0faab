"""Client libraries take the work of an agent as done by the server, and its final answer as the answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx2
import openai
import orjson
import pytest
from pydantic import SecretStr

from bridge.conversation.events import (
    Finished,
    MessageBegun,
    ReasoningDelta,
    ReasoningPart,
    StepBegun,
    StepDone,
    TextDelta,
    TurnEvent,
    Used,
)
from bridge.openai.responses.fields import read_body
from bridge.openai.responses.request import begin
from bridge.openai.responses.writers import ResponseStream, ResponseWhole
from codex_rpc.wire.events import TokenUsage
from tests.bridge.conversation.turn_events import message_item, search_item

SHELL = {"command": "cat hello.txt", "cwd": "."}
PLAN: dict[str, Any] = {"explanation": None, "plan": [{"step": "Look", "status": "completed"}]}
TURN: Sequence[TurnEvent] = (
    ReasoningPart("rs_1"),
    ReasoningDelta("I think.", "rs_1"),
    MessageBegun("commentary"),
    TextDelta("I look."),
    message_item("I look.", "commentary"),
    StepBegun("a", "codex", "shell", SHELL),
    StepBegun("b", "codex", "shell", {"command": "exit 3", "cwd": "."}),
    search_item(),
    StepDone("b", "codex", "shell", {"command": "exit 3", "cwd": "."}, "[exit 3]"),
    StepDone("a", "codex", "shell", SHELL, "hello\n"),
    StepBegun("plan-1", "codex", "update_plan", PLAN),
    StepDone("plan-1", "codex", "update_plan", PLAN, "[x] Look"),
    StepBegun("c", "usermcp", "danger", {}),
    StepDone("c", "usermcp", "danger", {}, error="It was declined."),
    StepBegun("d", "codex", "shell", {"command": "sleep 9", "cwd": "."}),
    MessageBegun("final_answer"),
    TextDelta("All "),
    TextDelta("done."),
    message_item("All done.", "final_answer"),
    StepDone("d", "codex", "shell", {"command": "sleep 9", "cwd": "."}, is_complete=False),
    Used(TokenUsage(9, 0, 3, 0)),
    Finished("stop"),
)


def answer(request: httpx2.Request) -> httpx2.Response:
    """Answer every request with the turn."""
    body = orjson.loads(request.content)
    frame = begin(read_body({"model": "codex-agent", "input": "Hi."})).read({}).frame("0" * 32, lambda: 1768247311)
    writer = ResponseStream(frame) if body.get("stream") else ResponseWhole(frame)
    return httpx2.Response(200, headers=dict(writer.media), content=writer.feed(TURN))


@pytest.fixture
async def client() -> AsyncGenerator[openai.AsyncOpenAI]:
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        yield openai.AsyncOpenAI(base_url="http://agent.test/v1", api_key="sk-test", http_client=http, max_retries=0)


async def test_openai_python_reads_every_item(client: openai.AsyncOpenAI):
    async with client.responses.stream(model="codex-agent", input="Hi.") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()

    assert kinds.count("response.mcp_call.completed") == 3
    assert kinds.count("response.mcp_call.failed") == 1
    steps = [item for item in final.output if item.type == "mcp_call"]
    assert [item.status for item in steps] == ["completed", "completed", "completed", "failed", "incomplete"]
    assert [(message.phase, message.content[0].type) for message in final.output if message.type == "message"] == [
        ("commentary", "output_text"),
        ("final_answer", "output_text"),
    ]
    whole = await client.responses.create(model="codex-agent", input="Hi.")
    assert whole.output_text == final.output_text == "I look.All done."
    assert [item.type for item in whole.output] == [item.type for item in final.output]


@pytest.mark.parametrize("streamed", [True, False])
async def test_openai_agents_has_the_final_answer_alone(client: openai.AsyncOpenAI, *, streamed: bool):
    import agents

    agents.set_tracing_disabled(disabled=True)
    agent = agents.Agent("Coder", model=agents.OpenAIResponsesModel("codex-agent", client))
    if streamed:
        run = agents.Runner.run_streamed(agent, "Hi.")
        async for _ in run.stream_events():
            pass
    else:
        run = await agents.Runner.run(agent, "Hi.")

    assert run.final_output == "All done."
    assert [item.type for item in run.new_items].count("tool_call_item") == 6


@pytest.mark.parametrize("streamed", [True, False])
async def test_pydantic_ai_has_the_steps_as_native_tools(client: openai.AsyncOpenAI, *, streamed: bool):
    import pydantic_ai
    from pydantic_ai.messages import NativeToolCallPart, NativeToolReturnPart
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIResponsesModel("codex-agent", provider=OpenAIProvider(openai_client=client))
    agent = pydantic_ai.Agent(model)
    if streamed:
        async with agent.run_stream("Hi.") as run:
            text = await run.get_output()
            messages = run.all_messages()
    else:
        result = await agent.run("Hi.")
        text, messages = result.output, result.all_messages()

    parts = messages[-1].parts
    calls = [part for part in parts if isinstance(part, NativeToolCallPart)]
    assert text.endswith("All done.")
    assert [part.tool_name for part in calls if "mcp" in part.tool_name] == [
        *["mcp_server:codex"] * 3,
        "mcp_server:usermcp",
        "mcp_server:codex",
    ]
    assert len([part for part in parts if isinstance(part, NativeToolReturnPart)]) == len(calls)


@pytest.mark.parametrize("streamed", [True, False])
async def test_langchain_has_the_steps_as_blocks(client: openai.AsyncOpenAI, *, streamed: bool):
    from langchain_openai import ChatOpenAI

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        model = ChatOpenAI(
            model="codex-agent",
            base_url="http://agent.test/v1",
            api_key=SecretStr("sk-test"),
            http_async_client=http,
            use_responses_api=True,
            max_retries=0,
        )
        if streamed:
            chunks = [chunk async for chunk in model.astream("Hi.")]
            whole: Any = chunks[0]
            for chunk in chunks[1:]:
                whole += chunk
        else:
            whole = await model.ainvoke("Hi.")

    assert whole.tool_calls == []
    assert whole.text.endswith("All done.")
    blocks: list[Any] = whole.content
    assert [block["type"] for block in blocks].count("mcp_call") == 5
