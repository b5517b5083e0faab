"""The model sees only the client's messages, whatever is in the user's home."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.harness.codex_home import Transport, write_home
from tests.harness.proxy import Proxy, proxy, user
from tests.harness.script import Received
from tests.harness.upstream import Upstream, scripted_upstream

TRAP = "TRAP"
"""A word in everything that must not reach the model."""

DIRECT, LITE = "gpt-5.5", "gpt-6.1-sol"
"""A model whose tools are declared directly, and one of the Responses-Lite kind."""

MINTED = ("input", "previous_response_id", "prompt_cache_key", "client_metadata", "type")
"""The fields of a request that differ between two equal conversations."""

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

PREFERENCES = """
    model_reasoning_effort = "xhigh"
    plan_mode_reasoning_effort = "xhigh"
    model_reasoning_summary = "detailed"
    model_verbosity = "high"
    service_tier = "flex"
    personality = "friendly"
    web_search = "live"
"""
LIMITS = """
    model_context_window = 300
    model_auto_compact_token_limit = 10
    model_post_turn_compact_threshold_percent = 1
    tool_output_token_limit = 1
"""
FEATURES = """
    [features]
    agent_message_board = true
    code_mode = true
    context_management = true
    current_time_reminder = true
    goals = true
    incremental_tools = false
    memories = true
    multi_agent_v2 = true
    rollout_budget = true
    send_message_to_user_async = true
    shell_tool = true
    token_budget = true
    unified_exec = true
    untrusted_as_tool_output = false
    utc_environment_date = true
    [tools]
    view_image = true
"""


class Traps:
    """Files in the user's home and CODEX_HOME that codex would show to the model, or programs that it would start."""

    def __init__(self, folder: Path, home: Path, upstream: Upstream, transport: Transport) -> None:
        self.folder = folder
        self.home = home
        self._base_url = upstream.base_url
        self._transport: Transport = transport
        self._evidence = folder / "evidence"

    @property
    def sprung(self) -> bool:
        """Whether a trap was started."""
        return self._evidence.exists()

    def write_config(self, config: str = "", tables: str = "") -> None:
        """Write a config.toml that points to the upstream; keep an existing login."""
        login = not (self.home / "auth.json").exists()
        write_home(self.home, self._base_url, self._transport, config=config, tables=tables, logged_in=login)

    def set(self) -> None:
        """Set every trap."""
        self.write_config(
            f"""
            developer_instructions = "{TRAP}: developer instructions"
            model_instructions_file = "{self._text("instructions.md")}"
            compact_prompt = "{TRAP}: compaction"
            notify = ["sh", "-c", "echo notify >> {self._evidence}"]
            {PREFERENCES}
            {LIMITS}
            """,
            self.servers() + self.hooks() + FEATURES + f'[projects."{self.folder}"]\ntrust_level = "trusted"\n',
        )
        self.set_instructions()
        self.set_files()

    def servers(self) -> str:
        """Return tables of MCP servers, each of which leaves a trace when started."""
        started = json.dumps(["-c", f"echo server >> {self._evidence}"])
        names = ("trap", '"with.dot and space"')
        return "".join(f'[mcp_servers.{name}]\ncommand = "sh"\nargs = {started}\n' for name in names)

    def hooks(self) -> str:
        """Return tables of hooks, which leave a trace too."""
        events = ("SessionStart", "UserPromptSubmit", "Stop")
        return "".join(
            f"[[hooks.{event}]]\n[[hooks.{event}.hooks]]\ntype = 'command'\n"
            f"command = 'echo hook >> {self._evidence}; echo {TRAP}'\n"
            for event in events
        )

    def set_instructions(self) -> None:
        """Write the files that codex shows to the model regardless of its settings."""
        self._text("AGENTS.md")
        self._text("AGENTS.override.md")

    def set_files(self) -> None:
        """Write skills, prompts, rules and memories, and make the user's home folder a project."""
        skill = f"---\nname: trap\ndescription: {TRAP} skill\n---\n{TRAP}\n"
        for name in ("skills/trap/SKILL.md", "skills/.system/trap/SKILL.md"):
            self._text(name, skill)
        for name in ("prompts/trap.md", "rules/trap.rules", "memories/memory_summary.md", "memories/MEMORY.md"):
            self._text(name)
        self._text("plugins/trap/.codex-plugin/plugin.json", json.dumps({"name": "trap", "description": TRAP}))
        self._text("hooks.json", json.dumps({"hooks": {"Stop": [{"hooks": [self._hook()]}]}}))
        (self.folder / ".git").mkdir(exist_ok=True)
        for name in ("AGENTS.md", "AGENTS.override.md", ".codex/AGENTS.md"):
            self._text(name, folder=self.folder)
        self._text(".agents/skills/trap/SKILL.md", skill, folder=self.folder)
        self._text(".codex/config.toml", self.servers() + self.hooks() + FEATURES, folder=self.folder)

    def _hook(self) -> dict[str, str]:
        return {"type": "command", "command": f"echo hook >> {self._evidence}; echo {TRAP}"}

    def _text(self, name: str, text: str = TRAP, *, folder: Path | None = None) -> Path:
        path = (folder or self.home) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture
