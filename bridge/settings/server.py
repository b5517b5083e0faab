"""The settings of a server; each can be set on the command line, in the environment and in the TOML file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import click

from bridge.config import (
    DEFAULT_ADDRESS,
    DEFAULTS,
    ActivityStyle,
    LogFormat,
    NameStyle,
    ReasoningDisplay,
    Settings,
    parse_address,
    parse_origin,
    settings_folder,
    state_folder,
)
from bridge.settings.agents import Agent, check_agents, check_exposure
from bridge.settings.key_file import read_key
from bridge.settings.sources import config_option, count, read_config_file, read_key_option, seconds, setting

F = TypeVar("F", bound=Callable[..., Any])

STORE_FILE = state_folder() / "responses.sqlite3"
KEYS_FILE = settings_folder() / "keys.toml"
IN_MEMORY = "memory"
PACES = ("1", "4", "max")
LOG_LEVELS = ("error", "warning", "info", "debug")

OF_SERVE = ("tunnel", "cloudflared", "demo", "log_level", "log_format")
"""Settings of the command `serve` that do not concern the application."""


def read_origins(_: click.Context, param: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    """Return the origins in the values, each of which may hold several, separated by commas or white space."""
    try:
        return tuple({parse_origin(one): None for value in values for one in re.split(r"[\s,]+", value) if one})
    except ValueError as error:
        raise click.BadParameter(str(error), param=param) from None


def key_from_file(path: Path, given: str | None) -> str:
    """Read the key from a file; it is an error if `given`, the key itself, is set too."""
    if given is not None:
        raise click.UsageError("the API key is given twice, by --api-key and by --api-key-file; omit one of them")
    try:
        return read_key(path)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--api-key-file") from None


class Aliases(click.ParamType[Mapping[str, str]]):
    """Model names and what they stand for: a table of the TOML file, or a text of the form `NAME=MODEL,…`."""

    name = "aliases"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Mapping[str, str]:
        """Return the mapping of names."""
        if isinstance(value, str):
            pairs = [one.partition("=") for one in value.split(",") if one.strip()]
            value = {name.strip(): target.strip() for name, _, target in pairs}
        if not isinstance(value, Mapping):
            self.fail("expected a table of names", param, ctx)
        table = cast("Mapping[str, object]", value)
        aliases = {name.strip(): target.strip() for name, target in table.items() if isinstance(target, str)}
        if len(aliases) < len(table) or not all((*aliases, *aliases.values())):
            self.fail("each alias must be a name that stands for a model's name", param, ctx)
        from bridge.codex.models import looping_alias  # noqa: PLC0415 - it loads the client of codex

        if (loop := looping_alias(aliases)) is not None:
            self.fail(f"the alias {loop!r} stands for itself", param, ctx)
        return aliases


OPTIONS: Sequence[Callable[[Any], Any]] = (
    config_option(read_config_file, "TOML file with any of these settings."),
    setting(
        "--addr",
        "Address to listen on; without HOST all addresses of this machine, IPv4 and IPv6.",
        default=DEFAULT_ADDRESS,
        metavar="[HOST]:PORT",
    ),
    setting(
        "--certfile",
        "PEM file with a certificate and its chain; the server then uses HTTPS, and HTTP/2 if the client does.",
        type=click.Path(dir_okay=False, resolve_path=True),
        metavar="FILE",
    ),
    setting(
        "--keyfile",
        "PEM file with the private key of that certificate, not encrypted.",
        type=click.Path(dir_okay=False, resolve_path=True),
        metavar="FILE",
    ),
    setting("--codex", "The codex executable.  [default: the one on PATH, else the installed wheel]", metavar="PATH"),
    setting(
        "--codex-ca-file",
        "PEM file with the only certificates that codex trusts. Without it codex loads the system's for each "
        "conversation, a third of its work or more. If the upstream's certificate does not match, all requests fail.",
        type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    ),
    setting(
        "--codex-unchecked",
        "Start Codex without checking that it adds nothing to the model's input. The check runs once for each version.",
        default=DEFAULTS.codex_unchecked,
        type=bool,
        metavar="BOOL",
    ),
    setting(
        "--api-key",
        "Key that every client must send; without it only this machine may connect. Other users of the machine can "
        "read command lines: prefer the environment or the file.",
        callback=read_key_option,
        metavar="KEY",
    ),
    setting(
        "--api-key-file",
        "File that contains the key; only its owner may have access to it.",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
    ),
    setting(
        "--keys-file",
        "TOML file of named keys, which the command `keys` changes; if it exists, every request needs a key.  "
        "[default: keys.toml in this program's folder]",
        type=click.Path(dir_okay=False, resolve_path=True),
        metavar="FILE",
    ),
    setting(
        "--allow-origin",
        "Web pages from this origin may use the server without a key, for example https://chat.example; `*` for all "
        "pages. Can be given several times, or as a list with commas.",
        multiple=True,
        callback=read_origins,
        metavar="ORIGIN",
    ),
    setting(
        "--tunnel",
        "Tunnel to run with the server: a hostname that `tunnel` has set up, or `quick`. Creates an API key if there "
        "is none.",
        metavar="HOSTNAME",
    ),
    setting("--cloudflared", "The cloudflared executable.  [default: the one on PATH]", metavar="PATH"),
    count("--max-body", "Largest request body, in bytes.", DEFAULTS.max_body, least=1024, metavar="BYTES"),
    seconds("--start-patience", "How long a request waits while codex starts.", DEFAULTS.start_patience),
    seconds("--head-patience", "How long a stream waits for its first event before it begins.", DEFAULTS.head_patience),
    seconds("--keep-alive", "Pause after which a silent stream gets a comment.", DEFAULTS.keep_alive),
    seconds(
        "--idle-timeout",
        "How long the model may send nothing, or the client may take nothing, before the answer fails.",
        DEFAULTS.idle_timeout,
    ),
    setting(
        "--reasoning",
        "How reasoning summaries are shown.",
        default=DEFAULTS.reasoning,
        type=click.Choice(get_args(ReasoningDisplay)),
    ),
    setting(
        "--model-names",
        "How `/models` lists names; reversed and plain ones are always accepted.",
        default=DEFAULTS.model_names,
        type=click.Choice(get_args(NameStyle)),
    ),
    setting(
        "--aliases",
        "Your own model names, as NAME=MODEL,…; in the TOML file, a table [aliases].",
        type=Aliases(),
        metavar="NAME=MODEL,…",
    ),
    count("--threads", "How many threads are kept for their conversation to continue.", DEFAULTS.threads),
    count(
        "--spares",
        "How many threads are started ahead of new conversations, for recently used models and tools.",
        DEFAULTS.spares,
    ),
    seconds("--thread-age", "How long an idle thread is kept, with or without an open tool call.", DEFAULTS.thread_age),
    count("--answers", "How many answers run at once; others wait for their turn.", DEFAULTS.answers, least=1),
    seconds("--queue-patience", "How long an answer waits for its turn before it is refused.", DEFAULTS.queue_patience),
    setting(
        "--store",
        "Where responses are stored, for `previous_response_id`: a file, or a Redis that several servers can share "
        f"(redis://HOST:PORT/0); `{IN_MEMORY}` keeps them until the server stops.  "
        "[default: responses.sqlite3 in the state folder]",
        metavar="FILE|URL",
    ),
    count(
        "--store-size",
        "Largest size of the store; the least recently used responses are deleted first.",
        DEFAULTS.store_size,
        least=1024,
        metavar="BYTES",
    ),
    seconds("--store-age", "How long a stored response is kept after its last use.", DEFAULTS.store_age),
    seconds("--usage-age", "How long the usage of a day is kept, in the same store.", DEFAULTS.usage_age),
    setting(
        "--no-websocket",
        "Refuse WebSockets, which makes clients of the Responses API use HTTP.",
        default=DEFAULTS.no_websocket,
        type=bool,
        metavar="BOOL",
    ),
    seconds("--grace", "How long open answers may continue after SIGTERM or Ctrl-C.", DEFAULTS.grace),
    setting("--record", "Folder in which every conversation is recorded, with secrets redacted.", metavar="DIR"),
    setting("--replay", "Folder of recorded conversations to serve instead of running Codex.", metavar="DIR"),
    setting("--pace", "Speed of a replay; `max` removes all pauses.", default="1", type=click.Choice(PACES)),
    setting(
        "--demo",
        "Serve the recordings included with the program if Codex is not logged in.",
        default=DEFAULTS.demo,
        type=bool,
        metavar="BOOL",
    ),
    setting(
        "--agent",
        "Folder in which Codex works as an agent, offered as the model `codex-agent-NAME`. Requires an API key. Can be "
        "given several times; in the TOML file, a table [agents.NAME] with `folder`.",
        name="agents",
        type=Agent(),
        multiple=True,
        metavar="NAME=FOLDER",
    ),
    setting(
        "--agent-write",
        "Agent that may change the files in its folder. Can be given several times.",
        multiple=True,
        metavar="NAME",
    ),
    setting(
        "--agent-public",
        "Offer the agents through `--tunnel` too: who has the API key can then use them from anywhere.",
        default=False,
        type=bool,
        metavar="BOOL",
    ),
    setting(
        "--agent-activity",
        "How a chat completion shows what an agent does: as reasoning, as text before the answer, as cards of Open "
        "WebUI, or not at all. Cursor gets `text` instead of `reasoning_content`.",
        default=DEFAULTS.agent_activity,
        type=click.Choice(get_args(ActivityStyle)),
    ),
    seconds("--agent-time", "How long an agent may work on one answer.", DEFAULTS.agent_time),
    seconds("--agent-idle", "How long the Codex of the agents runs without a request.", DEFAULTS.agent_idle),
    setting("--log-level", "How much to log.", default="info", type=click.Choice(LOG_LEVELS)),
    setting(
        "--log-format",
        "Format of the log.",
        default="human",
        type=click.Choice(get_args(LogFormat)),
    ),
    setting("--log-requests", "Log request bodies too.", default=DEFAULTS.log_requests, type=bool, metavar="BOOL"),
)


def server_settings(command: F) -> F:
    """Add all settings of a server to a command, and `--config` for the file that may contain them."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def settings_of(values: Mapping[str, Any]) -> Settings:
    """Return the settings of the parsed options.

    Raises:
        click.ClickException: two options exclude each other, or one is invalid.
    """
    rest = {name: value for name, value in values.items() if name not in OF_SERVE}
    addr, key_file, store, pace = (rest.pop(name) for name in ("addr", "api_key_file", "store", "pace"))
    if key_file is not None:
        rest["api_key"] = key_from_file(key_file, rest["api_key"])
    try:
        host, port = parse_address(addr)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--addr") from None
    if rest["record"] is not None and rest["replay"] is not None:
        raise click.UsageError("--record and --replay exclude each other: a replay has nothing new to record.")
    rest["aliases"] = rest["aliases"] or {}
    rest["agents"] = check_agents(rest["agents"], rest.pop("agent_write"))
    check_exposure(rest["agents"], rest["api_key"], values["tunnel"], public=rest.pop("agent_public"))
    file = None if store == IN_MEMORY else store or str(STORE_FILE)
    if rest["replay"] is None:
        rest["keys_file"] = rest["keys_file"] or str(KEYS_FILE)
    else:
        file = None  # do not mix recorded responses with the user's own
        rest["agents"] = ()  # no codex runs
    return Settings(host=host, port=port, store=file, pace=math.inf if pace == "max" else float(pace), **rest)


def settings_from_environment() -> Settings:
    """Return the settings of a server that is started without arguments.

    Raises:
        click.ClickException: a setting is invalid.
    """
    command = server_settings(click.Command("serve"))
    return settings_of(command.make_context("serve", []).params)
