"""The Responses API of a separate server process: the Codex CLI as a client, and chains across restarts."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.conversation.tools import codex_name
from codex_rpc.process.process import find_codex
from tests.harness.codex_home import write_home
from tests.harness.program import http_client
from tests.harness.proxy import BOTH_KINDS, Proxy, served
from tests.harness.script import Call, Thought, plain_item, reply
from tests.harness.upstream import Upstream

pytestmark = BOTH_KINDS

BOTH_TRANSPORTS = pytest.mark.parametrize("transport", ["http", "websocket"])


async def run_codex_exec(
    folder: Path, base_url: str, model: str, task: str, *, websockets: bool = False, asks_models: bool = False
) -> tuple[str, str]:
    """Run `codex exec` in `folder`, with a separate home whose provider is the server; return its two outputs.

    If `asks_models`, its key comes from a command, and then codex asks the provider for its models.
    """
    home = folder.with_name("client_home")
    write_home(home, base_url, tables="supports_websockets = true\n" if websockets else "")
    if asks_models:
        config = (home / "config.toml").read_text().replace('env_key = "SCRIPTED_KEY"\n', "")
        command = '[model_providers.scripted.auth]\ncommand = "echo"\nargs = ["any"]\n'
        (home / "config.toml").write_text(config + command)
    codex = os.environ.get("CODEX_UNDER_TEST") or str(find_codex())
    # No sandbox, because the test machine may not support one.
    options = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--model", model, task]
    with anyio.fail_after(60):
        done = await anyio.run_process(
            [codex, *options],
            cwd=folder,
            env={**os.environ, "CODEX_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            check=False,
        )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


@BOTH_TRANSPORTS
async def test_codex_itself_completes_a_task_with_a_shell_command_through_this_server(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    command = Call(codex_name("exec_command"), json.dumps({"cmd": "echo made here > made.txt"}), "call_1")
    upstream.will_reply(reply(Thought("Let me see.", "secret"), command), reply("The file is made."))
    folder = tmp_path / "work"
    folder.mkdir()
    async with served() as server:
        printed, _ = await run_codex_exec(folder, server.base_url, "gpt-5.2-codex", "Make made.txt")
    assert printed.strip() == "The file is made."
    assert (folder / "made.txt").read_text() == "made here\n"
    first, second = upstream.requests
    assert first.body["prompt_cache_key"] == second.body["prompt_cache_key"]
    assert "exec_command" not in {tool.get("name") for tool in first.tools}
    *_, task, thought, called, output = upstream.conversation()
    assert task["content"] == [{"type": "input_text", "text": "Make made.txt"}]
    assert [thought, called] == [plain_item(Thought("Let me see.", "secret").item("")), plain_item(command.item(""))]
    assert (output["type"], output["call_id"]) == ("function_call_output", "call_1")
    assert "Process exited with code 0" in output["output"]


async def test_codexs_own_patch_tool_works_as_a_custom_tool(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    patch = "*** Begin Patch\n*** Add File: made.txt\n+made here\n*** End Patch\n"
    upstream.will_reply(reply(Call("apply_patch", json.dumps({"input": patch}), "call_1")), reply("Patched."))
    folder = tmp_path / "work"
    folder.mkdir()
    async with served() as server:
        printed, _ = await run_codex_exec(folder, server.base_url, "gpt-5.5", "Make made.txt")
        assert printed.strip() == "Patched."
    assert (folder / "made.txt").read_text() == "made here\n"


# ── Chains ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def words(item: dict[str, Any]) -> str:
    return item["content"][0]["text"] if item["type"] == "message" else item["type"]


async def test_a_chain_of_ten_survives_a_restart_in_its_middle(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    upstream.will_reply(*(reply(Thought(encrypted=f"secret {step}"), f"answer {step}") for step in range(10)))
    previous: str | None = None
    outcomes: list[str] = []

    async def ask(url: str, step: int) -> str:
        body = {"model": "2.5-tpg", "input": f"question {step}", "previous_response_id": previous}
        async with http_client() as client:
            response = await client.post(f"{url}/responses", json=body)
        assert response.status_code == 200, response.text
        assert response.json()["previous_response_id"] == previous
        outcomes.append(response.headers["x-codex-proxy-thread"].partition(";")[0])
        return response.json()["id"]

    for steps in (range(5), range(5, 10)):
        async with served(store=str(tmp_path / "store.sqlite3")) as server:
            for step in steps:
                previous = await ask(server.base_url, step)
    assert outcomes == ["new", *["continued"] * 4, "rebuilt", *["continued"] * 4]
    told = [words(item) for item in upstream.requests[5].input]
    assert told == [word for step in range(5) for word in (f"question {step}", "reasoning", f"answer {step}")] + [
        "question 5"
    ]
    secrets = [item["encrypted_content"] for item in upstream.conversation() if item["type"] == "reasoning"]
    assert secrets == [f"secret {step}" for step in range(9)]


@asynccontextmanager
async def answered(bridge: Proxy, **fields: Any) -> AsyncGenerator[dict[str, Any]]:
    response = await bridge.client.post("/responses", json={"model": "2.5-tpg", "input": "Hi.", **fields})
    assert response.status_code == 200, response.text
    yield response.json()


async def test_a_response_with_store_false_is_not_kept(bridge: Proxy) -> None:
    async with answered(bridge, store=False) as response:
        assert response["store"] is False
        assert (await bridge.client.get(f"/responses/{response['id']}")).status_code == 404
        body = {"model": "2.5-tpg", "input": "Go on.", "previous_response_id": response["id"]}
        refused = await bridge.client.post("/responses", json=body)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (
        400,
        "previous_response_not_found",
        "previous_response_id",
    )


@BOTH_TRANSPORTS
@pytest.mark.parametrize(("model", "tier"), [("5.5-tpg", "default"), ("5.5-tpg-fast", "priority")])
async def test_a_response_names_the_tier_that_its_model_name_asked_for(bridge: Proxy, model: str, tier: str) -> None:
    response = await bridge.client.post("/responses", json={"model": model, "input": "hi"})
    assert response.json()["service_tier"] == tier


async def test_codex_searches_the_web_only_when_the_client_wants_it(bridge: Proxy) -> None:
    location = {"type": "approximate", "country": "DE", "city": "Berlin"}
    wanted = {"type": "web_search", "search_context_size": "high", "user_location": location}
    async with answered(bridge, tools=[wanted]):
        pass
    async with answered(bridge):
        pass
    searching, plain = bridge.upstream.requests
    [tool] = searching.tools
    assert {name: tool[name] for name in wanted} == wanted
    assert tool["external_web_access"] is True
    assert plain.tools == []


async def test_a_tool_in_a_namespace_reaches_the_model_in_it_and_is_called_by_it(bridge: Proxy) -> None:
    look = {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}}
    spaces = [{"type": "namespace", "name": name, "description": name, "tools": [look]} for name in ("fs", "web")]
    async with answered(bridge, tools=[*spaces, look]):
        pass
    told = [
        (tool["name"], [inner["name"] for inner in tool.get("tools", ())]) for tool in bridge.upstream.requests[0].tools
    ]
    assert told[0] == ("fs", ["look"])
    assert told[1][0].startswith("x_web_")
    assert told[2] == ("look", [])
