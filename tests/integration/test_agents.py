"""Agents with the real codex: what reaches the model, how conversations continue, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.recordings.case_folders import load_cases
from codex_rpc.process.process import find_codex
from tests.harness.agents import AUTHORIZED, BOTH_MODES, CODE_MODE, DIRECT, WITH_AGENTS, Said, agent_proxy, runs
from tests.harness.codex_home import write_home
from tests.harness.proxy import Stream, proxy, user
from tests.harness.script import Call, Hold, Received, Reply, Usage, begun, http_error, reply
from tests.harness.upstream import Upstream
from tests.harness.websocket import websocket

pytestmark = WITH_AGENTS


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def said(request: Received) -> list[tuple[str, str]]:
    """Return the roles and texts of the conversation, without what codex itself writes at its beginning."""
    messages = [item for item in request.conversation if item["type"] == "message"]
    texts = [(item["role"], "".join(part.get("text", "") for part in item["content"])) for item in messages]
    start = min(n for n, (_, text) in enumerate(texts) if text.startswith("<environment_context>"))
    return texts[start + 1 :]


def fate(answer: Any) -> str:
    """Return how the thread was found and why, without its id."""
    return answer.headers["x-codex-proxy-thread"].rpartition("; ")[0]


async def test_an_agent_is_codex_with_the_users_set_up(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    write_home(home, upstream.base_url)
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "AGENTS.md").write_text("Speak like a pirate.")
    (home / "AGENTS.md").write_text("Be brief.")
    (home / "skills" / "greet").mkdir(parents=True)
    (home / "skills" / "greet" / "SKILL.md").write_text(
        "---\nname: greet\ndescription: How to say hello.\n---\nWave.\n"
    )
    usage = Usage(input=100, cached=10, output=5, reasoning=2)
    upstream.will_reply(reply(Call("exec_command", '{"cmd": "ls"}'), usage=usage), reply("Here I am.", usage=usage))
    async with agent_proxy(upstream, home, folder) as proxy:
        answer = await proxy.chat(user("Where are you?"), model="codex-agent")
    assert answer.json()["choices"][0]["message"]["content"] == "Here I am."
    assert answer.json()["choices"][0]["finish_reason"] == "stop"
    assert answer.json()["usage"]["prompt_tokens"] == 200
    assert answer.json()["usage"]["completion_tokens"] == 10
    request = upstream.requests[0]
    text = json.dumps(request.conversation)
    for part in (
        "You are Codex",
        "Speak like a pirate.",
        "Be brief.",
        "How to say hello.",
        str(folder),
        "Where are you?",
    ):
        assert part in text
    assert {"exec_command", "apply_patch", "update_plan"} <= {tool.get("name") for tool in request.body["tools"]}


async def test_a_conversation_continues_on_its_thread(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        upstream.will_reply(reply("One."), reply("Two."))
        first = await proxy.chat(user("1"), model="codex-agent")
        second = await proxy.chat(user("1"), assistant("One."), user("2"), model="codex-agent-site-high")
    assert [fate(first), fate(second)] == ["new; reason=first-request", "continued; reason=same-history"]
    assert said(upstream.requests[1]) == [("user", "1"), ("assistant", "One."), ("user", "2")]
    keys = {request.body["prompt_cache_key"] for request in upstream.requests}
    assert len(keys) == 1
    assert upstream.requests[1].body["reasoning"]["effort"] == "high"


async def test_a_conversation_continues_after_a_restart(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    settings = {"store": str(tmp_path / "store.sqlite3")}
    async with agent_proxy(upstream, home, tmp_path / "site", settings=settings) as proxy:
        await proxy.chat(user("1"), model="codex-agent")
    async with agent_proxy(upstream, home, tmp_path / "site", settings=settings) as proxy:
        second = await proxy.chat(user("1"), assistant("ok"), user("2"), model="codex-agent")
    assert fate(second) == "continued; reason=same-history"
    assert said(upstream.requests[1]) == [("user", "1"), ("assistant", "ok"), ("user", "2")]


async def test_an_edited_conversation_continues_on_a_copy(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        upstream.will_reply(reply("One."), reply("Two."), reply("Other."), reply("Three."))
        await proxy.chat(user("1"), model="codex-agent")
        await proxy.chat(user("1"), assistant("One."), user("2"), model="codex-agent")
        edited = await proxy.chat(user("1"), assistant("One."), user("not 2"), model="codex-agent")
        kept = [user("1"), assistant("One."), user("2"), assistant("Two.")]
        original = await proxy.chat(*kept, user("3"), model="codex-agent")
    assert fate(edited) == "forked; reason=other-turns-followed"
    assert [text for role, text in said(upstream.requests[2]) if role != "developer"] == ["1", "One.", "not 2"]
    assert fate(original) == "continued; reason=same-history"
    assert [text for _, text in said(upstream.requests[3])] == ["1", "One.", "2", "Two.", "3"]


async def test_an_unknown_history_becomes_that_of_a_new_thread(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        history = {"role": "system", "content": "Be kind."}, user("1"), assistant("From elsewhere."), user("2")
        answer = await proxy.chat(*history, model="codex-agent")
    assert fate(answer) == "new; reason=unknown-history"
    [request] = upstream.requests
    texts = [(item["role"], item["content"][0]["text"]) for item in request.conversation if item["type"] == "message"]
    expected = [("developer", "Be kind."), ("user", "1"), ("assistant", "From elsewhere."), ("user", "2")]
    assert [one for one in texts if one in expected] == expected


async def test_only_a_changed_system_message_is_repeated(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    def system(text: str) -> dict[str, Any]:
        return {"role": "system", "content": text}

    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        history, fates = [user("1")], list[str]()
        for number, note in enumerate(("It is noon.", "It is noon.", "It is night."), 2):
            answer = await proxy.chat(system(note), *history, model="codex-agent")
            history += [assistant("ok"), user(str(number))]
            fates.append(fate(answer))
    assert fates[1:] == ["continued; reason=same-history"] * 2
    text = json.dumps(upstream.requests[-1].conversation)
    assert (text.count("It is noon."), text.count("It is night.")) == (1, 1)


async def test_a_stored_response_names_its_thread_exactly(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        upstream.will_reply(reply("Same."), reply("Same."))

        async def respond(text: str, **fields: Any) -> Any:
            return await proxy.client.post("/responses", json={"model": "codex-agent", "input": text, **fields})

        first, second = await respond("1"), await respond("1")
        answers = [await respond("2", previous_response_id=one.json()["id"]) for one in (first, second)]
    assert [fate(one) for one in answers] == ["continued; reason=same-history"] * 2
    ids = [one.headers["x-codex-proxy-thread"].rpartition("id=")[2] for one in (first, second, *answers)]
    assert ids[:2] == ids[2:]
    assert ids[0] != ids[1]


async def test_a_response_that_prepares_a_conversation_asks_nothing(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site", settings={"spares": 0}) as proxy:
        body = {"model": "codex-agent", "input": "1", "generate": False}
        first = await proxy.client.post("/responses", json=body)
        assert first.json()["status"] == "completed"
        assert len(proxy.codex_children()) == 1
        second = await proxy.client.post(
            "/responses", json={"model": "codex-agent", "input": "2", "previous_response_id": first.json()["id"]}
        )
    assert fate(second) == "new; reason=first-request"
    assert [text for _, text in said(upstream.requests[0])] == ["1", "2"]
    assert not upstream.warm_ups


async def test_an_answer_over_a_websocket_continues_too(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with (
        agent_proxy(upstream, home, tmp_path / "site") as proxy,
        websocket(proxy.service.app, headers=AUTHORIZED) as socket,
    ):
        first = await socket.create(model="codex-agent", input="1", store=False)
        previous = first["response"]["id"]
        await socket.create(model="codex-agent", input="2", store=False, previous_response_id=previous)
    assert len({request.body["prompt_cache_key"] for request in upstream.requests}) == 1
    assert [text for _, text in said(upstream.requests[-1])] == ["1", "ok", "2"]


async def test_a_used_up_quota_in_a_later_step_is_not_repeated(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    refusal = http_error(429, {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached"}})
    upstream.will_reply(reply(Call("exec_command", '{"cmd": "ls"}')), refusal)
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        answer = await proxy.chat(user("1"), model="codex-agent")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "usage_limit_reached")
    assert answer.headers["x-should-retry"] == "false"
    assert len(upstream.requests) == 2


async def test_the_clients_own_name_chooses_between_equal_histories(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:

        async def ask(name: str, *messages: dict[str, Any]) -> str:
            body = {"model": "codex-agent", "messages": messages}
            headers = {"x-codex-proxy-conversation": name}
            answer = await proxy.client.post("/chat/completions", json=body, headers=headers)
            return answer.headers["x-codex-proxy-thread"].rpartition("id=")[2]

        firsts = [await ask(name, user("1")) for name in "ab"]
        seconds = [await ask(name, user("1"), assistant("ok"), user("2")) for name in "ab"]
    assert firsts == seconds


async def test_a_lost_thread_is_replaced_by_a_new_one(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    settings = {"store": str(tmp_path / "store.sqlite3")}
    async with agent_proxy(upstream, home, tmp_path / "site", settings=settings) as proxy:
        await proxy.chat(user("1"), model="codex-agent")
    for file in (home / "sessions").rglob("*.jsonl*"):
        file.unlink()
    async with agent_proxy(upstream, home, tmp_path / "site", settings=settings) as proxy:
        second = await proxy.chat(user("1"), assistant("ok"), user("2"), model="codex-agent")
    assert second.status_code == 200
    assert fate(second) == "new; reason=thread-gone"
    assert [text for _, text in said(upstream.requests[1])][-1] == "2"


async def go_on_in_a_terminal(home: Path, thread: str, text: str) -> None:
    """Continue a thread with another program, as `codex resume` does."""
    codex = str(find_codex(os.environ.get("CODEX_UNDER_TEST")))
    command = [codex, "exec", "--skip-git-repo-check", "--model", DIRECT, "resume", thread, text]
    await anyio.run_process(command, env={**os.environ, "CODEX_HOME": str(home)}, stdin=subprocess.DEVNULL)


async def test_a_conversation_can_go_on_in_a_terminal_and_back(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        first = await proxy.chat(user("1"), model="codex-agent")
        thread = first.headers["x-codex-proxy-thread"].rpartition("id=")[2]
        with anyio.fail_after(20):
            while True:  # codex lets go of the thread a second after the answer
                try:
                    await go_on_in_a_terminal(home, thread, "In a terminal.")
                    break
                except subprocess.CalledProcessError as error:
                    assert b"active writer" in error.stderr, error.stderr  # noqa: PT017
        texts = [text for _, text in said(upstream.requests[1])]
        assert [text for text in texts if text in {"1", "ok", "In a terminal."}] == ["1", "ok", "In a terminal."]
        second = await proxy.chat(user("1"), assistant("ok"), user("2"), model="codex-agent")
    assert fate(second) == "forked; reason=other-turns-followed"
    texts = [text for role, text in said(upstream.requests[-1]) if role != "developer"]
    assert texts == ["1", "ok", "2"]


async def test_a_thread_that_another_server_uses_is_copied(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    settings, folder = {"store": str(tmp_path / "store.sqlite3")}, tmp_path / "site"
    gate = anyio.Event()
    async with (
        agent_proxy(upstream, home, folder, settings=settings) as one,
        agent_proxy(upstream, home, folder, settings=settings) as other,
        anyio.create_task_group() as tasks,
    ):
        await one.chat(user("1"), model="codex-agent")
        history = user("1"), assistant("ok"), user("2")
        upstream.will_reply(begun("So").then(Hold(gate)))

        async def ask() -> None:
            await one.chat(*history, model="codex-agent")

        tasks.start_soon(ask)
        await upstream.wait_for_requests(2)
        answer = await other.chat(*history, model="codex-agent")
        assert fate(answer).startswith("forked")
        tasks.cancel_scope.cancel()


def reasoning_of(stream: Stream) -> str:
    """Return the reasoning of a streamed answer."""
    choices = [choice for chunk in stream.chunks for choice in chunk["choices"]]
    return "".join(choice["delta"].get("reasoning_content") or "" for choice in choices)


STYLES = ("reasoning_content", "text", "details", "off")


@pytest.mark.parametrize(("style", "agent_model"), list(zip(STYLES, [DIRECT, CODE_MODE] * 2, strict=True)))
async def test_a_client_that_sends_back_what_it_was_shown_continues(
    style: str, agent_model: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    """The activity is shown as the style says, streamed and whole; the answer alone decides about the thread."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "file").write_text("content of the file")
    history, fates = [user("1")], list[str]()
    async with agent_proxy(upstream, home, tmp_path / "site", agent_model) as proxy:
        proxy.client.headers["x-codex-proxy-activity"] = style
        for number in range(2):
            look = Said("I look first.", "commentary")
            upstream.will_reply(*steps(agent_model, look), reply(Said(f"Answer {number}.", "final_answer")))
            async with proxy.stream(*history, model="codex-agent") as stream:
                chunks = await stream.read()
                fates.append(fate(stream.response))
            history += [assistant(chunks.text), user(f"after {number}")]
            everything = chunks.text + reasoning_of(chunks)
            assert chunks.text.endswith(f"Answer {number}.")
            assert ("I look first." in everything) == (style != "off")
            assert ("cat file" in everything) == (style != "off")
            assert (chunks.text == f"Answer {number}.") == (style in {"reasoning_content", "off"})
        upstream.will_reply(*steps(agent_model, Said("Again.", "commentary")), reply(Said("Whole.", "final_answer")))
        whole = await proxy.chat(*history, model="codex-agent")
        fates.append(fate(whole))
    assert whole.json()["choices"][0]["message"]["content"] == "Whole."
    assert fates == ["new; reason=first-request", *["continued; reason=same-history"] * 2]


