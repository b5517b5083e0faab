"""An agent asks its client whether it may do more than its settings allow, with the real codex."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest

from tests.harness.agents import (
    AUTHORIZED,
    BOTH_MODES,
    CODE_MODE,
    DIRECT,
    KEY,
    WITH_AGENTS,
    Said,
    Script,
    agent_proxy,
    tool_outputs,
)
from tests.harness.approvals import CODEX, OUTSIDE, answers, asked, expired, respond, text_of, writes
from tests.harness.mcp_server import config
from tests.harness.proxy import Proxy, user
from tests.harness.script import Call, Hold, Received, Reply, reply
from tests.harness.upstream import Upstream
from tests.harness.websocket import websocket

pytestmark = WITH_AGENTS

FUNCTION: dict[str, Any] = {
    "type": "function",
    "function": {"name": "codex_approval", "parameters": {"type": "object"}},
}


def said_at_last(request: Received) -> list[str]:
    """Return the messages of the user after the last output of a tool."""
    after = itertools.takewhile(lambda item: item["type"] == "message", reversed(request.conversation))
    return [item["content"][0]["text"] for item in after][::-1]


def steps_with_approval(response: Any) -> list[tuple[str, str]]:
    """Return the names of the complete steps that were asked about, with the ids of the items that asked."""
    steps = [item for item in response.json()["output"] if item["type"] == "mcp_call"]
    return [(item["name"], item["approval_request_id"]) for item in steps if item["approval_request_id"]]


@BOTH_MODES
async def test_a_command_runs_outside_the_sandbox_only_after_a_yes(
    agent_model: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "outside"
    look = Said("I write.", "commentary")
    async with agent_proxy(upstream, home, tmp_path / "site", agent_model, ask="client") as proxy:
        for approve in (False, True):
            upstream.will_reply(writes(agent_model, out, before=(look,)), reply(Said("Done.", "final_answer")))
            first = await respond(proxy, "1")
            [question] = asked(first)
            assert (question["server_label"], question["name"]) == ("codex", "shell")
            told = json.loads(question["arguments"])
            assert told == {"command": f"echo written > {out}", "cwd": ".", "reason": "May I?"}
            assert (first.json()["status"], text_of(first), first.json()["usage"]["total_tokens"]) == (
                "completed",
                "I write.",
                0,
            )
            given = answers(first, approve)
            second = await respond(proxy, given, previous_response_id=first.json()["id"])
            assert second.headers["x-codex-proxy-thread"].startswith("resumed; reason=answers-came")
            assert text_of(second) == "Done."
            [step] = [item for item in second.json()["output"] if item["type"] == "mcp_call"]
            assert step["status"] == ("completed" if approve else "failed")
            assert step["approval_request_id"] == question["id"]
            assert out.exists() == approve
            assert ("rejected by user" in tool_outputs(upstream)) != approve
            # Both upstream responses count in the request that ends the turn.
            assert second.json()["usage"]["output_tokens"] == 80
            # A question is answered once.
            assert expired(await respond(proxy, given, previous_response_id=first.json()["id"]))
        upstream.will_reply(reply("And on."))
        third = await respond(proxy, "2", previous_response_id=second.json()["id"])
    assert third.headers["x-codex-proxy-thread"].startswith("continued; reason=same-history")
    assert len(upstream.requests) == 5


@BOTH_MODES
async def test_a_chat_client_is_asked_by_its_function(
    agent_model: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "outside"
    history: list[dict[str, Any]] = []
    ask = {"model": "codex-agent", "tools": [FUNCTION]}
    async with agent_proxy(upstream, home, tmp_path / "site", agent_model, ask="client") as proxy:
        for said, stream in (("no, not there", True), ("Approve", False)):
            upstream.will_reply(writes(agent_model, out), reply(Said("Done.", "final_answer")))
            history.append(user("Write."))
            if stream:
                async with proxy.stream(*history, **ask) as streamed:
                    deltas = [choice["delta"] async for chunk in streamed for choice in chunk["choices"]]
                [call] = [one for delta in deltas for one in delta.get("tool_calls", ())]
            else:
                first = (await proxy.chat(*history, **ask)).json()["choices"][0]
                assert (first["finish_reason"], first["message"]["content"]) == ("tool_calls", None)
                [call] = first["message"]["tool_calls"]
            told = json.loads(call["function"]["arguments"])
            assert (told["action"], told["command"]) == ("run a command", f"echo written > {out}")
            history += [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{name: call[name] for name in ("id", "type", "function")}],
                },
                {"role": "tool", "tool_call_id": call["id"], "content": said},
            ]
            second = await proxy.chat(*history, **ask)
            assert second.json()["choices"][0]["message"]["content"] == "Done."
            assert out.exists() == (said == "Approve")
            assert said_at_last(upstream.requests[-1]) == ([] if said == "Approve" else [said])
            stale = await proxy.chat(*history, **ask)
            assert expired(stale), stale.text
            history.append({"role": "assistant", "content": "Done."})
        upstream.will_reply(reply("And on."))
        third = await proxy.chat(*history, user("2"), **ask)
    assert third.headers["x-codex-proxy-thread"].startswith("continued; reason=same-history")


@BOTH_MODES
async def test_the_words_of_a_refusal_reach_the_model_once(
    agent_model: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "outside"
    # A message of the user wakes a model that waits for a script; it then waits for the end of the script.
    waits = [reply(Call("wait", '{"cell_id": "1"}', "call_2"))] if agent_model == CODE_MODE else []
    upstream.will_reply(writes(agent_model, out), *waits, reply("Done."), reply("And on."))
    async with agent_proxy(upstream, home, tmp_path / "site", agent_model, ask="client") as proxy:
        first = await respond(proxy, "1")
        [given] = answers(first, False)
        given["reason"] = "Write it to notes.txt."
        new = {"role": "user", "content": "And tell me."}
        second = await respond(proxy, [given, new], previous_response_id=first.json()["id"])
        assert text_of(second) == "Done."
        assert said_at_last(upstream.requests[1]) == ["Write it to notes.txt.", "And tell me."]
        assert "rejected by user" in tool_outputs(upstream)
        assert not out.exists()
        third = await respond(proxy, "2", previous_response_id=second.json()["id"])
        assert third.headers["x-codex-proxy-thread"].startswith("continued; reason=same-history")
    assert json.dumps(upstream.conversation()).count("notes.txt") == 1


async def test_of_two_questions_at_once_each_has_its_own_answer(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "first", tmp_path / "second"]
    calls = [Call("exec_command", json.dumps({"cmd": f"touch {path}", **OUTSIDE}), path.name) for path in paths]
    upstream.will_reply(reply(*calls), reply("Done."))
    async with agent_proxy(upstream, home, tmp_path / "site", ask="client") as proxy:
        first = await respond(proxy, "1")
        assert len(asked(first)) == 2
        commands = [json.loads(item["arguments"])["command"] for item in asked(first)]
        chosen = [command == f"touch {paths[1]}" for command in commands]
        second = await respond(proxy, answers(first, *chosen), previous_response_id=first.json()["id"])
    assert text_of(second) == "Done."
    assert [path.exists() for path in paths] == [False, True]


async def test_patches_and_tools_of_mcp_servers_are_asked_about(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "site", tmp_path / "by the tool"
    patch = "*** Begin Patch\n*** Add File: new.txt\n+hello\n*** End Patch"
    with (home / "config.toml").open("a") as file:
        file.write(config("files"))
    upstream.will_reply(
        reply(Script(f"await tools.apply_patch({json.dumps(patch)})")),
        reply(Script(f"await tools.mcp__files__create({json.dumps({'path': str(out)})})", "call_2")),
        reply("Done."),
    )
    async with agent_proxy(upstream, home, folder, CODE_MODE, ask="client") as proxy:
        first = await respond(proxy, "1")
        [question] = asked(first)
        assert question["name"] == "apply_patch"
        [change] = json.loads(question["arguments"])["changes"]
        assert (change["path"], change["kind"], change["diff"]) == ("new.txt", "add", "hello\n")
        second = await respond(proxy, answers(first, True), previous_response_id=first.json()["id"])
        assert (folder / "new.txt").read_text() == "hello\n"
        assert steps_with_approval(second) == [("apply_patch", question["id"])]
        [question] = asked(second)
        assert (question["server_label"], question["name"]) == ("codex", "files.create")
        assert json.loads(question["arguments"])["arguments"] == {"path": str(out)}
        third = await respond(proxy, answers(second, True), previous_response_id=second.json()["id"])
        assert text_of(third) == "Done."
        assert steps_with_approval(third) == [("create", question["id"])]
    assert out.exists()


@pytest.mark.parametrize(
    ("ask", "fields"),
    [("never", {}), ("client", {"tools": []}), ("client", {"tools": [{**CODEX, "require_approval": "never"}]})],
)
async def test_without_a_way_to_ask_nothing_is_asked_and_nothing_allowed(
    ask: str, fields: dict[str, Any], upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "outside"
    upstream.will_reply(writes(DIRECT, out), reply("Done."))
    async with agent_proxy(upstream, home, tmp_path / "site", ask=ask) as proxy:
        answer = await respond(proxy, "1", **fields)
    assert text_of(answer) == "Done."
    assert not asked(answer)
    assert ("tools[codex]" in answer.headers.get("x-codex-proxy-ignored", "")) == (ask == "never")
    assert "approval policy is Never" in tool_outputs(upstream)
    assert not out.exists()


async def test_a_message_instead_of_an_answer_declines_and_reaches_the_model(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "outside"
    upstream.will_reply(writes(DIRECT, out), reply("Done."), reply("And on."))
    async with agent_proxy(upstream, home, tmp_path / "site", ask="client") as proxy:
        first = await respond(proxy, "1")
        second = await respond(proxy, "Write it here.", previous_response_id=first.json()["id"])
        assert text_of(second) == "Done."
        assert not out.exists()
        assert said_at_last(upstream.requests[-1]) == ["Write it here."]
        assert "rejected by user" in tool_outputs(upstream)
        third = await respond(proxy, "2", previous_response_id=second.json()["id"])
        assert third.headers["x-codex-proxy-thread"].startswith("continued; reason=same-history")


async def test_a_turn_that_waits_too_long_is_ended(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "outside"
    upstream.will_reply(writes(DIRECT, out))
    async with agent_proxy(upstream, home, tmp_path / "site", ask="client", settings={"thread_age": 0.0}) as proxy:
        first = await respond(proxy, "1")
        assert expired(await respond(proxy, answers(first, True), previous_response_id=first.json()["id"]))
        # The same in the other form: nothing of the request is done again.
        call = {"type": "function_call", "call_id": "some-0", "name": "codex_approval", "arguments": "{}"}
        output = {"type": "function_call_output", "call_id": "some-0", "output": "yes"}
        assert expired(await respond(proxy, [user("1"), call, output]))
    assert not out.exists()
    assert len(upstream.requests) == 1


async def test_a_turn_that_waits_ends_when_the_client_goes_back(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    """It also lets other conversations change the folder meanwhile."""
    out = tmp_path / "outside"
    upstream.will_reply(reply("One."), writes(DIRECT, out), reply("Other."), reply("Instead."))
    async with agent_proxy(upstream, home, tmp_path / "site", ask="client", write=True) as proxy:
        before = await respond(proxy, "1")
        first = await respond(proxy, "2", previous_response_id=before.json()["id"])
        assert asked(first)
        assert text_of(await respond(proxy, "another conversation")) == "Other."
        instead = await respond(proxy, "not 2", previous_response_id=before.json()["id"])
        assert text_of(instead) == "Instead."
        assert expired(await respond(proxy, answers(first, True), previous_response_id=first.json()["id"]))
    assert not out.exists()


async def test_the_end_of_codex_ends_the_turns_that_wait(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "outside"
    upstream.will_reply(writes(DIRECT, out), reply("Again."))
    async with agent_proxy(upstream, home, tmp_path / "site", ask="client") as proxy:
        first = await respond(proxy, "1")
        proxy.kill_codex()
        given = answers(first, True)
        late = [await respond(proxy, given, previous_response_id=first.json()["id"]) for _ in range(2)]
        # The first answer may come before the end of codex is noticed; it fails then, and is not repeated.
        assert expired(late[0]) or late[0].status_code >= 500
        assert expired(late[1])
        assert text_of(await respond(proxy, "1")) == "Again."
    assert not out.exists()


async def test_a_server_that_starts_again_does_nothing_that_was_asked_before(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    out, settings = tmp_path / "outside", {"store": str(tmp_path / "store.sqlite3")}
    upstream.will_reply(writes(DIRECT, out), reply("Again."))
    async with agent_proxy(upstream, home, tmp_path / "site", settings=settings, ask="client") as proxy:
        first = await respond(proxy, "1")
    async with agent_proxy(upstream, home, tmp_path / "site", settings=settings, ask="client") as proxy:
        assert expired(await respond(proxy, answers(first, True), previous_response_id=first.json()["id"]))
        again = await respond(proxy, "Once more.", previous_response_id=first.json()["id"])
    assert text_of(again) == "Again."
    assert not out.exists()
    assert len(upstream.requests) == 2


async def test_what_a_sub_agent_asks_is_declined(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    out, declined = tmp_path / "outside", anyio.Event()

    def delegates(request: Received) -> Reply:
        # A newer codex gives the sub-agent the history of its parent.
        if any(item["type"] == "agent_message" for item in request.conversation):
            if "rejected by user" in json.dumps(request.conversation):
                declined.set()
                return reply("It did not work.")
            return writes(CODE_MODE, out)
        if any(item["type"] == "function_call" for item in request.conversation):
            return Reply((Hold(declined), *reply("Done.").actions))
        return reply(Call("spawn_agent", json.dumps({"message": "Write.", "task_name": "writer"})))

    upstream.respond = delegates
    async with agent_proxy(upstream, home, tmp_path / "site", CODE_MODE, ask="client") as proxy:
        with anyio.fail_after(60):
            answer = await respond(proxy, "1")
        assert text_of(answer) == "Done."
        assert not asked(answer)
    assert not out.exists()


@pytest.mark.parametrize("outcome", ["allow", "deny"])
async def test_codex_own_reviewer_decides_if_the_settings_say_so(
    outcome: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "outside"
    review = {"risk_level": "low", "user_authorization": "high", "outcome": outcome, "rationale": "The user wants it."}

    def reviewed(request: Received) -> Reply:
        if "risk_level" in json.dumps(request.body.get("text")):
            return reply(json.dumps(review))
        is_second = any(item["type"] == "function_call_output" for item in request.conversation)
        return reply("Done.") if is_second else writes(DIRECT, out)

    upstream.respond = reviewed
    async with agent_proxy(upstream, home, tmp_path / "site", ask="auto") as proxy:
        answer = await respond(proxy, "1")
    assert text_of(answer) == "Done."
    assert not asked(answer)
    assert out.exists() == (outcome == "allow")


async def test_an_approval_is_given_over_a_websocket(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "outside"
    upstream.will_reply(writes(DIRECT, out), reply("Done."))
    request = {"model": "codex-agent", "tools": [CODEX], "store": False}
    async with (
        agent_proxy(upstream, home, tmp_path / "site", ask="client") as proxy,
        websocket(proxy.service.app, headers=AUTHORIZED) as socket,
    ):
        first = (await socket.create(**request, input="1"))["response"]
        given = {"type": "mcp_approval_response", "approval_request_id": first["output"][-1]["id"], "approve": True}
        second = (await socket.create(**request, input=[given], previous_response_id=first["id"]))["response"]
    assert second["output"][-1]["content"][0]["text"] == "Done."
    assert out.exists()


def sdk(proxy: Proxy) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=KEY, base_url="http://testserver/v1", http_client=proxy.client, max_retries=0)


@pytest.mark.parametrize("approve", [True, False])
async def test_openai_python_approves_and_declines(
    approve: bool, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "outside"
    upstream.will_reply(writes(DIRECT, out), reply("Done."))
    async with agent_proxy(upstream, home, tmp_path / "site", ask="client") as proxy:
        client: Any = sdk(proxy)
        async with client.responses.stream(model="codex-agent", input="1", tools=[CODEX]) as stream:
            first = await stream.get_final_response()
        given = [
            {"type": "mcp_approval_response", "approval_request_id": item.id, "approve": approve}
            for item in first.output
            if item.type == "mcp_approval_request"
        ]
        second = await client.responses.create(
            model="codex-agent", previous_response_id=first.id, input=given, tools=[CODEX]
        )
    assert second.output_text == "Done."
    assert out.exists() == approve


@pytest.mark.parametrize(("streamed", "approve"), [(True, False), (False, True)])
async def test_openai_agents_approves_and_declines(
    streamed: bool, approve: bool, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    import agents

    out = tmp_path / "outside"
    upstream.will_reply(writes(DIRECT, out), reply("Done."), reply("And on."))
    agents.set_tracing_disabled(disabled=True)
    seen: list[str] = []

    def decide(request: Any) -> Any:
        seen.append(json.loads(request.data.arguments)["command"])
        return {"approve": approve}

    async with agent_proxy(upstream, home, tmp_path / "site", ask="client") as proxy:
        declared: Any = CODEX
        tool: Any = agents.HostedMCPTool(tool_config=declared, on_approval_request=decide)
        agent = agents.Agent("Coder", model=agents.OpenAIResponsesModel("codex-agent", sdk(proxy)), tools=[tool])
        if streamed:
            run = agents.Runner.run_streamed(agent, "1")
            async for _ in run.stream_events():
                pass
        else:
            run = await agents.Runner.run(agent, "1")
        assert run.final_output == "Done."
        again = await agents.Runner.run(agent, [*run.to_input_list(), {"role": "user", "content": "2"}])
        assert again.final_output == "And on."
    assert seen == [f"echo written > {out}"]
    assert out.exists() == approve
