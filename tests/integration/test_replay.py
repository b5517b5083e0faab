"""Recording from the real codex, and replaying the recordings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import orjson
import pytest
from openai import AsyncOpenAI, NotFoundError

from bridge.asgi import service
from bridge.cli.check import check_case
from bridge.config import Settings
from bridge.recordings import demo
from bridge.recordings.case_folders import load_cases
from tests.harness.asgi import asgi_client
from tests.harness.codex_home import write_home
from tests.harness.program import http_client, program
from tests.harness.proxy import BOTH_KINDS, MODEL, Stream, proxy, user
from tests.harness.script import Call, Hold, Text, Thought, begun, reply
from tests.harness.upstream import Upstream
from tests.record_fixtures import FIXTURES, WEATHER, output

FAST = float("inf")
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
KEY = "sk-proj-abcDEF0123456789"
ACCOUNT = "7b1c0c2e-9a55-4a8e-8f0e-1d5e8f3b9a01"
INSTALLATION = "11f3a0de-0c4b-4f0a-bb7e-5f1f0a2c3d4e"
EMAIL = "alice.doe@example.com"
HOME = "/home/alice"
OUR_KEY = "our-own-api-key-0042"
SECRETS = (TOKEN, KEY, ACCOUNT, INSTALLATION, EMAIL, HOME, OUR_KEY, "alice")


@asynccontextmanager
async def replayed(folder: Path, **settings: Any) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of a server that replays `folder` without pauses."""
    async with service(Settings(replay=str(folder), pace=FAST, **settings)) as it, asgi_client(it.app) as client:
        yield client


@asynccontextmanager
async def openai(folder: Path, **settings: Any) -> AsyncGenerator[AsyncOpenAI]:
    async with (
        replayed(folder, **settings) as web,
        AsyncOpenAI(api_key="any", base_url="http://testserver/v1", http_client=web, max_retries=0) as client,
    ):
        yield client


async def chat(client: httpx2.AsyncClient, *messages: Any, **fields: Any) -> httpx2.Response:
    return await client.post("/chat/completions", json={"model": MODEL, "messages": messages, **fields})


