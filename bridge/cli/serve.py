"""`codex-openai-proxy serve`: settings from command line, environment and TOML file; then the server."""

from __future__ import annotations

import gc
import math
from pathlib import Path
from typing import Any, get_args

import click

from bridge.cli.settings import CONFIG_FILE, ENVIRONMENT, NO_SETTINGS, read_config_file, seconds, setting
from bridge.config import DEFAULT_ADDRESS, DEFAULTS, LogFormat, ReasoningDisplay, Settings, parse_address
from bridge.folders import state_folder
from bridge.key_file import read_key
from bridge.tunnel.files import KEY_FILE, make_key

STORE_FILE = state_folder() / "responses.sqlite3"
IN_MEMORY = "memory"
PACES = ("1", "4", "max")
LOG_LEVELS = ("error", "warning", "info", "debug")
SECRETS = frozenset({"api_key"})

SOURCES = {
    "COMMANDLINE": "command line",
    "ENVIRONMENT": "environment",
    "DEFAULT_MAP": "config file",
    "DEFAULT": "default",
}


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


def show_settings(context: click.Context) -> None:
    """Print every setting with its value, secrets masked, and where the value came from."""
    for param in context.command.params:
        if param.name in NO_SETTINGS:
            continue
        value = context.params[param.name]
        source = context.get_parameter_source(param.name)
        shown = "***" if value and param.name in SECRETS else "-" if value is None else value
        click.echo(f"{param.name:15} {shown!s:30} {SOURCES[source.name] if source else ''}")


