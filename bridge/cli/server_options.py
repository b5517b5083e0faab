"""The options of commands that look at a server: its settings, read from where the server reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import click

from bridge.config import DEFAULT_ADDRESS, parse_address
from bridge.settings.key_file import read_key
from bridge.settings.sources import CONFIG_FILE, ENVIRONMENT, config_values, setting
from bridge.tunnel.files import KEY_FILE

F = TypeVar("F", bound=Callable[..., Any])
Decorator: TypeAlias = Callable[[Any], Any]


def _read_config_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Take from the server's TOML file what this command knows; the rest is the server's own."""
    known = {param.name for param in context.command.params}
    context.default_map = {name: value for name, value in config_values(path).items() if name in known}


def server_options(command: F) -> F:
    """Add --config, --addr, --certfile, --api-key and --api-key-file."""
    options: tuple[Decorator, ...] = (
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            callback=_read_config_file,
            is_eager=True,
            expose_value=False,
            envvar=ENVIRONMENT + "CONFIG",
            metavar="FILE",
            help=f"The server's TOML file.  [default: {CONFIG_FILE}]",
        ),
        setting("--addr", "Where the server listens.", default=DEFAULT_ADDRESS, metavar="[HOST]:PORT"),
        setting(
            "--certfile",
            "The certificate of a server that speaks HTTPS.",
            type=click.Path(exists=True, dir_okay=False, resolve_path=True),
            metavar="FILE",
        ),
        setting("--api-key", "The server's key; prefer the environment or a file.", metavar="KEY"),
        setting(
            "--api-key-file",
            f"File that holds the server's key.  [default: {KEY_FILE}, if there is one]",
            type=click.Path(path_type=Path),
            metavar="FILE",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def the_key(api_key: str | None, api_key_file: Path | None) -> str | None:
    """Return the key: as given, else of the file, else the one that `tunnel` has made, else None.

    Raises:
        click.ClickException: the file that was named cannot be read.
    """
    if api_key:
        return api_key
    if api_key_file is None and not KEY_FILE.is_file():
        return None
    try:
        return read_key(api_key_file or KEY_FILE)
    except ValueError as error:
        raise click.ClickException(f"the API key: {error}") from None


def the_address(addr: str) -> tuple[str, int]:
    """Return host and port.

    Raises:
        click.BadParameter: it is no address.
    """
    try:
        return parse_address(addr)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--addr") from None
