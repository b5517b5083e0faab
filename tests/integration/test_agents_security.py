"""What an agent cannot do, and what is left of it afterwards, with the real codex: nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import httpx2
import psutil
import pytest

from bridge.config import settings_folder
from bridge.keys.changes import add_key
from tests.harness.agents import (
    AUTHORIZED,
    BOTH_MODES,
    CODE_MODE,
    DIRECT,
    KEY,
    PATIENCE,
    WITH_AGENTS,
    Script,
    agent_proxy,
    runs,
    sleepers,
    tool_outputs,
    until,
    without_a_sandbox,
)
from tests.harness.codex_home import log_in, write_home
from tests.harness.program import program, survivors
from tests.harness.proxy import Proxy, user
from tests.harness.script import Call, Hold, Received, Reply, begun, reply
from tests.harness.upstream import Upstream

pytestmark = WITH_AGENTS

OPENS_A_SOCKET = ": > /dev/udp/127.0.0.1/9"
"""A command of bash."""


async def outputs_of(proxy: Proxy, upstream: Upstream, model: str, *commands: str) -> str:
    """Let the agent run these commands in one shell; return what the model reads of them."""
    upstream.will_reply(runs(model, "; ".join(f"({command}) 2>&1" for command in commands)), reply("done"))
    answer = await proxy.chat(user("Go."), model="codex-agent")
    assert answer.json()["choices"][0]["message"]["content"].endswith("done"), answer.text
    return tool_outputs(upstream)


@BOTH_MODES
async def test_an_agent_reads_its_folder_and_no_secrets(
    agent_model: str, upstream: Upstream, home: Path, state: Path, tmp_path: Path
) -> None:
    log_in(home)
    folder, other, store = tmp_path / "site", tmp_path / "other", tmp_path / "kept" / "store.sqlite3"
    for one in (folder, other):
        one.mkdir()
        (one / "file").write_text(f"content of {one.name}")
    settings = {"store": str(store)}
    async with agent_proxy(upstream, home, folder, agent_model, settings=settings) as proxy:
        seen = await outputs_of(
            proxy,
            upstream,
            agent_model,
            "cat file",
            f"cat {home}/auth.json",
            f"cat {home}/config.toml",
            f"cat {other}/file",
            f"ls -la {state}",
            f"cat {store} {store}-wal",
            "ls -la ~ /root /home",
            "echo key:$SCRIPTED_KEY",
            f"{OPENS_A_SOCKET} && echo a socket",
            "cat /etc/shadow /proc/1/environ /proc/$PPID/environ",
        )
    assert "content of site" in seen
    for secret in ("sk-test", "model_provider", "content of other", "SQLite", "made-up", "a socket", "root:*"):
        assert secret not in seen


async def test_an_agent_works_while_the_store_and_the_keys_are_where_they_usually_are(
    upstream: Upstream, home: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in folders that are denied as a whole; the sandbox does not start if it is to cover them once more."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    store, keys = state / "responses.sqlite3", settings_folder() / "keys.toml"
    keys.parent.mkdir(parents=True)
    add_key(keys, "anna")
    settings = {"store": str(store), "keys_file": str(keys)}
    async with agent_proxy(upstream, home, tmp_path / "site", settings=settings) as proxy:
        seen = await outputs_of(proxy, upstream, DIRECT, "pwd", f"cat {store}", f"cat {keys}")
    assert str(tmp_path / "site") in seen
    assert "SQLite" not in seen
    assert "anna" not in seen


@BOTH_MODES
@pytest.mark.parametrize("write", [False, True])
async def test_an_agent_writes_where_it_may(
    write: bool, agent_model: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    (folder / ".git" / "hooks").mkdir(parents=True)
    places = ["new", ".git/hooks/post-commit", ".git/config", ".codex/config.toml", "../outside", f"{home}/config.toml"]
    before = (home / "config.toml").read_bytes()
    async with agent_proxy(upstream, home, folder, agent_model, write=write) as proxy:
        await outputs_of(proxy, upstream, agent_model, *(f"echo changed > {place}" for place in places))
    changed = [place for place in places if (folder / place).exists() and "changed" in (folder / place).read_text()]
    assert changed == (["new"] if write else [])
    assert (home / "config.toml").read_bytes() == before


async def test_git_needs_a_setting_of_its_own(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    commit = "git add -A && git -c user.name=a -c user.email=a@b commit -qm first && echo committed"
    async with agent_proxy(upstream, home, folder, write=True, git=True) as proxy:
        await anyio.run_process(["git", "init", "-q", str(folder)])
        (folder / "file").write_text("content")
        assert "committed" in await outputs_of(proxy, upstream, DIRECT, commit)


async def test_further_folders_and_the_network_need_settings(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    log_in(home)
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("content of other")
    commands = f"cat {other}/file", f"cat {home}/auth.json", f"{OPENS_A_SOCKET} && echo $((5 * 5))"
    async with agent_proxy(upstream, home, tmp_path / "site", read=(str(other),), network=True) as proxy:
        seen = await outputs_of(proxy, upstream, DIRECT, *commands)
    assert "content of other" in seen
    assert "25" in seen
    assert "sk-test" not in seen


async def test_the_programs_of_the_system_are_found_whatever_the_path_of_the_server(
    upstream: Upstream, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders of the server's PATH may not be visible to an agent, and an empty one would be the agent's own folder."""
    folder, hidden = tmp_path / "site", tmp_path / "bin"
    for one in (folder, hidden):
        one.mkdir()
        (one / "ls").write_text("#!/bin/sh\necho not the program of the system\n")
        (one / "ls").chmod(0o755)
    (folder / "file").write_text("")
    monkeypatch.setenv("PATH", f"{hidden}:")
    async with agent_proxy(upstream, home, folder) as proxy:
        seen = await outputs_of(proxy, upstream, DIRECT, "ls")
    assert "file" in seen
    assert "not the program" not in seen