# ── Recording ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@BOTH_KINDS
async def test_a_recording_from_codex_passes_its_own_check(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    upstream.will_reply(
        reply(Thought("hm", "secret"), Text(("Let me ", "look.")), Call("get_weather", '{"city": "Rome"}', "call_1")),
        reply(Text(("It is ", "warm."))),
        reply("You are welcome."),
        reply("Something else."),
    )
    async with proxy(upstream, home, record=str(cases)) as bridge:
        messages = [user("What is the weather in Rome?")]
        first = await bridge.chat(*messages, tools=[WEATHER])
        messages += [first.json()["choices"][0]["message"], output("call_1", "27 degrees")]
        async with bridge.stream(*messages, tools=[WEATHER]) as stream:
            await stream.read()
        messages += [{"role": "assistant", "content": stream.text}, user("Thanks.")]
        await bridge.chat(*messages, tools=[WEATHER])
        await bridge.chat(user("And now?"))
    one, other = load_cases(cases)
    assert [one.name, other.name] == ["001-what-is-the-weather-in-rome", "002-and-now"]
    assert [exchange.streamed for exchange in one.exchanges] == [False, True, False]
    assert await check_case(one) == []
    assert await check_case(other) == []


async def test_a_second_server_continues_the_numbers_of_cases(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    for text in ("one", "two"):
        async with proxy(upstream, home, record=str(cases)) as bridge:
            await bridge.chat(user(text))
    assert [case.name for case in load_cases(cases)] == ["001-one", "002-two"]


async def test_abandoned_answers_and_answers_with_several_choices_are_not_recorded(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    upstream.will_reply(begun("one ").then(Hold(anyio.Event())))
    async with proxy(upstream, home, record=str(tmp_path / "cases")) as bridge:
        async with bridge.stream(user("count")) as stream:
            async for _ in stream:
                break
        await bridge.chat(user("choose"), n=2)
        await bridge.chat(user("kept"))
    assert [case.name for case in load_cases(tmp_path / "cases")] == ["001-kept"]


async def test_a_folder_that_cannot_be_written_costs_no_answer(
    upstream: Upstream, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cases").write_text("a file is in the way")
    async with proxy(upstream, home, record=str(tmp_path / "cases")) as bridge:
        assert (await bridge.chat(user("hi"))).status_code == 200
    assert "a case could not be written" in caplog.text


async def test_a_recording_holds_none_of_the_secrets_that_passed_through_it(
    upstream: Upstream, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "value-from-the-environment-1")
    told = (
        f"I am {EMAIL} of account_id={ACCOUNT}, installation-id: {INSTALLATION}. My key is {KEY}, my token is "
        f"Bearer {TOKEN}, my files are in {HOME}/project and C:\\Users\\alice\\project; again {ACCOUNT}. "
        f"The proxy's own key is {OUR_KEY}; value-from-the-environment-1."
    )
    in_pieces = Text(tuple(told[at : at + 3] for at in range(0, len(told), 3)))
    arguments = orjson.dumps({"path": f"{HOME}/.codex/auth.json", "email": EMAIL, "access_token": TOKEN}).decode()
    upstream.will_reply(
        reply(Thought(told, "made-up"), in_pieces, Call("read_file", arguments, "call_1")),
        reply(in_pieces),
    )
    tool: dict[str, Any] = {
        "name": "read_file",
        "description": told,
        "parameters": {"type": "object", "properties": {}},
    }
    fields: dict[str, Any] = {
        "tools": [{"type": "function", "function": tool}],
        "user": "alice",
        "metadata": {"account_id": ACCOUNT},
    }
    cases = tmp_path / "cases"
    async with proxy(upstream, home, record=str(cases), reasoning="reasoning_content", api_key=OUR_KEY) as bridge:
        bridge.client.headers["authorization"] = f"Bearer {OUR_KEY}"
        messages = [{"role": "system", "content": told}, user(told)]
        async with bridge.stream(*messages, **fields) as stream:
            await stream.read()
        call = {"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": arguments}}
        messages.append({"role": "assistant", "content": stream.text, "tool_calls": [call]})
        result = orjson.dumps({"tokens": {"refresh_token": f"rt_{KEY}", "account_id": ACCOUNT}, "who": told}).decode()
        answer = await bridge.chat(*messages, output("call_1", result), **fields)
        assert answer.json()["choices"][0]["message"]["content"] == told
    [case] = load_cases(cases)
    assert len(case.exchanges) == 2
    for path in cases.rglob("*"):
        content = str(path) if path.is_dir() else path.read_text()
        leaked = [
            secret
            for secret in (*SECRETS, "value-from-the-environment-1")
            if secret in content.removeprefix(str(tmp_path))
        ]
        assert not leaked, path
    assert "<email>" in (cases / case.name / "session.jsonl").read_text()
    assert await check_case(case) == []


async def test_a_streamed_response_with_a_secret_in_it_still_passes_its_check(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    told = f"The key {KEY} belongs to {EMAIL}, and so does {HOME}/project."
    upstream.will_reply(
        reply(Thought(told, "made-up"), Text(tuple(told[at : at + 2] for at in range(0, len(told), 2))))
    )
    async with proxy(upstream, home, record=str(tmp_path / "cases")) as bridge:
        body = {"model": MODEL, "stream": True, "input": "Whose key is it?", "reasoning": {"summary": "auto"}}
        assert (await bridge.client.post("/responses", json=body)).status_code == 200
    [case] = load_cases(tmp_path / "cases")
    assert EMAIL.encode() not in case.exchanges[0].answer
    assert await check_case(case) == []


# ── Replaying ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_openai_python_completes_a_recorded_two_step_tool_loop() -> None:
    messages: list[Any] = [user("What is the weather in Paris?")]
    async with openai(FIXTURES) as client:
        first = await client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])  # pyright: ignore[reportArgumentType]
        [call] = first.choices[0].message.tool_calls or []
        messages += [first.choices[0].message.model_dump(exclude_none=True), output(call.id, "20 degrees, sunny")]
        second = await client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])  # pyright: ignore[reportArgumentType]
    assert first.choices[0].finish_reason == "tool_calls"
    assert second.choices[0].message.content == "In Paris it is 20 degrees and sunny."


