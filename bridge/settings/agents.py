"""Reads and checks the settings of agents: folders that exist, that hold nothing of the user's secrets, and a key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, cast

import click
from msgspec import Struct, ValidationError, convert
from msgspec.structs import replace

from bridge.codex.home import real_home
from bridge.config import AgentSettings, Ask, settings_folder, state_folder

HINT = "--agent"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")

Read: TypeAlias = Literal["workspace", "machine"] | list[str]


class AgentTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A table [agents.NAME] of the TOML file."""

    folder: str
    write: bool = False
    git: bool = False
    read: Read = "workspace"
    network: bool = False
    ask: Ask = "never"
    model: str | None = None
    mcp: bool = True


class Agent(click.ParamType[tuple[str, AgentTable]]):
    """An agent: `NAME=FOLDER`, or a name and a table of the TOML file."""

    name = "agent"
    envvar_list_splitter = os.pathsep

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, AgentTable]:
        """Return the name and the table."""
        if isinstance(value, str):
            name, equals, folder = value.partition("=")
            if not equals or not folder.strip():
                self.fail(f"{value!r} names no folder; use NAME=FOLDER, for example site=~/code/site", param, ctx)
            table: object = {"folder": folder.strip()}
        else:
            name, table = cast("tuple[str, object]", value)
        name = name.strip().lower()
        if not _NAME.fullmatch(name):
            self.fail(
                f"{name!r} cannot be the name of an agent; use up to 40 letters, digits, dots and dashes", param, ctx
            )
        if isinstance(table, AgentTable):
            return name, table
        try:
            return name, convert(table, AgentTable)
        except ValidationError as error:
            self.fail(f"the agent {name!r}: {error}{_ABOUT.get(_field(error), '')}", param, ctx)


_ABOUT: Mapping[str, str] = {
    "ask": '; use "never", "client" or "auto"',
    "read": '; use "workspace", "machine", or a list of further folders',
    "folder": '; write folder = "/path/of/the/folder"',
}


def _field(error: ValidationError) -> str:
    """Return the setting that an error is about."""
    found = re.search(r"(?:`\$\.|required field `)(\w+)", str(error))
    return found[1] if found else ""


def check_agents(
    tables: Iterable[tuple[str, AgentTable]], may_write: Sequence[str], environ: Mapping[str, str] = os.environ
) -> tuple[AgentSettings, ...]:
    """Return the settings of the agents; those named in `may_write` may change files.

    Raises:
        click.BadParameter: a folder does not exist or must not be an agent's; a name is used twice or unknown.
    """
    agents: dict[str, AgentSettings] = {}
    for name, table in tables:
        if name in agents:
            raise click.BadParameter(f"there are two agents named {name!r}; rename one of them", param_hint=HINT)
        agents[name] = _checked(name, table, environ)
    for one in may_write:
        name = one.strip().lower()
        if name not in agents:
            known = ", ".join(agents) or "none"
            message = f"there is no agent {one!r}; the agents are: {known}"
            raise click.BadParameter(message, param_hint="--agent-write")
        agents[name] = replace(agents[name], write=True)
    for agent in agents.values():
        if agent.git and not agent.write:
            message = f"the agent {agent.name!r} has `git = true`, which needs `write = true` too"
            raise click.BadParameter(message, param_hint=HINT)
    return tuple(agents.values())


def check_exposure(agents: Sequence[AgentSettings], api_key: str | None, tunnel: str | None, *, public: bool) -> None:
    """Refuse agents that the wrong people could use: they need a key, and a setting before a tunnel offers them.

    Raises:
        click.UsageError: the key or the setting is missing; the message says how to add it.
    """
    if agents and not api_key:
        raise click.UsageError(
            "agents require an API key, even on this machine: other users and programs could use them otherwise. Set "
            "CODEX_OPENAI_PROXY_API_KEY, or write a key to a file and name it with --api-key-file."
        )
    if agents and tunnel and not public:
        raise click.UsageError(
            "with --tunnel, anyone who has the API key could use the agents from the internet. To allow that, add "
            "--agent-public true; otherwise start a second server for the agents."
        )


def _checked(name: str, table: AgentTable, environ: Mapping[str, str]) -> AgentSettings:
    folder = _real(name, table.folder)
    for what, path, also_inside in _private_folders(environ):
        if folder == path or folder in path.parents:
            raise _refused(name, f"its folder {folder} contains {what} ({path}); name a folder with less in it")
        if also_inside and path in folder.parents:
            raise _refused(name, f"its folder {folder} is inside {what} ({path}); name a folder of your own work")
    match table.read:
        case "workspace":
            read: tuple[str, ...] = ()
        case "machine":
            read = ("/",)
        case folders:
            read = tuple(str(_real(name, one)) for one in folders)
    return AgentSettings(
        name, str(folder), table.write, table.git, read, table.network, table.model, table.mcp, table.ask
    )


def _real(name: str, folder: str) -> Path:
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise _refused(name, f"there is no folder {folder}; create it or correct the path")
    return path.resolve()


def _private_folders(environ: Mapping[str, str]) -> list[tuple[str, Path, bool]]:
    """Return what each folder is, its real path, and whether an agent's folder must not be inside it."""
    named: list[tuple[str, Path, bool]] = [
        ("your home folder", Path.home(), False),
        ("Codex's own folder with your login", real_home(environ), True),
        ("this program's settings", settings_folder(), True),
        ("this program's data", state_folder(), True),
    ]
    return [(what, path.resolve(), also_inside) for what, path, also_inside in named]


def _refused(name: str, why: str) -> click.BadParameter:
    return click.BadParameter(f"the agent {name!r}: {why}", param_hint=HINT)
