from __future__ import annotations

from pathlib import Path

import click
import pytest

from bridge.config import AgentSettings, Settings
from bridge.settings.server import server_settings, settings_of


@pytest.fixture(autouse=True)
def private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home, a home of codex and this program's folders, all of them empty."""
    for name in ("user/.codex", "user/.config/codex-openai-proxy", "user/code"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "user" / ".codex"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user" / ".config"))


def settings(*arguments: str) -> Settings:
    command = server_settings(click.Command("serve"))
    return settings_of(command.make_context("serve", list(arguments)).params)


def agents_of(tmp_path: Path, tables: str, *arguments: str) -> tuple[AgentSettings, ...]:
    file = tmp_path / "config.toml"
    file.write_text(f'api_key = "k"\n{tables}')
    return settings("--config", str(file), *arguments).agents


def test_an_agent_only_reads_its_folder_by_default(tmp_path: Path) -> None:
    [agent] = settings("--agent", "Site=~/code", "--api-key", "k").agents
    assert agent == AgentSettings("site", str(tmp_path / "user" / "code"))
    assert [agent.write, agent.git, agent.network, agent.read] == [False, False, False, ()]


def test_agents_are_tables_of_the_settings_file(tmp_path: Path) -> None:
    folder, other = tmp_path / "user" / "code", tmp_path / "other"
    other.mkdir()
    tables = f"""
        [agents.site]
        folder = "{folder}"
        write = true
        git = true
        read = ["{other}"]
        network = true
        ask = "client"
        model = "gpt-6"
        mcp = false
        [agents.docs]
        folder = "{other}"
        read = "machine"
    """
    site = AgentSettings("site", str(folder), True, True, (str(other),), True, "gpt-6", False, "client")
    docs = AgentSettings("docs", str(other), read=("/",))
    assert agents_of(tmp_path, tables) == (site, docs)


def test_a_link_to_a_folder_stands_for_the_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "user" / "code")
    [agent] = settings("--agent", f"site={tmp_path}/link", "--api-key", "k").agents
    assert agent.folder == str(tmp_path / "user" / "code")


def test_an_agent_may_write_by_a_flag_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    arguments = "--agent", f"a={tmp_path}/a", "--agent", f"b={tmp_path}/b", "--agent-write", "B", "--api-key", "k"
    assert [agent.write for agent in settings(*arguments).agents] == [False, True]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("write = true", "folder ="),
        ('folder = "~/code"\nask = "always"', '"never", "client" or "auto"'),
        ('folder = "~/code"\nread = "all"', '"workspace", "machine", or a list'),
        ('folder = "~/code"\nread = ["/nowhere"]', "there is no folder /nowhere"),
        ('folder = "~/code"\ngit = true', "needs `write = true`"),
        ('folder = "~/code"\nsandbox = "off"', "unknown field `sandbox`"),
        ('folder = "~/nowhere"', "there is no folder ~/nowhere; create it"),
        ('folder = "/"', "contains your home folder"),
        ('folder = "~"', "contains your home folder"),
        ('folder = "~/.."', "contains your home folder"),
        ('folder = "~/.codex"', "contains Codex's own folder"),
        ('folder = "~/.config"', "contains this program's settings"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path, table: str, reason: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        agents_of(tmp_path, f"[agents.site]\n{table}")
    assert "'site'" in caught.value.message
    assert reason in caught.value.message


def test_a_folder_inside_a_private_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "user" / ".codex" / "sessions").mkdir()
    with pytest.raises(click.BadParameter, match="is inside Codex's own folder"):
        settings("--agent", "site=~/.codex/sessions", "--api-key", "k")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--agent", "site"), "use NAME=FOLDER"),
        (("--agent", "=~/code"), "cannot be the name of an agent"),
        (("--agent", "a b=~/code"), "cannot be the name of an agent"),
        (("--agent", "a=~/code", "--agent", "A=~/code"), "two agents named 'a'"),
        (("--agent", "a=~/code", "--agent-write", "b"), "there is no agent 'b'; the agents are: a"),
        (("--agent-write", "b"), "the agents are: none"),
    ],
)
def test_flags_that_name_no_agent_are_refused(arguments: tuple[str, ...], reason: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        settings(*arguments, "--api-key", "k")
    assert reason in caught.value.message


def test_agents_need_a_key_and_a_setting_for_the_tunnel(tmp_path: Path) -> None:
    agent = "--agent", "site=~/code"
    with pytest.raises(click.UsageError, match="agents require an API key, even on this machine"):
        settings(*agent)
    with pytest.raises(click.UsageError, match="--agent-public true"):
        settings(*agent, "--api-key", "k", "--tunnel", "quick")
    assert settings(*agent, "--api-key", "k", "--tunnel", "quick", "--agent-public", "true").agents
    assert settings(*agent, "--api-key", "k", "--replay", str(tmp_path)).agents == ()


def test_settings_with_agents_and_without_a_key_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="key"):
        Settings(agents=(AgentSettings("site", "/srv/site"),))