async def test_the_second_step_of_a_loop_replays_without_the_first() -> None:
    [case] = [case for case in load_cases(FIXTURES) if case.name == "parallel-tools"]
    async with replayed(FIXTURES) as client:
        answer = await client.post("/chat/completions", json=case.exchanges[1].request)
    assert answer.headers["x-codex-proxy-thread"].startswith("rebuilt")
    assert answer.content == case.exchanges[1].answer


async def test_the_same_conversation_can_be_replayed_many_times_at_once() -> None:
    async with replayed(FIXTURES) as client:
        answers: list[httpx2.Response] = []

        async def converse() -> None:
            messages = [user("Say hi.")]
            first = await chat(client, *messages, stream=True)
            text = "".join(
                orjson.loads(line[6:])["choices"][0]["delta"].get("content", "")
                for line in first.text.splitlines()
                if line.startswith("data: {")
            )
            messages += [{"role": "assistant", "content": text}, user("Thanks.")]
            answers.append(await chat(client, *messages, stream=True))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(converse)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


async def test_a_request_without_a_recording_gets_the_nearest_case_and_the_first_difference() -> None:
    async with openai(FIXTURES) as client:
        with pytest.raises(NotFoundError) as refusal:
            await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Say hello."}])
    assert refusal.value.code == "no_recording"
    assert (
        "Request 1 of the case 'plain-text' comes nearest; it differs first at items[0].content[0].text: "
        'the recording has "Say hi.", the request has "Say hello.".'
    ) in refusal.value.message


async def test_another_output_of_a_tool_is_another_request() -> None:
    [case] = [case for case in load_cases(FIXTURES) if case.name == "one-tool"]
    first, second = (exchange.request for exchange in case.exchanges)
    *history, result = second["messages"]
    async with replayed(FIXTURES) as client:
        await client.post("/chat/completions", json=first)
        refused = await client.post(
            "/chat/completions", json={**second, "messages": [*history, {**result, "content": "cold"}]}
        )
        accepted = await client.post("/chat/completions", json=second)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "no_recording")
    assert "items[2].outputs.call_paris[0].text" in refused.json()["error"]["message"]
    assert accepted.content == case.exchanges[1].answer


async def test_another_model_is_another_request_but_not_in_a_demo() -> None:
    async with replayed(FIXTURES) as client:
        assert (await chat(client, user("Say hi."), model="2.5-tpg")).status_code == 404
    async with replayed(FIXTURES, demo=True) as client:
        answer = await chat(client, user("Say hi."), model="2.5-tpg")
        assert answer.json()["model"] == "2.5-tpg"
        assert answer.headers["x-codex-proxy-demo"] == demo.NOTICE
        refused = await chat(client, user("What else?"))
    assert refused.status_code == 404
    assert '"Say hi."' in refused.json()["error"]["message"]
    assert refused.headers["x-codex-proxy-demo"] == demo.NOTICE


async def test_a_recorded_agent_answers_in_both_dialects_without_a_key_and_without_codex() -> None:
    question = "Who has not answered yet?"
    async with replayed(FIXTURES, demo=True) as client:
        names = [model["id"] for model in (await client.get("/models")).json()["data"]]
        assert {"codex-agent", "codex-agent-demo"} <= {*names}
        whole = await chat(client, user(question), model="codex-agent-demo")
        message = whole.json()["choices"][0]["message"]
        assert message["content"] == "Ben and Dan have not answered yet."
        assert "$ cat guests.txt" in message["reasoning_content"]
        response = await client.post("/responses", json={"model": "codex-agent-high", "input": question})
        output = response.json()["output"]
        assert [item["type"] for item in output] == ["message", "mcp_call", "message"]
        assert "Ben: no answer yet" in output[1]["output"]
        # An agent and a model are asked different things by the same words.
        refused = [
            await chat(client, user(text), model=model)
            for text, model in ((question, MODEL), ("Say hi.", "codex-agent-demo"))
        ]
    assert [answer.status_code for answer in refused] == [404, 404]
    assert question in refused[1].json()["error"]["message"]