def steps(model: str, *said: Said) -> list[Reply]:
    """Return the reply of a model that says something and reads a file."""
    return [runs(model, "cat file; sleep 0.3", before=said)]


@BOTH_MODES
async def test_a_response_shows_what_the_agent_did_as_items(
    agent_model: str, upstream: Upstream, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bridge.telemetry.logs")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "file").write_text("content of the file")
    items: list[Any] = [{"role": "user", "content": "1"}]
    async with agent_proxy(upstream, home, tmp_path / "site", agent_model) as proxy:
        upstream.will_reply(
            *steps(agent_model, Said("I look first.", "commentary")),
            reply(Said("Done.", "final_answer")),
        )
        first = (await proxy.client.post("/responses", json={"model": "codex-agent", "input": items})).json()
        output = first["output"]
        assert [item["type"] for item in output if item["type"] != "reasoning"] == ["message", "mcp_call", "message"]
        [call] = [item for item in output if item["type"] == "mcp_call"]
        assert "content of the file" in call["output"]
        items += [*output, {"role": "user", "content": "2"}]
        second = await proxy.client.post("/responses", json={"model": "codex-agent", "input": items})
    assert second.status_code == 200, second.text
    assert fate(second) == "continued; reason=same-history"
    # The log names the program and its exit code, and nothing else of what the agent did.
    [line] = [record.getMessage() for record in caplog.records if "did=" in record.getMessage()]
    assert " did=cat:0 " in line
    assert "content" not in line


async def test_an_unknown_style_is_refused(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        proxy.client.headers["x-codex-proxy-activity"] = "loud"
        answer = await proxy.chat(user("1"), model="codex-agent")
    assert answer.status_code == 400
    assert "reasoning_content, text, details, off" in answer.json()["error"]["message"]
    assert not upstream.requests


async def test_cursor_gets_the_activity_as_text(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        proxy.client.headers["user-agent"] = "Cursor/1.0"
        upstream.will_reply(
            *steps(DIRECT, Said("I look first.", "commentary")),
            reply(Said("Done.", "final_answer")),
        )
        async with proxy.stream(user("1"), model="tnega-xedoc") as stream:
            text = (await stream.read()).text
    assert text.startswith("I look first.")
    assert text.endswith("Done.")


# ── Names and refusals ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_agents_are_listed_and_need_the_key(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        listed = [model["id"] for model in (await proxy.client.get("/models")).json()["data"]]
        assert {"codex-agent", "codex-agent-site", "tnega-xedoc", "etis-tnega-xedoc"} <= {*listed}
        answer = await proxy.chat(user("1"), model="hgih-etis-tnega-xedoc")
        assert answer.headers["x-codex-proxy-thread"].startswith("new")
        for key in ("", "Bearer wrong"):
            proxy.client.headers["authorization"] = key
            assert (await proxy.chat(user("1"), model="codex-agent")).status_code == 401
    assert len(upstream.requests) == 1


async def test_an_unknown_agent_is_refused_with_what_to_do(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        answer = await proxy.chat(user("1"), model="codex-agent-nowhere")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (404, "model_not_found")
    assert "codex-agent-site" in error["message"]


async def test_without_agents_their_names_mean_nothing(upstream: Upstream, home: Path) -> None:
    async with proxy(upstream, home) as bridge:
        answer = await bridge.chat(user("1"), model="codex-agent")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert "--agent NAME=FOLDER" in answer.json()["error"]["message"]
        cursor = {"user-agent": "Cursor/1.0"}
        body = {"model": "tnega-xedoc", "messages": [user("1")]}
        assert (await bridge.client.post("/chat/completions", json=body, headers=cursor)).status_code == 400
        names = [model["id"] for model in (await bridge.client.get("/models")).json()["data"]]
    assert not [name for name in names if "agent" in name or "tnega" in name]


TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}},
}


@pytest.mark.parametrize(
    "refused",
    [
        ("/chat/completions", {"messages": [user("1")], "n": 2}, "n"),
        ("/chat/completions", {"messages": [user("1")], "functions": [TOOL["function"]]}, "functions"),
        ("/responses", {"input": "1", "tools": [{"type": "tool_search", "execution": "client"}]}, "tools"),
        ("/chat/completions", {"messages": [user("1"), {"role": "assistant", "content": "So"}]}, None),
        ("/responses", {"input": "1", "background": True}, "background"),
        ("/responses/compact", {"input": "1"}, "model"),
    ],
)
async def test_what_agents_do_not_have_is_refused(
    refused: tuple[str, dict[str, Any], str], upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    path, fields, param = refused
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        answer = await proxy.client.post(path, json={"model": "codex-agent", **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert not upstream.requests


async def test_limits_without_effect_are_named(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        answer = await proxy.chat(user("1"), model="codex-agent", stop=["o"], max_tokens=1, temperature=0)
    assert answer.json()["choices"][0]["message"]["content"] == "ok"
    assert {"stop", "max_tokens", "temperature"} <= {*answer.headers["x-codex-proxy-ignored"].split(", ")}


async def test_a_folder_that_is_gone_is_an_error(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        (tmp_path / "site").rmdir()
        answer = await proxy.chat(user("1"), model="codex-agent")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "workspace_missing")


async def test_answers_of_agents_are_not_recorded(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    """They hold what is in files."""
    cases = tmp_path / "cases"
    async with agent_proxy(upstream, home, tmp_path / "site", settings={"record": str(cases)}) as proxy:
        assert (await proxy.chat(user("1"), model="codex-agent")).status_code == 200
        assert not cases.exists()
        assert (await proxy.chat(user("2"))).status_code == 200
    assert [case.name for case in load_cases(cases)] == ["001-2"]


async def test_chat_mode_is_untouched_by_agents(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    """The tests of chat mode run beside an agent, too: that of the fixture `bridge`."""
    (home / "AGENTS.md").write_text("Be brief.")
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        await proxy.chat(user("1"), model="codex-agent")
        answer = await proxy.chat(user("2"))
    assert answer.status_code == 200
    assert upstream.conversation() == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "2"}]}
    ]
    assert not upstream.requests[-1].body.get("tools")
