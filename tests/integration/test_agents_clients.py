"""What clients see of an agent's work, with the real codex: each kind of step in order, through popular libraries."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from tests.harness.agents import BOTH_MODES, DIRECT, KEY, WITH_AGENTS, Said, Script, agent_proxy, runs
from tests.harness.proxy import user
from tests.harness.script import Action, Call, Received, Reply, reply
from tests.harness.upstream import Upstream
from tests.record_fixtures import red

pytestmark = WITH_AGENTS

BASE_URL = "http://testserver/v1"
PLAN = {"plan": [{"step": "Look", "status": "completed"}, {"step": "Patch", "status": "in_progress"}]}
PATCH = "*** Begin Patch\n*** Add File: new.txt\n+hello\n*** End Patch"


@dataclass(frozen=True, slots=True)
class Search:
    """A web search that the upstream has done."""

    query: str

    def item(self, item_id: str) -> dict[str, Any]:
        action = {"type": "search", "query": self.query}
        return {"type": "web_search_call", "id": item_id, "status": "completed", "action": action}

    def actions(self, item_id: str, index: int) -> Iterator[Action]:
        opened = {"type": "web_search_call", "id": item_id, "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": index, "item": opened}
        yield {"type": "response.output_item.done", "output_index": index, "item": self.item(item_id)}


def works(model: str) -> Iterator[Reply]:
    """Yield the replies of a model that does one thing of each kind."""
    yield runs(model, "cat file", before=[Said("I look first.", "commentary")])
    if model == DIRECT:
        yield reply(Call("update_plan", json.dumps(PLAN), "call_2"))
        yield runs(model, f"apply_patch <<'EOF'\n{PATCH}\nEOF")
        yield reply(Call("view_image", '{"path": "dot.png"}', "call_4"))
    else:
        yield reply(Script(f"await tools.update_plan({json.dumps(PLAN)})", "call_2"))
        yield reply(Script(f"await tools.apply_patch({json.dumps(PATCH)})", "call_3"))
        yield reply(Script('await tools.view_image({path: "dot.png"})', "call_4"))
    yield reply(Search("the weather"), Said("And then.", "commentary"), Call("unknown_tool", "{}", "call_5"))
    yield runs(model, "exit 3")
    yield reply(Said("All done.", "final_answer"))


@BOTH_MODES
async def test_each_kind_of_step_is_shown_in_its_order_in_both_dialects(
    agent_model: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "file").write_text("content of the file\n")
    (folder / "dot.png").write_bytes(base64.b64decode(red().partition(",")[2]))
    async with agent_proxy(upstream, home, folder, agent_model, write=True) as proxy:
        upstream.will_reply(*works(agent_model))
        response = await proxy.client.post("/responses", json={"model": "codex-agent", "input": "1"})
        (folder / "new.txt").unlink()
        upstream.will_reply(*works(agent_model))
        chat = await proxy.chat(user("2"), model="codex-agent")
    output = response.json()["output"]
    assert [item.get("name") or item["type"] for item in output] == [
        *("message", "shell", "update_plan", "apply_patch", "view_image"),
        *("web_search_call", "message", "shell", "message"),
    ]
    assert {item["status"] for item in output} == {"completed"}
    assert [item["output"] for item in output if item.get("name") == "shell"] == ["content of the file\n", "[exit 3]"]
    message = chat.json()["choices"][0]["message"]
    assert message["content"] == "All done."
    order = ("I look first.", "$ cat file", "Look", "new.txt", "dot.png", "the weather", "And then.", "[exit 3]")
    places = [message["reasoning_content"].find(text) for text in order]
    assert places == sorted(places)
    assert -1 not in places


def acts_once(request: Received) -> Reply:
    """Run a command after each message of the user, and then answer."""
    if request.conversation[-1]["type"] == "message":
        return runs(DIRECT, "cat file", before=[Said("I look first.", "commentary")])
    return reply(Said("All done.", "final_answer"))


async def by_openai_python(client: Any) -> list[str]:
    whole = await client.responses.create(model="codex-agent", input="1")
    async with client.responses.stream(model="codex-agent", input="1") as stream:
        streamed = await stream.get_final_response()
    finals = [item.content[0].text for one in (whole, streamed) for item in one.output if item.type == "message"]
    assert finals[::2] == ["I look first."] * 2
    chat = await client.chat.completions.create(model="codex-agent", messages=[user("1")])
    chunks = await client.chat.completions.create(model="codex-agent", messages=[user("1")], stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])
    return [*finals[1::2], chat.choices[0].message.content, text]


async def by_openai_agents(client: Any) -> list[str]:
    import agents

    agents.set_tracing_disabled(disabled=True)
    finals: list[str] = []
    for model in (agents.OpenAIResponsesModel, agents.OpenAIChatCompletionsModel):
        agent = agents.Agent("Coder", model=model("codex-agent", client))
        streamed = agents.Runner.run_streamed(agent, "1")
        async for _ in streamed.stream_events():
            pass
        finals += [streamed.final_output, (await agents.Runner.run(agent, "1")).final_output]
    return finals


async def by_pydantic_ai(client: Any) -> list[str]:
    import pydantic_ai
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(openai_client=client)
    finals: list[str] = []
    for model in (OpenAIResponsesModel, OpenAIChatModel):
        agent = pydantic_ai.Agent(model("codex-agent", provider=provider))
        async with agent.run_stream("1") as run:
            finals.append(await run.get_output())
        finals.append((await agent.run("1")).output)
    return [text.removeprefix("I look first.").strip() for text in finals]


async def by_langchain(client: Any) -> list[str]:
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    finals: list[str] = []
    for responses in (True, False):
        model: Any = ChatOpenAI(
            model="codex-agent",
            base_url=BASE_URL,
            api_key=SecretStr(KEY),
            http_async_client=client.http,
            use_responses_api=responses,
            max_retries=0,
        )
        chunks = [chunk.text async for chunk in model.astream("1")]
        finals += ["".join(chunks), (await model.ainvoke("1")).text]
    return [text.removeprefix("I look first.").strip() for text in finals]


LIBRARIES: tuple[Callable[[Any], Awaitable[list[str]]], ...] = (
    by_openai_python,
    by_openai_agents,
    by_pydantic_ai,
    by_langchain,
)


async def test_popular_libraries_drive_an_agent_in_both_dialects_streamed_and_whole(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "file").write_text("content of the file\n")
    upstream.respond = acts_once
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        client: Any = openai.AsyncOpenAI(api_key=KEY, base_url=BASE_URL, http_client=proxy.client, max_retries=0)
        client.http = proxy.client
        finals = {drive.__name__: await drive(client) for drive in LIBRARIES}
    assert finals == {drive.__name__: ["All done."] * 4 for drive in LIBRARIES}
    assert len(upstream.requests) == 2 * 4 * len(LIBRARIES)
