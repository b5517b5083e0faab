"""`codex-openai-proxy serve`: reads the settings from command line, environment and TOML file; runs the server."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any, cast

import click

from bridge.settings.agents import AgentTable
from bridge.settings.server import key_from_file, server_settings, settings_of
from bridge.settings.sources import NO_SETTINGS
from bridge.tunnel.files import KEY_FILE, make_key

SECRETS = frozenset({"api_key"})

SOURCES = {
    "COMMANDLINE": "command line",
    "ENVIRONMENT": "environment",
    "DEFAULT_MAP": "config file",
    "DEFAULT": "default",
}


def show_settings(context: click.Context) -> None:
    """Print every setting with its value (secrets masked) and the source of the value."""
    for param in context.command.params:
        if param.name in NO_SETTINGS:
            continue
        value: object = context.params[param.name]
        source = context.get_parameter_source(param.name)
        if isinstance(value, Mapping):
            value = tuple(f"{name}={target}" for name, target in cast("Mapping[str, str]", value).items())
        value = ", ".join(map(_shown, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else value
        shown = "***" if value and param.name in SECRETS else "-" if value in {None, ""} else value
        click.echo(f"{param.name:15} {shown!s:30} {SOURCES[source.name] if source else ''}")


def _shown(value: object) -> str:
    match value:
        case (str(name), AgentTable(folder=folder)):
            return f"{name}={folder}"
        case _:
            return str(value)


@click.command(epilog="Example: codex-openai-proxy serve --addr 127.0.0.1:8000 --log-level debug")
@server_settings
@click.option("--print-config", is_flag=True, help="Show every setting and its source, then exit.")
@click.pass_context
def serve(context: click.Context, *, print_config: bool, **values: Any) -> None:
    """Serve the OpenAI API until Ctrl-C or SIGTERM.

    Each setting can also be given in the environment (CODEX_OPENAI_PROXY_ADDR for --addr) or in the TOML file (addr).
    The command line comes first, then the environment, then the file.
    """
    if print_config:
        show_settings(context)
        return
    if values["tunnel"] and values["api_key"] is values["api_key_file"] is None:
        make_key()
        values["api_key"] = key_from_file(KEY_FILE, None)
    settings = settings_of(values)
    # Help and completion need no server. Its modules are never freed, so no garbage collection runs while they load.
    gc.disable()
    from bridge.cli.serving import run  # noqa: PLC0415
    from bridge.telemetry.logs import configure_logs  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    configure_logs(values["log_level"], values["log_format"])
    run(settings, values["tunnel"], values["cloudflared"], demo=values["demo"])