def traps(
    tmp_path: Path, upstream: Upstream, home: Path, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> Traps:
    """The user's home folder, where the program keeps its state."""
    folder = tmp_path / "user"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / ".local" / "state"))
    return Traps(folder, home, upstream, transport)


class Talk:
    """Sends requests and compares what reaches the upstream with what the client sent."""

    def __init__(self, bridge: Proxy, model: str) -> None:
        self._bridge = bridge
        self._model = model
        self._history: list[dict[str, Any]] = []
        self._before = len(bridge.upstream.requests)
        self._asked = 0

    def begin(self) -> None:
        """Start a new conversation."""
        self._history = []

    async def ask(self, text: str) -> None:
        """Continue the conversation; check that one request goes upstream and holds the client's messages."""
        upstream = self._bridge.upstream
        is_new = not self._history
        self._history.append(user(text))
        self._asked += 1
        with anyio.fail_after(30):
            response = await self._bridge.chat(*self._history, model=self._model)
        assert response.status_code == 200, response.text
        assert len(upstream.requests) == self._before + self._asked
        request = upstream.requests[-1]
        # Over WebSocket a request holds only what is new since the previous answer.
        sent = self._history if is_new or request.transport == "http" else self._history[-1:]
        assert [(role, text) for role, _, text in messages_of(request)] == [(it["role"], it["content"]) for it in sent]
        assert request.tools == []
        self._history.append(response.json()["choices"][0]["message"])

    def manners(self) -> list[dict[str, Any]]:
        """The upstream requests, without the messages and the fields that always differ."""
        bodies = [request.body for request in self._bridge.upstream.requests[self._before :]]
        return [{name: value for name, value in body.items() if name not in MINTED} for body in bodies]


