"""`codex-openai-proxy service`: lets the system run the server, and shows how it is."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.table import Table
from rich.text import Text

from bridge.cli.questions import NoServer, ask, ask_for_usage
from bridge.cli.server_options import CONFIG, server_options, the_address, the_key
from bridge.cli.status import status_parts
from bridge.cli.terminal import show, sign
from bridge.doctor.subject import Subject
from bridge.service.definitions import Definition
from bridge.service.interface import Service, State
from bridge.service.programs import ServiceError
from bridge.service.system import search_path, this_program, this_service
from bridge.settings.sources import CONFIG_FILE
from bridge.tunnel.errors import TunnelError
from bridge.tunnel.public_address import QUICK, check_hostname

_PATIENCE = 30.0
"""Seconds in which a started server has to answer; codex need not be up for that."""


@contextmanager
def _refusals() -> Generator[None]:
    try:
        yield
    except (ServiceError, TunnelError, OSError) as error:
        raise click.ClickException(f"{str(error).rstrip('.')}.") from None


@click.group(
    epilog="""\b
Examples:
  codex-openai-proxy service install
  codex-openai-proxy service install --tunnel codex.example.com
  codex-openai-proxy service status
  codex-openai-proxy service logs --follow"""
)
def service() -> None:
    """Let the system run the server: install, uninstall, start, stop, status, logs.

    A systemd user unit on Linux, a launchd agent on macOS, a scheduled task on Windows. The service runs as you, with
    the settings of the TOML file; it does not get the variables of your shell.
    """


@service.command()
@server_options
@click.option("--tunnel", help="Also run this tunnel: a hostname that is set up, or `quick`.", metavar="HOSTNAME|quick")
@click.pass_context
def install(
    context: click.Context,
    *,
    addr: str,
    certfile: str | None,
    api_key: str | None,
    api_key_file: Path | None,
    tunnel: str | None,
) -> None:
    """Install the service, start it and wait until the server answers.

    Repeat it to change the options, or after an update of the program. The service starts again when it fails, and when
    you log in (on Linux: when the system starts). It keeps the values of --tunnel, --addr, --api-key-file and --config;
    all other settings belong into the TOML file.

    Exit status: 0 success, 1 failure, 2 the command line is wrong.
    """
    del api_key
    given = {name for name in context.params if _is_given(context, name)}
    if lost := given & {"api_key", "certfile"}:
        name = f"--{min(lost).replace('_', '-')}"
        raise click.UsageError(f"{name} does not reach the service from here: set it in {CONFIG_FILE}")
    host, port = the_address(addr)
    subject = Subject(host=host, port=port, certfile=certfile)
    program = this_program()
    more = ["--config", str(context.meta[CONFIG])] if CONFIG in context.meta else []
    more += ["--addr", addr] if "addr" in given else []
    more += ["--api-key-file", str(api_key_file.absolute())] if api_key_file and "api_key_file" in given else []
    more += ["--tunnel", tunnel] if tunnel else []
    with _refusals():
        if tunnel and tunnel != QUICK:
            check_hostname(tunnel, port, secure=certfile is not None)
        system = this_service()
        if not system.state().running:
            _refuse_other_server(subject)
        notes = system.install(Definition((*program, "serve", *more), search_path(program[0])))
        show(sign("ok") + f" {system.file} is installed and started.", *notes)
        settings = context.meta.get(CONFIG, CONFIG_FILE)
        click.echo(f"Its settings are in {settings}. See how it is: codex-openai-proxy service status")
        _wait_for_the_server(system, subject)


def _installed_service() -> Service:
    system = this_service()
    if not system.state().installed:
        raise ServiceError("the service is not installed: codex-openai-proxy service install")
    return system


def _is_given(context: click.Context, name: str) -> bool:
    """Return whether an option comes from the command line or the environment, neither of which the service has."""
    source = context.get_parameter_source(name)
    return source in {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}


def _refuse_other_server(subject: Subject) -> None:
    try:
        ask(subject, "/healthz")
    except NoServer:
        return
    raise ServiceError(f"another program, perhaps `serve` in a terminal, listens on {subject.shown}; stop it first")


def _wait_for_the_server(system: Service, subject: Subject) -> None:
    """Return when the started server answers, so that a command that follows reaches it."""
    give_up = time.monotonic() + _PATIENCE
    while time.monotonic() < give_up:
        try:
            ask(subject, "/healthz")
        except NoServer:
            time.sleep(0.1)
        except click.ClickException:
            return  # a refusal is an answer as well
        else:
            return
    raise ServiceError(
        f"the service is {system.state().detail}, but after {_PATIENCE:.0f} seconds no server answers at "
        f"{subject.shown}. See why: codex-openai-proxy service logs"
    )


@service.command()
def uninstall() -> None:
    """Stop the service and remove it.

    Settings, keys and stored responses are kept.

    Exit status: 0 it is not installed now, 1 failure.
    """
    with _refusals():
        system = this_service()
        system.uninstall()
        show(sign("ok") + f" The service is not installed; {system.file} does not exist.")


@service.command()
@server_options
def start(*, addr: str, certfile: str | None, api_key: str | None, api_key_file: Path | None) -> None:
    """Start the service and wait until the server answers.

    Exit status: 0 it answers, 1 failure.
    """
    del api_key, api_key_file
    host, port = the_address(addr)
    with _refusals():
        system = _installed_service()
        system.start()
        _wait_for_the_server(system, Subject(host=host, port=port, certfile=certfile))
        show(sign("ok") + " The service is started.")


@service.command()
def stop() -> None:
    """Stop the service.

    It starts again when you log in (on Linux: when the system starts).

    Exit status: 0 it is stopped, 1 failure.
    """
    with _refusals():
        _installed_service().stop()
        show(sign("ok") + " The service is stopped.")


@service.command()
@server_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.pass_context
def status(
    context: click.Context,
    *,
    addr: str,
    certfile: str | None,
    api_key: str | None,
    api_key_file: Path | None,
    as_json: bool,
) -> None:
    """Show the state of the service and its server.

    That is whether it runs and since when, its version, and what `codex-openai-proxy status` shows.

    Exit status: 0 it runs and the server answers, 1 otherwise.
    """
    host, port = the_address(addr)
    subject = Subject(host=host, port=port, api_key=the_key(api_key, api_key_file), certfile=certfile)
    with _refusals():
        system = this_service()
        state = system.state()
    usage = None
    reason = f"No server answers at {subject.shown}."
    if state.installed:
        reason += " See why: codex-openai-proxy service logs"
    try:
        usage = ask_for_usage(subject)
    except NoServer:
        pass
    except click.ClickException as error:
        reason = error.message
    if as_json:
        click.echo(json.dumps({**_fields(state), "version": usage and usage["version"], "server": usage}, indent=2))
    else:
        show(_table(state, str(system.file), usage))
        show(*(status_parts(usage, time.time()) if usage else [reason]))
    context.exit(0 if state.running and usage else 1)


def _fields(state: State) -> dict[str, Any]:
    return {name: getattr(state, name) for name in ("installed", "running", "detail", "since", "pid")}


def _table(state: State, file: str, usage: Any) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=8)
    since = f", since {state.since}" if state.since else ""
    process = f", process {state.pid}" if state.pid else ""
    mark = sign("ok" if state.running else "fail")
    table.add_row("Service", Text.assemble(mark, f" {state.detail}{since}{process}"))
    table.add_row("File", file if state.installed else "not installed: codex-openai-proxy service install")
    if usage:
        table.add_row("Version", usage["version"])
    return table


@service.command()
@click.option("-f", "--follow", is_flag=True, help="Wait for further lines until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=1), default=50, show_default=True, metavar="N")
@click.pass_context
def logs(context: click.Context, *, follow: bool, lines: int) -> None:
    """Show the last lines of the service's log.

    Exit status: 0 success, 1 failure.
    """
    with _refusals():
        command = this_service().logs(lines, follow=follow)
        try:
            context.exit(subprocess.run(command, check=False).returncode)
        except KeyboardInterrupt:
            context.exit(0)
