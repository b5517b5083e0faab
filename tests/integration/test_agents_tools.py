"""An agent calls the tools of its client beside those of Codex, with the real codex."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.conversation.tools import codex_name
from tests.harness.agents import (
    AUTHORIZED,
    BOTH_MODES,
    CODE_MODE,
    KEY,
    WITH_AGENTS,
    Said,
    Script,
    agent_proxy,
    runs,
    tool_outputs,
)
from tests.harness.approvals import CODEX, OUTSIDE, text_of
from tests.harness.program import http_client, program
from tests.harness.proxy import Proxy, user
from tests.harness.script import Call, reply
from tests.harness.upstream import Upstream
from tests.harness.websocket import websocket

pytestmark = WITH_AGENTS

OPEN = {"function_call", "mcp_approval_request"}
QUERY: dict[str, Any] = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}


def function(name: str, **fields: Any) -> dict[str, Any]:
    """Return a tool as the Responses API declares it."""
    return {"type": "function", "name": name, "description": f"Does {name}.", "parameters": QUERY, **fields}


def chat_function(name: str) -> dict[str, Any]:
    """Return a tool as chat completions declare it."""
    return {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": QUERY}}


async def respond(proxy: Proxy, given: Any, *tools: Any, **fields: Any) -> Any:
    body = {"model": "codex-agent", "input": given, "tools": tools, **fields}
    return await proxy.client.post("/responses", json=body)


def calls(response: Any) -> list[dict[str, Any]]:
    return [item for item in response.json()["output"] if item["type"] in {"function_call", "custom_tool_call"}]


def outputs(response: Any, *texts: str) -> list[dict[str, Any]]:
    """Return the outputs of the calls in a response."""
    return [
        {"type": f"{call['type']}_output", "call_id": call["call_id"], "output": text}
        for call, text in zip(calls(response), texts, strict=True)
    ]


def fate(response: Any) -> str:
    return response.headers["x-codex-proxy-thread"].partition("; id=")[0]


LOOKUP = Call("lookup", '{"q": "a"}')


@BOTH_MODES
async def test_a_turn_waits_for_the_output_of_a_client_tool_and_goes_on(
    agent_model: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    """Twice on one thread: codex remembers the tools of a thread that it loads again."""
    async with agent_proxy(upstream, home, tmp_path / "site", agent_model) as proxy:
        previous: dict[str, Any] = {}
        for n, expected in enumerate(("new; reason=first-request", "continued; reason=same-history")):
            upstream.will_reply(
                runs(agent_model, "echo by codex", before=(Said("I look.", "commentary"),)),
                reply(Call("lookup", '{"q": "a"}', f"call_x{n}")),
                reply(Said("Done.", "final_answer")),
            )
            first = await respond(proxy, "1", function("lookup"), **previous)
            assert fate(first) == expected
            [working] = (await proxy.client.get("/usage")).json()["agents"]
            assert (working["state"], working["doing"]) == ("waiting", ["lookup of its client"])
            [call] = calls(first)
            assert (call["name"], json.loads(call["arguments"])) == ("lookup", {"q": "a"})
            assert [item["type"] for item in first.json()["output"]] == ["message", "mcp_call", "function_call"]
            assert first.json()["output"][1]["output"] == "by codex\n"
            given = outputs(first, "found it")
            second = await respond(proxy, given, function("lookup"), previous_response_id=first.json()["id"])
            assert fate(second) == "resumed; reason=answers-came"
            assert text_of(second) == "Done."
            assert "found it" in tool_outputs(upstream)
            late = await respond(proxy, given, function("lookup"), previous_response_id=first.json()["id"])
            assert (late.status_code, late.json()["error"]["code"]) == (409, "approval_expired")
            previous = {"previous_response_id": second.json()["id"]}
    assert len(upstream.requests) == 6


@BOTH_MODES
@pytest.mark.parametrize("stream", [True, False])
async def test_a_chat_client_runs_its_tool_and_the_history_finds_the_turn(
    stream: bool, agent_model: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    ask = {"model": "codex-agent", "tools": [chat_function("lookup")]}
    upstream.will_reply(reply(LOOKUP), reply(Said("Done.", "final_answer")), reply("And on."))
    history: list[dict[str, Any]] = [user("1")]
    async with agent_proxy(upstream, home, tmp_path / "site", agent_model) as proxy:
        if stream:
            async with proxy.stream(*history, **ask) as streamed:
                choices = [choice async for chunk in streamed for choice in chunk["choices"]]
            [call] = [one for choice in choices for one in choice["delta"].get("tool_calls", ())]
            assert choices[-1]["finish_reason"] == "tool_calls"
        else:
            [choice] = (await proxy.chat(*history, **ask)).json()["choices"]
            assert choice["finish_reason"] == "tool_calls"
            [call] = choice["message"]["tool_calls"]
        told = {name: call[name] for name in ("id", "type", "function")}
        assert (told["function"]["name"], told["function"]["arguments"]) == ("lookup", '{"q": "a"}')
        history += [
            {"role": "assistant", "content": None, "tool_calls": [told]},
            {"role": "tool", "tool_call_id": call["id"], "content": "found it"},
        ]
        second = await proxy.chat(*history, **ask)
        assert second.json()["choices"][0]["message"]["content"] == "Done."
        assert "found it" in tool_outputs(upstream)
        third = await proxy.chat(*history, {"role": "assistant", "content": "Done."}, user("2"), **ask)
    assert fate(third) == "continued; reason=same-history"


async def test_parallel_calls_are_answered_each_by_its_output(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    """An old codex makes the second call when the first is answered; the model also uses the same call id twice."""
    upstream.will_reply(
        reply(Call("lookup", '{"q": "a"}', "call_a"), Call("count", '{"q": "b"}', "call_b")),
        reply(Call("lookup", '{"q": "c"}', "call_a")),
        reply("Done."),
    )
    tools = function("lookup"), function("count")
    seen: list[tuple[str, str]] = []
    ids: set[str] = set()
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        answer = await respond(proxy, "1", *tools)
        while made := calls(answer):
            seen += [(call["name"], json.loads(call["arguments"])["q"]) for call in made]
            ids |= {call["call_id"] for call in made}
            given = outputs(answer, *(f"{call['name']} says {call['arguments']}" for call in made))
            answer = await respond(proxy, given, *tools, previous_response_id=answer.json()["id"])
    assert text_of(answer) == "Done."
    assert sorted(seen) == [("count", "b"), ("lookup", "a"), ("lookup", "c")]
    assert len(ids) == 3
    said = tool_outputs(upstream).replace("\\", "")
    assert [f'{name} says {{"q": "{q}"}}' in said for name, q in seen] == [True] * 3


@BOTH_MODES
async def test_tools_named_like_those_of_codex_are_the_clients(
    agent_model: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    """So are tools in a namespace of codex, and a freeform tool."""
    names = ("exec_command", "exec", "wait", "update_plan", "mcp__server__tool", "a.b", "view_image")
    group = {"type": "namespace", "name": "collaboration", "description": "Mine.", "tools": [function("spawn_agent")]}
    patch = {"type": "custom", "name": "apply_patch", "description": "Mine.", "format": {"type": "text"}}
    tools = [*map(function, names), group, patch]
    called = {
        "exec_command": ('{"q": "a"}', {"name": "exec_command", "arguments": '{"q": "a"}'}),
        "spawn_agent": (
            '{"q": "b"}',
            {"name": "spawn_agent", "namespace": "collaboration", "arguments": '{"q": "b"}'},
        ),
        "apply_patch": ('{"input": "*** raw"}', {"name": "apply_patch", "input": "*** raw"}),
    }
    previous: dict[str, Any] = {}
    async with agent_proxy(upstream, home, tmp_path / "site", agent_model) as proxy:
        for name, (arguments, expected) in called.items():
            upstream.will_reply(reply(Call(codex_name(name), arguments)), reply("Done."))
            first = await respond(proxy, "1", *tools, **previous)
            [call] = calls(first)
            assert {field: call.get(field) for field in expected} == expected
            given = outputs(first, f"{name} of the client ran")
            second = await respond(proxy, given, *tools, previous_response_id=first.json()["id"])
            assert text_of(second) == "Done."
            assert f"{name} of the client ran" in tool_outputs(upstream)
            previous = {"previous_response_id": second.json()["id"]}
    declared = upstream.requests[-1].declared
    [ours] = [{tool["name"] for tool in one["tools"]} for one in declared if one.get("name") == "client"]
    assert {*map(codex_name, names), "apply_patch"} == ours


@BOTH_MODES
async def test_approvals_and_calls_wait_together(
    agent_model: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    """Codex may ask for both at once or for one after the other."""
    out = tmp_path / "outside"
    command = json.dumps({"cmd": f"echo written > {out}", **OUTSIDE})
    runs_it = Script(f"text(JSON.stringify(await tools.exec_command({command})))")
    asks = runs_it if agent_model == CODE_MODE else Call("exec_command", command)
    upstream.will_reply(reply(asks, Call("lookup", '{"q": "a"}', "call_2")), reply("Done."))
    tools = CODEX, function("lookup")
    seen: list[str] = []
    async with agent_proxy(upstream, home, tmp_path / "site", agent_model, ask="client") as proxy:
        answer = await respond(proxy, "1", *tools)
        while waits := [one["type"] for one in answer.json()["output"] if one["type"] in OPEN]:
            seen += waits
            given = [
                {"type": "mcp_approval_response", "approval_request_id": one["id"], "approve": True}
                if one["type"] == "mcp_approval_request"
                else {"type": "function_call_output", "call_id": one["call_id"], "output": "found"}
                for one in answer.json()["output"]
                if one["type"] in OPEN
            ]
            answer = await respond(proxy, given, *tools, previous_response_id=answer.json()["id"])
    assert sorted(seen) == ["function_call", "mcp_approval_request"]
    assert text_of(answer) == "Done."
    assert out.exists()
    assert "found" in tool_outputs(upstream)


async def test_other_tools_need_another_thread_and_fewer_do_not(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    upstream.will_reply(
        reply(LOOKUP),
        reply("One."),
        reply(Call("lookup", '{"q": "late"}', "call_2")),
        reply("Two."),
        reply("Again."),
        reply(Call("count", '{"q": "b"}')),
        reply("Three."),
    )
    lookup, count = function("lookup"), function("count")
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:

        async def go_on(given: Any, before: Any, *tools: Any) -> Any:
            return await respond(proxy, given, *tools, previous_response_id=before.json()["id"])

        asking = await respond(proxy, "1", lookup, count)
        one = await go_on(outputs(asking, "found it"), asking, lookup, count)
        # The model calls a tool that this request does not declare any more.
        two = await go_on("2", one, count)
        assert (fate(two), text_of(two)) == ("continued; reason=same-history", "Two.")
        assert "The client has no tool lookup." in tool_outputs(upstream)
        # A copy of the thread has its tools too.
        again = await go_on("not 2", one, lookup)
        assert (fate(again), text_of(again)) == ("forked; reason=other-turns-followed", "Again.")
        assert any(tool["name"] == "client" for tool in upstream.requests[-1].declared)
        asking = await go_on("3", two, count, function("lookup", description="Another one."))
        assert fate(asking) == "new; reason=tools-changed"
        said = [item for item in upstream.conversation() if item["type"] != "message" or item["role"] != "developer"]
        assert [item.get("arguments") or item.get("output") for item in said[-7:] if "call_id" in item] == [
            '{"q": "a"}',
            "found it",
        ]
        [call] = calls(asking)
        assert call["name"] == "count"
        assert text_of(await go_on(outputs(asking, "3"), asking, count)) == "Three."


async def test_a_call_that_waits_too_long_ends_the_turn_and_nothing_is_done_twice(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    upstream.will_reply(reply(LOOKUP))
    async with agent_proxy(upstream, home, tmp_path / "site", settings={"thread_age": 0.0}) as proxy:
        first = await respond(proxy, "1", function("lookup"))
        late = await respond(
            proxy, outputs(first, "found"), function("lookup"), previous_response_id=first.json()["id"]
        )
        assert (late.status_code, late.json()["error"]["code"]) == (409, "approval_expired")
    assert len(upstream.requests) == 1


async def test_a_client_tool_is_called_over_a_websocket(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    upstream.will_reply(reply(LOOKUP), reply("Done."))
    request = {"model": "codex-agent", "tools": [function("lookup")], "store": False}
    async with (
        agent_proxy(upstream, home, tmp_path / "site", CODE_MODE) as proxy,
        websocket(proxy.service.app, headers=AUTHORIZED) as socket,
    ):
        first = (await socket.create(**request, input="1"))["response"]
        call = first["output"][-1]
        given = {"type": "function_call_output", "call_id": call["call_id"], "output": "found it"}
        second = (await socket.create(**request, input=[given], previous_response_id=first["id"]))["response"]
    assert second["output"][-1]["content"][0]["text"] == "Done."
    assert "found it" in tool_outputs(upstream)


async def test_a_server_that_is_stopped_ends_the_turns_that_wait(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    folder, log = tmp_path / "site", tmp_path / "log"
    folder.mkdir()
    upstream.will_reply(reply(LOOKUP))
    async with program("--agent", f"site={folder}", log=log, CODEX_OPENAI_PROXY_API_KEY=KEY) as server:
        body = {"model": "codex-agent", "input": "1", "tools": [function("lookup")]}
        async with http_client(headers=AUTHORIZED) as client:
            answer = await client.post(f"{server.base_url}/responses", json=body)
        assert len(calls(answer)) == 1
        family = server.family()
    assert not [one for one in family if one.is_running()]
    assert "Traceback" not in log.read_text()