async def test_the_recorded_pauses_are_kept_divided_by_the_pace() -> None:
    [case] = [case for case in load_cases(FIXTURES) if case.name == "plain-text"]
    recorded = case.lines[-1].at - case.lines[0].at
    settings = Settings(replay=str(FIXTURES), pace=4)
    async with service(settings) as it, asgi_client(it.app) as client:
        began = anyio.current_time()
        await chat(client, user("Say hi."), stream=True)
        took = anyio.current_time() - began
    assert took > recorded / 4 / 4


# ── The program ───────────────────────────────────────────────────────────────────────────────────────────────────────


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bridge", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


async def test_without_a_login_the_program_serves_its_recordings_and_says_so(
    upstream: Upstream, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_home(home, upstream.base_url, "websocket", logged_in=False)
    async with program("--demo", "true") as running, http_client(base_url=running.base_url) as client:
        body = {"model": MODEL, "stream": True, "messages": [user("Say hi.")]}
        async with client.stream("POST", "/chat/completions", json=body) as response:
            stream = await Stream(response).read()
        assert stream.text == "Hi! I am a recording. What can I do for you?"
        assert response.headers["x-codex-proxy-demo"] == demo.NOTICE
        assert not [child for child in running.family() if "codex" in child.name()]
    assert "DEMO: Codex is not logged in" in capfd.readouterr().err
    assert not upstream.requests


async def test_the_very_first_start_of_codex_on_a_machine_leads_to_the_demo(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del home
    monkeypatch.delenv("CODEX_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert await demo.is_logged_out(os.environ.get("CODEX_UNDER_TEST"))


async def test_with_a_login_the_program_serves_codex(upstream: Upstream, home: Path) -> None:
    del home
    upstream.will_reply(reply("Live!"))
    async with program("--demo", "true") as running, http_client(base_url=running.base_url) as client:
        answer = await chat(client, user("Say hi."))
    assert answer.json()["choices"][0]["message"]["content"] == "Live!"
    assert "x-codex-proxy-demo" not in answer.headers


def test_the_check_names_the_difference_and_fails(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in (FIXTURES / "plain-text").iterdir():
        content = path.read_bytes()
        (broken / path.name).write_bytes(content.replace(b"welcome", b"Welcome") if path.suffix == ".sse" else content)
    assert run("replay", str(FIXTURES / "stop"), "--check").returncode == 0
    done = run("replay", str(tmp_path), "--check")
    assert done.returncode == 1
    assert done.stdout.startswith("FAILED  broken/response-2.sse: differs at byte ")


def test_a_folder_without_recordings_is_named(tmp_path: Path) -> None:
    for arguments in (("replay", str(tmp_path), "--check"), ("replay", str(tmp_path), "--addr", "127.0.0.1:0")):
        done = run(*arguments)
        assert done.returncode == 1
        assert f"Error: {tmp_path} holds no recorded case (a folder with meta.json)" in done.stderr


async def test_the_commands_record_and_replay_are_servers(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    del home
    cases = tmp_path / "cases"
    upstream.will_reply(reply("Live!"))
    async with program(does=("record", str(cases))) as running, http_client(base_url=running.base_url) as client:
        live = await chat(client, user("Hello?"))
    async with (
        program("--pace", "max", does=("replay", str(cases))) as running,
        http_client(base_url=running.base_url) as client,
    ):
        again = await chat(client, user("Hello?"))
    assert live.content == again.content
    assert len(upstream.requests) == 1