async def talk(
    upstream: Upstream, home: Path, model: str, after_the_first_answer: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """Run a conversation of four turns and a second one; return the upstream requests without their messages."""
    # A spare thread would have been started before the traps were set.
    async with proxy(upstream, home, spares=0) as bridge:
        it = Talk(bridge, model)
        await it.ask("$trap, how tall?")
        after_the_first_answer()
        for text in ("And wide?", "And deep?", "And long?"):
            await it.ask(text)
        it.begin()
        await it.ask("@trap, who are you?")
        return it.manners()


def everything_sent(upstream: Upstream) -> str:
    return json.dumps([request.body for request in (*upstream.requests, *upstream.warm_ups)])


@pytest.mark.parametrize("transport", ["http", "websocket"])
@pytest.mark.parametrize("model", [DIRECT, LITE])
async def test_no_trap_in_the_users_home_reaches_the_model_whenever_it_is_set(
    upstream: Upstream, home: Path, traps: Traps, model: str
) -> None:
    clean = await talk(upstream, home, model)
    set_later = await talk(upstream, home, model, traps.set)
    set_before = await talk(upstream, home, model)
    assert set_later == set_before == clean
    assert clean[0]["reasoning"].keys() <= {"effort", "context"}
    assert TRAP not in everything_sent(upstream)
    assert not traps.sprung


@pytest.mark.parametrize("transport", ["http", "websocket"])
async def test_on_a_home_full_of_traps_every_model_sees_only_the_messages(
    upstream: Upstream, home: Path, traps: Traps
) -> None:
    traps.set()
    async with proxy(upstream, home, model_names="plain") as bridge:
        listed = (await bridge.client.get("/models")).json()["data"]
        models = {model["id"] for model in listed} - {"codex"}
        assert {"gpt-5.2-codex", DIRECT, LITE, "gpt-6-astra"} <= set(models)
        for model in models:
            response = await bridge.chat(*CONVERSATION, model=model)
            assert response.status_code == 200, response.text
            request = upstream.requests[-1]
            assert request.body["model"] == model
            assert messages_of(request) == ITEMS
            assert request.tools == []
            assert request.body.get("instructions", "") == ""
            assert request.body.get("text", {}).get("verbosity") is None
    assert len(upstream.requests) == len(models)
    assert TRAP not in everything_sent(upstream)
    assert not traps.sprung


KEYRING = 'cli_auth_credentials_store = "keyring"\n'
"""A home whose login codex finds only there; the scripted provider needs none."""


@pytest.mark.parametrize("model", [DIRECT, LITE])
async def test_in_the_users_own_home_no_setting_reaches_the_model_whenever_it_is_written(
    upstream: Upstream, home: Path, traps: Traps, model: str
) -> None:
    def set_traps() -> None:
        config = f'developer_instructions = "{TRAP}"\ncompact_prompt = "{TRAP}"\n{KEYRING}{LIMITS}'
        traps.write_config(config, traps.hooks() + FEATURES + f'[projects."{traps.folder}"]\ntrust_level = "trusted"\n')
        traps.set_files()

    traps.write_config(KEYRING)
    clean = await talk(upstream, home, model)
    set_later = await talk(upstream, home, model, set_traps)
    set_before = await talk(upstream, home, model)
    assert set_later == set_before == clean
    assert TRAP not in everything_sent(upstream)
    assert not traps.sprung


async def test_in_the_users_own_home_preferences_and_servers_that_are_there_at_the_start_have_no_effect(
    upstream: Upstream, home: Path, traps: Traps
) -> None:
    traps.write_config(KEYRING + PREFERENCES, traps.servers())
    async with proxy(upstream, home, spares=0) as bridge:
        it = Talk(bridge, DIRECT)
        await it.ask("How tall?")
        assert [child.environ()["CODEX_HOME"] for child in bridge.codex_children()] == [str(home)]
        traps.write_config(KEYRING)
        it.begin()
        await it.ask("And wide?")
    first, second = it.manners()
    assert first["reasoning"] == {"effort": "medium"}
    assert first["text"] == {"verbosity": "medium"}
    assert first.get("service_tier") in {None, "default"}
    assert first == second
    assert not traps.sprung


async def test_instructions_in_the_users_own_home_are_warned_of(
    upstream: Upstream, home: Path, traps: Traps, caplog: pytest.LogCaptureFixture
) -> None:
    traps.write_config(KEYRING)
    traps.set_instructions()
    async with proxy(upstream, home) as bridge:
        assert (await bridge.chat(user("hi"))).status_code == 200
    assert TRAP in everything_sent(upstream)
    warned = [record.getMessage() for record in caplog.records if record.name == "bridge.codex.launch"]
    assert f"the model sees AGENTS.md and AGENTS.override.md of {home}; docs/security.md says why" in warned


async def test_the_childs_environment_points_to_the_private_home_without_our_variables(
    upstream: Upstream, home: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "databases"
    elsewhere.mkdir()
    monkeypatch.setenv("CODEX_OPENAI_PROXY_API_KEY", "secret")
    monkeypatch.setenv("CODEX_SQLITE_HOME", str(elsewhere))
    monkeypatch.setenv("RUST_LOG", "trace")
    async with proxy(upstream, home) as bridge:
        await bridge.chat(user("hi"))
        [child] = bridge.codex_children()
        environment = child.environ()
    assert Path(environment["CODEX_HOME"]).is_relative_to(state)
    assert [name for name in environment if name.startswith("CODEX_")] == ["CODEX_HOME"]
    assert "RUST_LOG" not in environment
    assert not list(elsewhere.iterdir())


async def test_the_key_of_a_provider_may_be_in_the_env_file_of_the_home(
    upstream: Upstream, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCRIPTED_KEY")
    (home / ".env").write_text("SCRIPTED_KEY=from-the-file\n")
    async with proxy(upstream, home) as bridge:
        assert (await bridge.chat(user("hi"))).status_code == 200
    assert upstream.requests[-1].headers["authorization"] == "Bearer from-the-file"


async def test_missing_parts_of_the_state_folder_are_created_again(bridge: Proxy, state: Path) -> None:
    await bridge.chat(user("one"))
    shutil.rmtree(state)
    assert (await bridge.chat(user("two"))).status_code == 200
    for folder in state.glob("codex/*/cwd"):
        folder.rmdir()
    assert (await bridge.chat(user("three"))).status_code == 200
    assert len(bridge.upstream.requests) == 3


async def test_a_state_folder_that_cannot_be_written_is_named(
    upstream: Upstream, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    async with proxy(upstream, home, start_patience=0.3) as bridge:
        response = await bridge.chat(user("hi"))
    assert response.status_code == 503
    assert f"the private home of codex in {tmp_path / 'file'}" in response.json()["error"]["message"]


async def test_two_servers_with_two_homes_run_side_by_side(
    bridge: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted_upstream() as other:
        second = tmp_path / "second"
        write_home(second, other.base_url)
        monkeypatch.setenv("CODEX_HOME", str(second))
        async with proxy(other, second) as its:
            for _ in range(2):
                for one in (bridge, its):
                    assert (await one.chat(user("hi"))).status_code == 200
    assert len(bridge.upstream.requests) == len(other.requests) == 2


async def test_another_server_with_the_same_home_does_not_affect_the_first(bridge: Proxy) -> None:
    assert (await bridge.chat(user("hi"))).status_code == 200
    async with proxy(bridge.upstream, bridge.home) as its:
        for one in (its, bridge):
            assert (await one.chat(user("hi"))).status_code == 200
    assert (await bridge.chat(user("hi"))).status_code == 200
    assert bridge.service.supervisor.starts == 1


async def test_a_changed_provider_holds_from_the_next_start_of_codex(bridge: Proxy) -> None:
    assert (await bridge.chat(user("one"))).status_code == 200
    async with scripted_upstream() as other:
        write_home(bridge.home, other.base_url)
        assert (await bridge.chat(user("two"))).status_code == 200
        assert len(bridge.upstream.requests) == 2
        bridge.service.supervisor.restart()
        assert (await bridge.chat(user("three"))).status_code == 200
        assert len(other.requests) == 1


async def test_an_old_profile_is_refused_with_codexs_own_words(bridge: Proxy) -> None:
    write_home(bridge.home, bridge.upstream.base_url, config='profile = "work"', tables="[profiles.work]\n")
    bridge.service.supervisor.restart()
    response = await bridge.chat(user("hi"))
    assert response.status_code >= 400
    assert "profile" in response.text
    assert bridge.upstream.requests == []


async def test_a_login_made_through_a_private_home_reaches_the_real_one(upstream: Upstream, home: Path) -> None:
    write_home(home, upstream.base_url, "websocket", logged_in=False)
    async with proxy(upstream, home) as bridge:
        assert (await bridge.chat(user("hi"))).status_code == 401
        [child] = bridge.codex_children()
        assert child.environ()["CODEX_HOME"] != str(home)
        command = [child.exe(), "login", "--with-api-key"]
        await anyio.run_process(command, input=b"sk-made-up", env=child.environ())
        assert (await bridge.chat(user("hi"))).status_code == 200
    assert json.loads((home / "auth.json").read_text())["OPENAI_API_KEY"] == "sk-made-up"
    assert not (home / "auth.json").is_symlink()


async def test_a_first_login_in_the_users_home_holds_for_the_next_request(upstream: Upstream, home: Path) -> None:
    write_home(home, upstream.base_url, "websocket", logged_in=False)
    async with proxy(upstream, home) as bridge:
        assert (await bridge.chat(user("hi"))).status_code == 401
        [child] = bridge.codex_children()
        command = [child.exe(), "login", "--with-api-key"]
        await anyio.run_process(command, input=b"sk-made-up", env={**child.environ(), "CODEX_HOME": str(home)})
        assert (await bridge.chat(user("hi"))).status_code == 200
    assert upstream.requests[-1].headers["authorization"] == "Bearer sk-made-up"


async def test_long_inputs_arrive_whole(bridge: Proxy) -> None:
    text = "".join(f"line {number} of a very long text\n" for number in range(60_000))
    history = [message for number in range(200) for message in (user(f"q{number}"), _said(f"a{number}"))]
    response = await bridge.chat(*history, user(text))
    assert response.status_code == 200
    assert [text for _, _, text in messages_of(bridge.upstream.requests[-1])] == [
        *(text for number in range(200) for text in (f"q{number}", f"a{number}")),
        text,
    ]


def messages_of(request: Received) -> list[tuple[str, str, str]]:
    """Return the upstream's messages: role, type of the only part, its text."""
    out: list[tuple[str, str, str]] = []
    for item in request.input:
        assert item["type"] == "message", item
        [part] = item["content"]
        out.append((item["role"], part["type"], part["text"]))
    return out


def _said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}
