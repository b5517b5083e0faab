"""Popular clients of the Responses API over a WebSocket, on a separate server process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import openai
import pytest
from openai.types.responses.responses_server_event import ResponseWsError

from bridge.conversation.tools import codex_name
from tests.harness.open_responses import check_stream
from tests.harness.program import program
from tests.harness.proxy import BOTH_KINDS, served
from tests.harness.script import Call, Received, Reply, reply
from tests.harness.upstream import Upstream
from tests.integration.test_frameworks import ANSWER, add, adding_model
from tests.integration.test_responses import run_codex_exec

pytestmark = BOTH_KINDS

STEPS = 10


def lines(log: Path, kind: str) -> list[str]:
    """Return the lines of the log for requests of a method."""
    return [line for line in log.read_text().splitlines() if f" bridge.telemetry.logs: {kind} /responses " in line]


def frames(log: Path) -> list[dict[str, Any]]:
    """Return the requests in frames."""
    found = (line.partition("request frame: ")[2] for line in log.read_text().splitlines())
    return [json.loads(frame) for frame in found if frame]


def assert_one_thread(upstream: Upstream) -> None:
    assert len({request.body["prompt_cache_key"] for request in upstream.requests}) == 1


def counting_model(request: Received) -> Reply:
    """Return a model that runs a shell command in each of ten steps, then ends."""
    done = sum(item["type"] == "function_call_output" for item in (*request.before, *request.input))
    if done == STEPS:
        return reply("Counted.")
    command = json.dumps({"cmd": f"echo {done} >> made.txt"})
    return reply(Call(codex_name("exec_command"), command, f"call_{done}"))


@pytest.mark.parametrize("transport", ["websocket"])
async def test_codex_runs_ten_steps_on_one_socket_and_one_thread_and_only_sends_what_is_new(
    upstream: Upstream, home: Path, tmp_path: Path, asked_model: str
) -> None:
    upstream.respond = counting_model
    folder, log = tmp_path / "work", tmp_path / "log"
    folder.mkdir()
    async with program("--log-requests", "true", log=log) as server:
        printed, _ = await run_codex_exec(folder, server.base_url, asked_model, "Count.", websockets=True)
    assert printed.strip() == "Counted."
    assert (folder / "made.txt").read_text().split() == [str(step) for step in range(STEPS)]
    assert len(lines(log, "GET")) == 1
    assert not lines(log, "POST")
    warm_up, first, *steps = frames(log)
    assert warm_up["generate"] is False
    assert first["previous_response_id"].startswith("resp_")
    assert [[item["type"] for item in step["input"]] for step in steps] == [["function_call_output"]] * STEPS
    assert_one_thread(upstream)
    assert [[item["type"] for item in request.input] for request in upstream.requests[1:]] == [
        ["function_call_output"]
    ] * STEPS


async def test_codex_that_is_refused_a_socket_continues_over_http(
    upstream: Upstream, home: Path, tmp_path: Path, asked_model: str
) -> None:
    folder, log = tmp_path / "work", tmp_path / "log"
    folder.mkdir()
    async with program("--no-websocket", "true", log=log) as server:
        printed, _ = await run_codex_exec(folder, server.base_url, asked_model, "Hi.", websockets=True)
    assert printed.strip() == "ok"
    assert [line.split(" /responses ")[1][:3] for line in lines(log, "GET")] == ["426"]
    assert len(lines(log, "POST")) == 1


@pytest.mark.parametrize("asks_models", [False, True])
async def test_codex_that_asks_for_the_models_knows_each_of_them(
    upstream: Upstream, home: Path, tmp_path: Path, asked_model: str, *, asks_models: bool
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    async with served() as server:
        _, errors = await run_codex_exec(folder, server.base_url, asked_model, "Hi.", asks_models=asks_models)
    assert ("Model metadata" in errors) is not asks_models


# ── openai-python ─────────────────────────────────────────────────────────────────────────────────────────────────────

ADD: Any = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    "strict": False,
}


def outputs(response: Any) -> list[Any]:
    """Return the results of the calls in a response."""
    return [
        {"type": "function_call_output", "call_id": item.call_id, "output": str(add(**json.loads(item.arguments)))}
        for item in response.output
        if item.type == "function_call"
    ]


async def test_openai_python_runs_a_tool_loop(upstream: Upstream, home: Path, asked_model: str) -> None:
    upstream.respond = adding_model
    fields: Any = {"model": asked_model, "tools": [ADD], "store": False}
    async with served() as server:
        client = openai.AsyncOpenAI(api_key="any", base_url=server.base_url, max_retries=0)
        async with client.responses.connect() as connection:

            async def turn(**more: Any) -> Any:
                await connection.response.create(**fields, **more)
                events: list[dict[str, Any]] = []
                while True:
                    data = await connection.recv_bytes()
                    events.append(json.loads(data))
                    if events[-1]["type"] == "response.completed":
                        check_stream(events)
                    if events[-1]["type"] in {"response.completed", "error"}:
                        return connection.parse_event(data)

            first = (await turn(input="2+3 and 4+5?")).response
            second = (await turn(input=outputs(first), previous_response_id=first.id)).response
            assert second.output_text == ANSWER
            error = await turn(input="Go on.", previous_response_id="resp_unknown", stream_id="a")
            assert isinstance(error, ResponseWsError)
            assert (error.status, error.error.code, error.stream_id) == (400, "previous_response_not_found", "a")
    assert_one_thread(upstream)


async def test_openai_python_without_asyncio_runs_a_tool_loop(upstream: Upstream, home: Path, asked_model: str) -> None:
    upstream.respond = adding_model

    def run(base_url: str) -> str:
        client = openai.OpenAI(api_key="any", base_url=base_url, max_retries=0)
        fields: Any = {"model": asked_model, "tools": [ADD]}
        with client.responses.connect() as connection:

            def turn(**more: Any) -> Any:
                connection.response.create(**fields, **more)
                while (event := connection.recv()).type != "response.completed":
                    assert event.type not in {"error", "response.failed"}, event
                return event.response

            first = turn(input="2+3 and 4+5?")
            return turn(input=outputs(first), previous_response_id=first.id).output_text

    async with served() as server:
        with anyio.fail_after(60):
            assert await anyio.to_thread.run_sync(run, server.base_url) == ANSWER
    assert_one_thread(upstream)


# ── Agents ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("keeps", [False, True], ids=["whole history", "only what is new"])
async def test_openai_agents_runs_a_tool_loop(
    upstream: Upstream, home: Path, tmp_path: Path, asked_model: str, *, keeps: bool
) -> None:
    import agents

    upstream.respond = adding_model
    agents.set_tracing_disabled(disabled=True)
    log = tmp_path / "log"
    async with program(log=log) as server:
        client = openai.AsyncOpenAI(api_key="any", base_url=server.base_url, max_retries=0)
        model = agents.OpenAIResponsesWSModel(asked_model, client)
        agent = agents.Agent(name="adder", instructions="Add.", tools=[agents.function_tool(add)], model=model)
        run = agents.Runner.run_streamed(agent, "2+3 and 4+5?", auto_previous_response_id=keeps)
        async for _ in run.stream_events():
            pass
        assert run.final_output == ANSWER
        await model.close()
    assert (len(lines(log, "GET")), len(lines(log, "WS"))) == (1, 2)
    assert_one_thread(upstream)


async def test_pydantic_ai_runs_a_tool_loop(upstream: Upstream, home: Path, tmp_path: Path, asked_model: str) -> None:
    import pydantic_ai
    from pydantic_ai.models.openai import OpenAIResponsesModel, OpenAIResponsesModelSettings
    from pydantic_ai.providers.openai import OpenAIProvider

    upstream.respond = adding_model
    log = tmp_path / "log"
    async with program("--log-requests", "true", log=log) as server:
        client = openai.AsyncOpenAI(api_key="any", base_url=server.base_url, max_retries=0)
        settings = OpenAIResponsesModelSettings(openai_transport="websocket")
        model = OpenAIResponsesModel(asked_model, provider=OpenAIProvider(openai_client=client), settings=settings)
        agent = pydantic_ai.Agent(model, instructions="Add.", tools=[add])
        assert (await agent.run("2+3 and 4+5?")).output == ANSWER
    assert (len(lines(log, "GET")), len(lines(log, "WS")), len(lines(log, "POST"))) == (1, 2, 0)
    first, second = frames(log)
    assert "previous_response_id" not in first
    assert [item["type"] for item in second["input"]] == ["function_call_output"] * 2
    assert_one_thread(upstream)
