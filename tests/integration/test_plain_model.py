"""The thread is the plain model: on a home full of traps the model sees the client's messages and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.harness.codex_home import Transport, write_home
from tests.harness.proxy import Proxy, proxy, user
from tests.harness.script import Received
from tests.harness.upstream import Upstream

TRAP = "TRAP"
"""A word that stands in everything that must not reach the model."""

CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    user("How tall?"),
    {"role": "assistant", "content": "Two metres."},
    user("And wide?"),
]
ITEMS = [
    ("developer", "input_text", "Be brief."),
    ("user", "input_text", "How tall?"),
    ("assistant", "output_text", "Two metres."),
    ("user", "input_text", "And wide?"),
]


def set_traps(home: Path, base_url: str, transport: Transport) -> Path:
    """Fill the home with all that codex would tell the model or start; return the file that a started thing writes."""
    evidence = home / "evidence"
    touch = json.dumps(["-c", f"echo $0 >> {evidence}"])
    instructions = home / "instructions.md"
    write_home(
        home,
        base_url,
        transport,
        config=f"""
            developer_instructions = "{TRAP}: developer instructions"
            model_instructions_file = "{instructions}"
            notify = ["sh", "-c", "echo notify >> {evidence}"]
            personality = "friendly"
            compact_prompt = "{TRAP}: compaction"
        """,
        tables=f"""
            [mcp_servers.trap]
            command = "sh"
            args = {touch}
            [mcp_servers."with.dot and space"]
            command = "sh"
            args = {touch}
            [[hooks.UserPromptSubmit]]
            [[hooks.UserPromptSubmit.hooks]]
            type = "command"
            command = "echo hook >> {evidence}; echo {TRAP}"
            [features]
            shell_tool = true
            memories = true
            goals = true
            [tools]
            view_image = true
        """,
    )
    instructions.write_text(f"{TRAP}: instructions file")
    (home / "AGENTS.md").write_text(f"{TRAP}: agents")
    (home / "AGENTS.override.md").write_text(f"{TRAP}: agents override")
    skill = home / "skills" / "trap"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text(f"---\nname: trap\ndescription: {TRAP} skill\n---\n{TRAP}\n")
    prompts = home / "prompts"
    prompts.mkdir()
    (prompts / "trap.md").write_text(TRAP)
    return evidence


def seen(request: Received) -> list[tuple[str, str, str]]:
    """The messages that the upstream got: role, kind of the only part, its text."""
    out: list[tuple[str, str, str]] = []
    for item in request.input:
        assert item["type"] == "message", item
        [part] = item["content"]
        out.append((item["role"], part["type"], part["text"]))
    return out


@pytest.mark.parametrize("transport", ["http", "websocket"])
async def test_on_a_home_full_of_traps_every_model_sees_only_the_messages(
    upstream: Upstream, home: Path, transport: Transport
) -> None:
    evidence = set_traps(home, upstream.base_url, transport)
    async with proxy(upstream, home) as bridge:
        models = [model["id"][::-1] for model in (await bridge.client.get("/models")).json()["data"]]
        assert {"gpt-5.2-codex", "gpt-5.5", "gpt-6-astra"} <= set(models)
        for model in models:
            response = await bridge.chat(*CONVERSATION, model=model)
            assert response.status_code == 200, response.text
            request = upstream.requests[-1]
            assert request.body["model"] == model
            assert seen(request) == ITEMS
            assert request.tools == []
            assert request.body.get("instructions", "") == ""
            assert request.body.get("text", {}).get("verbosity") is None
    assert len(upstream.requests) == len(models)
    assert TRAP not in json.dumps([request.body for request in (*upstream.requests, *upstream.warm_ups)])
    assert not evidence.exists()


async def test_the_home_without_agents_files_is_used_as_it_is(bridge: Proxy) -> None:
    await bridge.chat(user("hi"))
    environments = [child.environ() for child in bridge.codex_children()]
    assert [env["CODEX_HOME"] for env in environments] == [str(bridge.home)]


async def test_the_childs_environment_holds_nothing_of_ours(
    upstream: Upstream, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_OPENAI_PROXY_API_KEY", "secret")
    async with proxy(upstream, home) as bridge:
        await bridge.chat(user("hi"))
        [child] = bridge.codex_children()
        assert not [name for name in child.environ() if name.startswith("CODEX_OPENAI_PROXY_")]


async def test_a_login_made_through_a_private_home_reaches_the_real_one(upstream: Upstream, home: Path) -> None:
    """The private home is made of links, so what codex writes there is written in the real home."""
    write_home(home, upstream.base_url, "websocket", logged_in=False)
    (home / "AGENTS.md").write_text(TRAP)
    async with proxy(upstream, home) as bridge:
        assert (await bridge.chat(user("hi"))).status_code == 401
        [child] = bridge.codex_children()
        private = child.environ()["CODEX_HOME"]
        assert private != str(home)
        command = [child.exe(), "login", "--with-api-key"]
        await anyio.run_process(command, input=b"sk-made-up", env=child.environ())
    assert json.loads((home / "auth.json").read_text())["OPENAI_API_KEY"] == "sk-made-up"
    assert not (home / "auth.json").is_symlink()


async def test_long_inputs_arrive_whole(bridge: Proxy) -> None:
    text = "".join(f"line {number} of a very long text\n" for number in range(60_000))
    history = [message for number in range(200) for message in (user(f"q{number}"), _said(f"a{number}"))]
    response = await bridge.chat(*history, user(text))
    assert response.status_code == 200
    assert [text for _, _, text in seen(bridge.upstream.requests[-1])] == [
        *(text for number in range(200) for text in (f"q{number}", f"a{number}")),
        text,
    ]


def _said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}