async def test_reading_the_whole_machine_excludes_the_secrets(
    upstream: Upstream, home: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(home)
    persons = tmp_path / "person"
    (persons / ".ssh").mkdir(parents=True)
    for name in (".ssh/id", ".netrc"):
        (persons / name).write_text("content of a secret")
    monkeypatch.setenv("HOME", str(persons))
    (tmp_path / "file").write_text("content of a file")
    keys = tmp_path / "keys.toml"
    add_key(keys, "anna")
    async with agent_proxy(upstream, home, tmp_path / "site", settings={"keys_file": str(keys)}, read=("/",)) as proxy:
        state.mkdir(exist_ok=True)
        (state / "key").write_text("content of the key")
        commands = (
            f"cat {tmp_path}/file",
            f"cat {keys}",
            f"cat {home}/auth.json",
            f"cat {state}/key",
            f"cat {persons}/.ssh/id {persons}/.netrc",
            f"echo x > {tmp_path}/new",
        )
        seen = await outputs_of(proxy, upstream, DIRECT, *commands)
    assert "content of a file" in seen
    assert "sk-test" not in seen
    assert "content of the key" not in seen
    assert "content of a secret" not in seen
    assert "anna" not in seen.replace(str(keys), "")
    assert not (tmp_path / "new").exists()


async def test_a_request_chooses_neither_folder_nor_rights(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    folder, other = tmp_path / "site", tmp_path / "other"
    other.mkdir()
    everything = {"filesystem": {"/": "write"}, "network": {"enabled": True}}
    wants: dict[str, Any] = {
        **{name: str(other) for name in ("cwd", "folder", "workdir", "workspace")},
        **dict.fromkeys(("sandbox", "sandbox_mode"), "danger-full-access"),
        **dict.fromkeys(("write", "network", "git"), True),
        **dict.fromkeys(("permissions", "config", "metadata_of_codex"), everything),
        "approval_policy": "on-request",
        "ask": "client",
    }
    command = "pwd; echo x > new; " + OPENS_A_SOCKET + " && echo $((5 * 5))"
    async with agent_proxy(upstream, home, folder) as proxy:
        for path, given in (("/chat/completions", {"messages": [user("1")]}), ("/responses", {"input": "1"})):
            upstream.will_reply(runs(DIRECT, f"({command}) 2>&1"), reply("done"))
            body = {"model": "codex-agent", **wants, **given}
            assert (await proxy.client.post(path, json=body)).status_code == 200
            seen = tool_outputs(upstream)
            assert str(folder) in seen
            assert "25" not in seen
    assert not [*folder.iterdir(), *other.iterdir()]


@pytest.mark.parametrize("write", [False, True])
async def test_a_hostile_repository_starts_nothing(write: bool, upstream: Upstream, home: Path, tmp_path: Path) -> None:
    write_home(home, upstream.base_url)
    folder, proof = tmp_path / "site", tmp_path / "started"
    for name in (".codex", ".git"):
        (folder / name).mkdir(parents=True)
    starts = {"command": "sh", "args": ["-c", f"touch {proof}; sleep 60"]}
    config = f'notify = ["touch", "{proof}"]\n[mcp_servers.evil]\ncommand = "sh"\nargs = {json.dumps(starts["args"])}\n'
    (folder / ".codex" / "config.toml").write_text(config)
    hook = {"hooks": [{"type": "command", "command": f"touch {proof}"}]}
    hooks = {"hooks": {event: [hook] for event in ("SessionStart", "UserPromptSubmit", "PreToolUse", "Stop")}}
    (folder / ".codex" / "hooks.json").write_text(json.dumps(hooks))
    (folder / ".mcp.json").write_text(json.dumps({"mcpServers": {"evil": starts}}))
    before = (home / "config.toml").read_bytes()
    async with agent_proxy(upstream, home, folder, write=write) as proxy:
        await outputs_of(proxy, upstream, DIRECT, "echo hello")
        again = [user("Go."), {"role": "assistant", "content": "done"}, user("Again.")]
        answer = await proxy.chat(*again, model="codex-agent")
        assert answer.headers["x-codex-proxy-thread"].startswith("continued")
    assert not proof.exists()
    assert (home / "config.toml").read_bytes() == before


async def test_mcp_servers_of_the_user_can_be_left_out(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    proof = tmp_path / "started"
    with (home / "config.toml").open("a") as config:
        config.write(f'\n[mcp_servers.mine]\ncommand = "sh"\nargs = ["-c", "touch {proof}; sleep 60"]\n')
    async with agent_proxy(upstream, home, tmp_path / "site", mcp=False) as proxy:
        await outputs_of(proxy, upstream, DIRECT, "echo hello")
    assert not proof.exists()


# ── Nothing is left ──────────────────────────────────────────────────────────────────────────────────────────────────


def is_idle(proxy: Proxy) -> bool:
    return proxy.service.admission.states()["running"] == 0


@BOTH_MODES
async def test_a_client_that_leaves_ends_the_command(
    agent_model: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    marker = f"sleep 300.{os.getpid()}"
    command = f"{marker} & setsid {marker} & nohup {marker} & touch begun; {marker}"
    upstream.will_reply(runs(agent_model, command, yield_time_ms=30000))
    async with agent_proxy(upstream, home, tmp_path / "site", agent_model, write=True) as proxy:
        with anyio.CancelScope() as leaving:
            async with anyio.create_task_group() as tasks:

                async def leave() -> None:
                    await until((tmp_path / "site" / "begun").exists)
                    leaving.cancel()

                tasks.start_soon(leave)
                await proxy.chat(user("Wait."), model="codex-agent")
        await until(lambda: is_idle(proxy))
        await until(lambda: not sleepers(marker))
        assert len(upstream.requests) == 1
        # The conversation goes on: the interrupted turn is left out.
        answer = await proxy.chat(user("Wait."), model="codex-agent")
        assert answer.status_code == 200
        assert len(upstream.requests) == 2


@BOTH_MODES
async def test_a_command_that_was_left_running_ends_with_the_answer(
    agent_model: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    marker = f"sleep 301.{os.getpid()}"
    upstream.will_reply(runs(agent_model, f"touch begun; {marker}", yield_time_ms=300), reply("It runs."))
    async with agent_proxy(upstream, home, tmp_path / "site", agent_model, write=True) as proxy:
        answer = await proxy.chat(user("Start it."), model="codex-agent")
        assert answer.json()["choices"][0]["message"]["content"].endswith("It runs.")
        assert (tmp_path / "site" / "begun").exists()
        await until(lambda: not sleepers(marker))


async def test_a_stopped_server_leaves_no_command_of_an_agent(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    marker, folder = f"sleep 304.{os.getpid()}", tmp_path / "site"
    folder.mkdir()
    upstream.will_reply(runs(DIRECT, f"touch begun; setsid {marker} & {marker}", yield_time_ms=30000))
    flags = "--agent", f"site={folder}", "--agent-write", "site", "--grace", "0.2"
    statuses: list[int] = []
    family: list[psutil.Process] = []
    async with program(*flags, CODEX_OPENAI_PROXY_API_KEY=KEY) as server:
        async with httpx2.AsyncClient(headers=AUTHORIZED, timeout=60) as client, anyio.create_task_group() as tasks:

            async def ask() -> None:
                body = {"model": "codex-agent", "messages": [user("Wait.")]}
                statuses.append((await client.post(f"{server.base_url}/chat/completions", json=body)).status_code)

            tasks.start_soon(ask)
            await until((folder / "begun").exists)
            family += server.family()
            server.process.terminate()
        assert statuses == [503]
        assert await survivors(family) == []
        assert not sleepers(marker)
    assert len(upstream.requests) == 1


async def test_an_agent_has_a_limited_time(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    marker = f"sleep 302.{os.getpid()}"
    upstream.will_reply(runs(DIRECT, marker, yield_time_ms=30000))
    async with agent_proxy(upstream, home, tmp_path / "site", settings={"agent_time": 1.0}) as proxy:
        answer = await proxy.chat(user("Wait."), model="codex-agent")
        assert answer.json()["choices"][0]["finish_reason"] == "length"
        await until(lambda: not sleepers(marker))
    assert len(upstream.requests) == 1


def works_forever(request: Received) -> Reply:
    """The agent starts a sub-agent and answers; the sub-agent calls its tool again and again."""
    kinds = [item["type"] for item in request.conversation]
    if "agent_message" in kinds:
        return reply(Script('await tools.exec_command({cmd: "true"})', f"call_{len(kinds)}"))
    if "function_call_output" in kinds:
        return reply("The sub-agent works.")
    return reply(Call("spawn_agent", json.dumps({"message": "Work on.", "task_name": "worker"})))


async def test_sub_agents_end_with_the_answer(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    upstream.respond = works_forever
    async with agent_proxy(upstream, home, tmp_path / "site", CODE_MODE) as proxy:
        answer = await proxy.chat(user("Delegate."), model="codex-agent")
        assert "The sub-agent works." in answer.text
        requests = len(upstream.requests)
        assert requests >= 2
        # Another answer takes longer than the sub-agent would need for its next request.
        for _ in range(3):
            upstream.will_reply(reply("ok"))
            await proxy.chat(user("And?"), model="codex-agent")
        await upstream.wait_until_idle()
        assert len(upstream.requests) == requests + 3


async def test_sub_agents_end_when_the_client_leaves(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    working = anyio.Event()

    def parent_waits(request: Received) -> Reply:
        kinds = [item["type"] for item in request.conversation]
        if "agent_message" in kinds and "custom_tool_call_output" in kinds:
            working.set()
        if "agent_message" not in kinds and "function_call_output" in kinds:
            return begun("I wait.").then(Hold(anyio.Event()))
        return works_forever(request)

    upstream.respond = parent_waits
    async with agent_proxy(upstream, home, tmp_path / "site", CODE_MODE) as proxy:
        async with proxy.stream(user("Delegate."), model="codex-agent"):
            with anyio.fail_after(PATIENCE):
                await working.wait()
        await until(lambda: is_idle(proxy))
        requests = len(upstream.requests)
        for _ in range(3):
            upstream.will_reply(reply("ok"))
            await proxy.chat(user("And?"), model="codex-agent")
        assert len(upstream.requests) == requests + 3


async def test_goals_and_sleeping_are_not_offered(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        await proxy.chat(user("1"), model="codex-agent")
    names = json.dumps(upstream.requests[0].body["tools"])
    assert "goal" not in names
    assert '"sleep"' not in names


# ── The process ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_process_starts_with_the_first_request_and_ends_when_idle(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site", settings={"agent_idle": 0.3}) as proxy:
        await proxy.chat(user("1"))
        before = len(proxy.codex_children())
        for _ in range(2):
            await proxy.chat(user("1"), model="codex-agent")
            await until(lambda: len(proxy.codex_children()) == before)
    assert len(upstream.requests) == 3


async def test_the_process_does_not_end_while_an_agent_works(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    upstream.will_reply(runs(DIRECT, "sleep 0.5", yield_time_ms=30000), reply("done"))
    async with agent_proxy(upstream, home, tmp_path / "site", settings={"agent_idle": 0.1}) as proxy:
        answer = await proxy.chat(user("1"), model="codex-agent")
    assert answer.json()["choices"][0]["message"]["content"].endswith("done")


async def test_a_process_in_which_something_may_still_run_is_replaced(
    upstream: Upstream, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(client: object, thread_id: str) -> bool:
        del client, thread_id
        return False

    monkeypatch.setattr("bridge.agents.agents.end_thread", fail)
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        chat_mode = {child.pid for child in proxy.codex_children()}
        await proxy.chat(user("1"), model="codex-agent")
        seen: set[int] = set()

        def replaced() -> bool:
            seen.update(child.pid for child in proxy.codex_children() if child.pid not in chat_mode)
            return len(seen) > 1

        await until(replaced)
        assert (await proxy.chat(user("1"), model="codex-agent")).status_code == 200


async def test_a_new_login_starts_a_new_process(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        await proxy.chat(user("1"), model="codex-agent")
        before = {child.pid for child in proxy.codex_children()}
        with (home / "config.toml").open("a") as config:
            config.write("\n# changed\n")
        assert (await proxy.chat(user("1"), model="codex-agent")).status_code == 200
        assert {child.pid for child in proxy.codex_children()} - before


async def test_the_end_of_codex_is_an_error_that_clients_do_not_repeat(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    marker = f"sleep 303.{os.getpid()}"
    upstream.will_reply(runs(DIRECT, f"touch begun; {marker}", yield_time_ms=30000))
    async with agent_proxy(upstream, home, tmp_path / "site", write=True) as proxy:
        answers: list[Any] = []
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                answers.append(await proxy.chat(user("1"), model="codex-agent"))

            before = {child.pid for child in proxy.codex_children()}
            tasks.start_soon(ask)
            await until((tmp_path / "site" / "begun").exists)
            for child in _servers(proxy, before):
                child.kill()
        [answer] = answers
        assert answer.status_code == 503
        assert answer.headers["x-should-retry"] == "false"
        await until(lambda: not sleepers(marker))
        assert len(upstream.requests) == 1
        assert (await proxy.chat(user("1"), model="codex-agent")).status_code == 200


def _servers(proxy: Proxy, before: set[int]) -> Sequence[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if child.pid not in before and "codex" in child.name()]


async def test_without_a_sandbox_no_agent_is_offered(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    settings = {"codex": without_a_sandbox(tmp_path)}
    async with agent_proxy(upstream, home, tmp_path / "site", settings=settings) as proxy:
        answer = await proxy.chat(user("1"), model="codex-agent")
        assert (await proxy.chat(user("1"))).status_code == 200
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "sandbox_unavailable")
    assert "no namespaces here" in answer.json()["error"]["message"]


async def test_one_answer_at_a_time_changes_a_folder(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    upstream.will_reply(runs(DIRECT, "touch begun; while [ ! -e go ]; do sleep 0.02; done", yield_time_ms=30000))
    settings = {"queue_patience": 0.3}
    async with agent_proxy(upstream, home, tmp_path / "site", write=True, settings=settings) as proxy:
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                answer = await proxy.chat(user("1"), model="codex-agent")
                assert answer.status_code == 200

            tasks.start_soon(ask)
            await until((tmp_path / "site" / "begun").exists)
            refused = await proxy.chat(user("2"), model="codex-agent")
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "workspace_busy")
            (tmp_path / "site" / "go").touch()
        assert (await proxy.chat(user("2"), model="codex-agent")).status_code == 200


async def test_a_conversation_has_one_running_answer(
    upstream: Upstream, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.agents.continuations.PATIENCE", 0.2)
    async with agent_proxy(upstream, home, tmp_path / "site") as proxy:
        await proxy.chat(user("1"), model="codex-agent")
        gate = anyio.Event()
        upstream.will_reply(begun("So").then(Hold(gate)))
        history = user("1"), {"role": "assistant", "content": "ok"}, user("2")
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                await proxy.chat(*history, model="codex-agent")

            tasks.start_soon(ask)
            await upstream.wait_for_requests(2)
            busy = await proxy.chat(*history, model="codex-agent")
            assert (busy.status_code, busy.json()["error"]["code"]) == (409, "conversation_busy")
            tasks.cancel_scope.cancel()
        await until(lambda: is_idle(proxy))
        assert (await proxy.chat(*history, model="codex-agent")).status_code == 200
