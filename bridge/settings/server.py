"""The settings of a server: each can come from command line, environment and TOML file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from bridge.config import DEFAULT_ADDRESS, DEFAULTS, LogFormat, ReasoningDisplay, Settings, parse_address, state_folder
from bridge.settings.key_file import read_key
from bridge.settings.sources import CONFIG_FILE, ENVIRONMENT, read_config_file, seconds, setting

F = TypeVar("F", bound=Callable[..., Any])

STORE_FILE = state_folder() / "responses.sqlite3"
IN_MEMORY = "memory"
PACES = ("1", "4", "max")
LOG_LEVELS = ("error", "warning", "info", "debug")

OF_SERVE = ("tunnel", "cloudflared", "demo", "log_level", "log_format")
"""What concerns the command `serve` and not the application that it serves."""


def refuse_empty(_: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """An empty key would look like protection and be none."""
    if value is not None and not value.strip():
        raise click.BadParameter("must not be empty; leave it out to admit this machine only", param=param)
    return value


def key_from_file(path: Path, given: str | None) -> str:
    """Read the key; one that was also given as it is would leave it open which of the two holds."""
    if given is not None:
        raise click.UsageError("the API key is given twice, by --api-key and by --api-key-file; leave one of them out")
    try:
        return read_key(path)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--api-key-file") from None


OPTIONS: Sequence[Callable[[Any], Any]] = (
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        callback=read_config_file,
        is_eager=True,
        expose_value=False,
        envvar=ENVIRONMENT + "CONFIG",
        metavar="FILE",
        help=f"TOML file with any of these settings.  [default: {CONFIG_FILE}]",
    ),
    setting(
        "--addr",
        "Address to listen on; without a HOST all of this machine, IPv4 and IPv6.",
        default=DEFAULT_ADDRESS,
        metavar="[HOST]:PORT",
    ),
    setting(
        "--certfile",
        "PEM file with a certificate and its chain: the server then speaks HTTPS, and HTTP/2 to clients that can.",
        type=click.Path(dir_okay=False, resolve_path=True),
        metavar="FILE",
    ),
    setting(
        "--keyfile",
        "PEM file with the key of that certificate, not encrypted.",
        type=click.Path(dir_okay=False, resolve_path=True),
        metavar="FILE",
    ),
    setting("--codex", "The codex executable.  [default: the one on PATH, else the installed wheel]", metavar="PATH"),
    setting(
        "--codex-ca-file",
        "PEM file with the only certificates that codex is to trust. It loads the system's anew for each conversation, "
        "a third of its work or more. With a wrong one, or when the upstream gets another, nothing works any more.",
        type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    ),
    setting(
        "--api-key",
        "Key that every client must send; without it only this machine may connect. Other users of the machine can "
        "read a command line: prefer the environment or the file.",
        callback=refuse_empty,
        metavar="KEY",
    ),
    setting(
        "--api-key-file",
        "File that holds the key, readable by its owner alone.",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
    ),
    setting(
        "--tunnel",
        "Public address to run beside the server: a hostname that `tunnel` has set up, or `quick`. Makes a key if "
        "there is none.",
        metavar="HOSTNAME",
    ),
    setting("--cloudflared", "The cloudflared executable.  [default: the one on PATH]", metavar="PATH"),
    setting(
        "--max-body",
        "Largest request body, in bytes.",
        default=DEFAULTS.max_body,
        type=click.IntRange(min=1024),
        metavar="BYTES",
    ),
    seconds("--start-patience", "How long a request waits for a codex that is starting.", DEFAULTS.start_patience),
    seconds("--head-patience", "How long a stream waits for its first event before it begins.", DEFAULTS.head_patience),
    seconds("--keep-alive", "Pause after which a silent stream gets a comment.", DEFAULTS.keep_alive),
    seconds("--idle-timeout", "How long the model may send nothing.", DEFAULTS.idle_timeout),
    setting(
        "--reasoning",
        "How the model's account of its reasoning is shown.",
        default=DEFAULTS.reasoning,
        type=click.Choice(get_args(ReasoningDisplay)),
    ),
    setting(
        "--threads",
        "How many threads wait for their conversation to go on.",
        default=DEFAULTS.threads,
        type=click.IntRange(min=0),
        metavar="N",
    ),
    setting(
        "--spares",
        "How many threads are started ahead of new conversations, for the models and tools used last.",
        default=DEFAULTS.spares,
        type=click.IntRange(min=0),
        metavar="N",
    ),
    seconds("--thread-age", "How long a thread waits, with or without a tool call open.", DEFAULTS.thread_age),
    setting(
        "--answers",
        "How many answers run at once; others wait for their turn.",
        default=DEFAULTS.answers,
        type=click.IntRange(min=1),
        metavar="N",
    ),
    seconds("--queue-patience", "How long an answer waits for its turn.", DEFAULTS.queue_patience),
    setting(
        "--store",
        "Where responses are stored, for `previous_response_id`: a file, or a Redis that several servers may share "
        f"(redis://HOST:PORT/0); `{IN_MEMORY}` keeps them until the server stops.  "
        "[default: responses.sqlite3 in the state folder]",
        metavar="FILE|URL",
    ),
    setting(
        "--store-size",
        "How large the store may become; the longest unused responses go first.",
        default=DEFAULTS.store_size,
        type=click.IntRange(min=1024),
        metavar="BYTES",
    ),
    seconds("--store-age", "How long a stored response is kept after it was last used.", DEFAULTS.store_age),
    seconds("--grace", "How long open answers may go on after SIGTERM or Ctrl-C.", DEFAULTS.grace),
    setting("--record", "Folder into which every conversation is recorded, redacted.", metavar="DIR"),
    setting("--replay", "Folder of recorded conversations that are served in the place of Codex.", metavar="DIR"),
    setting("--pace", "Speed of a replay; `max` leaves no pauses.", default="1", type=click.Choice(PACES)),
    setting(
        "--demo",
        "Serve the recordings that come with the program if nobody is logged in to Codex.",
        default=DEFAULTS.demo,
        type=bool,
        metavar="BOOL",
    ),
    setting("--log-level", "How much to log.", default="info", type=click.Choice(LOG_LEVELS)),
    setting("--log-format", "For people or for programs.", default="human", type=click.Choice(get_args(LogFormat))),
    setting(
        "--log-requests", "Log the text of requests too.", default=DEFAULTS.log_requests, type=bool, metavar="BOOL"
    ),
)


def server_settings(command: F) -> F:
    """Add every setting of a server to a command, and `--config`, the file that they may stand in."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def settings_of(values: Mapping[str, Any]) -> Settings:
    """Return the settings that the parsed options describe.

    Raises:
        click.ClickException: two of them exclude each other, or one is wrong.
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
        raise click.UsageError("--record and --replay exclude each other: only what codex says is worth recording.")
    file = None if store == IN_MEMORY else store or str(STORE_FILE)
    if rest["replay"] is not None:
        file = None  # recorded responses do not belong among the user's own
    return Settings(host=host, port=port, store=file, pace=math.inf if pace == "max" else float(pace), **rest)


def settings_from_environment() -> Settings:
    """Return the settings of a server that is started without arguments.

    Raises:
        click.ClickException: one of them is wrong.
    """
    command = server_settings(click.Command("serve"))
    return settings_of(command.make_context("serve", []).params)