@click.command(epilog="Example: codex-openai-proxy serve --addr 127.0.0.1:8000 --log-level debug")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    callback=read_config_file,
    is_eager=True,
    expose_value=False,
    envvar=ENVIRONMENT + "CONFIG",
    metavar="FILE",
    help=f"TOML file with any of these settings.  [default: {CONFIG_FILE}]",
)
@setting("--addr", "Address to listen on.", default=DEFAULT_ADDRESS, metavar="HOST:PORT")
@setting("--codex", "The codex executable.  [default: the one on PATH, else the installed wheel]", metavar="PATH")
@setting(
    "--codex-ca-file",
    "PEM file with the only certificates that codex is to trust. It loads the system's anew for each conversation, "
    "a third of its work or more. With a wrong one, or when the upstream gets another, nothing works any more.",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
)
@setting(
    "--api-key",
    "Key that every client must send; without it only this machine may connect. Other users of the machine can read a "
    "command line: prefer the environment or the file.",
    callback=refuse_empty,
    metavar="KEY",
)
@setting(
    "--api-key-file",
    "File that holds the key, readable by its owner alone.",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
)
@setting(
    "--tunnel",
    "Public address to run beside the server: a hostname that `tunnel` has set up, or `quick`. Makes a key if there is "
    "none.",
    metavar="HOSTNAME",
)
@setting("--cloudflared", "The cloudflared executable.  [default: the one on PATH]", metavar="PATH")
@setting(
    "--max-body",
    "Largest request body, in bytes.",
    default=DEFAULTS.max_body,
    type=click.IntRange(min=1024),
    metavar="BYTES",
)
@seconds("--start-patience", "How long a request waits for a codex that is starting.", DEFAULTS.start_patience)
@seconds("--head-patience", "How long a stream waits for its first event before it begins.", DEFAULTS.head_patience)
@seconds("--keep-alive", "Pause after which a silent stream gets a comment.", DEFAULTS.keep_alive)
@seconds("--idle-timeout", "How long the model may send nothing.", DEFAULTS.idle_timeout)
@setting(
    "--reasoning",
    "How the model's account of its reasoning is shown.",
    default=DEFAULTS.reasoning,
    type=click.Choice(get_args(ReasoningDisplay)),
)
@setting(
    "--threads",
    "How many threads wait for their conversation to go on.",
    default=DEFAULTS.threads,
    type=click.IntRange(min=0),
    metavar="N",
)
@setting(
    "--spares",
    "How many threads are started ahead of new conversations, for the models and tools used last.",
    default=DEFAULTS.spares,
    type=click.IntRange(min=0),
    metavar="N",
)
@seconds("--thread-age", "How long a thread waits, with or without a tool call open.", DEFAULTS.thread_age)
@setting(
    "--answers",
    "How many answers run at once; others wait for their turn.",
    default=DEFAULTS.answers,
    type=click.IntRange(min=1),
    metavar="N",
)
@seconds("--queue-patience", "How long an answer waits for its turn.", DEFAULTS.queue_patience)
@setting(
    "--store",
    "Where responses are stored, for `previous_response_id`: a file, or a Redis that several servers may share "
    f"(redis://HOST:PORT/0); `{IN_MEMORY}` keeps them until the server stops.  "
    "[default: responses.sqlite3 in the state folder]",
    metavar="FILE|URL",
)
@setting(
    "--store-size",
    "How large the store may become; the longest unused responses go first.",
    default=DEFAULTS.store_size,
    type=click.IntRange(min=1024),
    metavar="BYTES",
)
@seconds("--store-age", "How long a stored response is kept after it was last used.", DEFAULTS.store_age)
@seconds("--grace", "How long open answers may go on after SIGTERM or Ctrl-C.", DEFAULTS.grace)
@setting("--record", "Folder into which every conversation is recorded, redacted.", metavar="DIR")
@setting("--replay", "Folder of recorded conversations that are served in the place of Codex.", metavar="DIR")
@setting("--pace", "Speed of a replay; `max` leaves no pauses.", default="1", type=click.Choice(PACES))
@setting(
    "--demo",
    "Serve the recordings that come with the program if nobody is logged in to Codex.",
    default=DEFAULTS.demo,
    type=bool,
    metavar="BOOL",
)
@setting("--log-level", "How much to log.", default="info", type=click.Choice(LOG_LEVELS))
@setting("--log-format", "For people or for programs.", default="human", type=click.Choice(get_args(LogFormat)))
@setting("--log-requests", "Log the text of requests too.", default=DEFAULTS.log_requests, type=bool, metavar="BOOL")
@click.option("--print-config", is_flag=True, help="Show every setting and its source, then exit.")
@click.pass_context
def serve(
    context: click.Context,
    *,
    addr: str,
    api_key_file: Path | None,
    tunnel: str | None,
    cloudflared: str | None,
    store: str | None,
    log_level: str,
    log_format: LogFormat,
    pace: str,
    demo: bool,
    print_config: bool,
    **values: Any,
) -> None:
    """Serve the OpenAI API until Ctrl-C or SIGTERM.

    Each setting can also be given in the environment (CODEX_OPENAI_PROXY_ADDR for --addr) or in the TOML file (addr).
    The command line comes first, then the environment, then the file.
    """
    if print_config:
        show_settings(context)
        return
    if api_key_file is not None:
        values["api_key"] = key_from_file(api_key_file, values["api_key"])
    if tunnel and values["api_key"] is None:
        make_key()
        values["api_key"] = key_from_file(KEY_FILE, None)
    try:
        host, port = parse_address(addr)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--addr") from None
    file = None if store == IN_MEMORY else store or str(STORE_FILE)
    speed = math.inf if pace == "max" else float(pace)
    settings = Settings(host=host, port=port, store=file, pace=speed, **values)
    if settings.record is not None and settings.replay is not None:
        raise click.UsageError("--record and --replay exclude each other: only what codex says is worth recording.")
    # Help and completion do without the server. What its modules create stays: the collector need not look through it.
    gc.disable()
    from bridge.cli.serving import run  # noqa: PLC0415
    from bridge.logs import configure_logs  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    configure_logs(log_level, log_format)
    run(settings, tunnel, cloudflared, demo=demo)
