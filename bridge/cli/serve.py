"""`codex-openai-proxy serve`: settings from command line, environment and TOML file; then the server."""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Callable
from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import Any, TypeVar, get_args

import anyio
import click

from bridge import __version__
from bridge.cases import CaseError
from bridge.cli.cursor_values import show_values
from bridge.config import DEFAULT_ADDRESS, DEFAULTS, ReasoningDisplay, Settings, parse_address
from bridge.demo import nobody_is_logged_in, shipped_cases
from bridge.key_file import read_key
from bridge.logs import LogFormat, configure_logs
from bridge.server import Beside, listen
from bridge.server import serve as run_server
from bridge.stored import StoreError
from bridge.tunnel.cloudflared import TunnelError
from bridge.tunnel.files import KEY_FILE, make_key
from bridge.tunnel.public_address import public_address
from codex_rpc.errors import CodexError

F = TypeVar("F", bound=Callable[..., Any])

PROGRAM = "codex-openai-proxy"
ENVIRONMENT = "CODEX_OPENAI_PROXY_"
APP_FOLDER = Path(click.get_app_dir(PROGRAM))
CONFIG_FILE = APP_FOLDER / "config.toml"
STORE_FILE = APP_FOLDER / "responses.sqlite3"
IN_MEMORY = "memory"
PACES = ("1", "4", "max")
LOG_LEVELS = ("error", "warning", "info", "debug")
SECRETS = frozenset({"api_key"})
NO_SETTINGS = frozenset({"config", "print_config"})

DEMO = """
  DEMO: nobody is logged in to Codex, so the answers are recordings; only recorded requests have one.
  For live answers log in (`make login`, or `codex-openai-proxy login`) and start the server again.
"""

SOURCES = {
    "COMMANDLINE": "command line",
    "ENVIRONMENT": "environment",
    "DEFAULT_MAP": "config file",
    "DEFAULT": "default",
}


def setting(flag: str, help_text: str, **more: Any) -> Callable[[F], F]:
    """An option that can also come from the environment and from the TOML file, under the same name."""
    name = flag.removeprefix("--").replace("-", "_")
    shown = {"show_default": more.get("default") is not None}
    return click.option(flag, help=help_text, envvar=ENVIRONMENT + name.upper(), **shown, **more)


def seconds(flag: str, help_text: str, default: float) -> Callable[[F], F]:
    """A setting that is a time."""
    more = {"type": click.FloatRange(min=0.1), "default": default, "metavar": "SECONDS"}
    return setting(flag, help_text, **more)


def config_values(path: Path | None) -> dict[str, Any]:
    """Read the TOML file; one that was named must exist."""
    chosen = path or CONFIG_FILE
    if path is None and not chosen.is_file():
        return {}
    try:
        return tomllib.loads(chosen.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{chosen}: {error}") from error


def read_config_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Make the TOML file the defaults of all settings."""
    chosen, values = path or CONFIG_FILE, config_values(path)
    known = {param.name for param in context.command.params if param.name not in NO_SETTINGS}
    if unknown := sorted(set(values) - known):
        raise click.BadParameter(f"{chosen}: there is no setting {unknown[0]!r}; there are {', '.join(sorted(known))}")
    context.default_map = values


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
    "[default: responses.sqlite3 beside the settings]",
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
    configure_logs(log_level, log_format)
    try:
        host, port = parse_address(addr)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--addr") from None
    file = None if store == IN_MEMORY else store or str(STORE_FILE)
    speed = math.inf if pace == "max" else float(pace)
    settings = Settings(host=host, port=port, store=file, pace=speed, **values)
    if settings.record is not None and settings.replay is not None:
        raise click.UsageError("--record and --replay exclude each other: only what codex says is worth recording.")
    if demo and settings.record is settings.replay is None and anyio.run(nobody_is_logged_in, settings.codex):
        settings = replace(settings, replay=str(shipped_cases()), demo=True)
    if settings.replay is not None:
        settings = replace(settings, store=None)  # recorded responses do not belong among the user's own
    try:
        listener = listen(host, port)
    except OSError as error:
        reason = error.strerror or error
        raise click.ClickException(f"cannot listen on {addr}: {reason}. Choose another address with --addr.") from None
    announce = functools.partial(_announce, listener.getsockname(), settings)
    try:
        beside = _tunnel(tunnel, listener.getsockname()[1], cloudflared, settings.api_key) if tunnel else ()
        run = functools.partial(run_server, beside=beside)
        loop = {"use_uvloop": util.find_spec("uvloop") is not None}
        anyio.run(run, settings, listener, announce, backend_options=loop)
    except (CodexError, StoreError, CaseError, TunnelError) as error:
        listener.close()
        raise click.ClickException(str(error)) from None


def _tunnel(where: str, port: int, cloudflared: str | None, key: str | None) -> tuple[Beside, ...]:
    return (public_address(where, port, cloudflared, functools.partial(show_values, key=key)).run,)


def _announce(address: tuple[Any, ...], settings: Settings) -> None:
    host = "localhost" if address[0] in {"0.0.0.0", "::", "127.0.0.1"} else address[0]  # noqa: S104 - a comparison
    anyone = "only this machine may connect; set an API key to allow others"
    who = "clients need the API key" if settings.api_key else anyone
    click.echo(f"{PROGRAM} {__version__} listens on http://{host}:{address[1]}/v1 ({who})", err=True)
    if settings.demo:
        click.secho(DEMO, err=True, bold=True)
    elif settings.replay is not None:
        click.echo(f"It replays the recordings in {settings.replay}; no codex runs.", err=True)
    elif settings.record is not None:
        click.echo(f"It records every conversation in {settings.record}.", err=True)
