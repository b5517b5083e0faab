"""Options of commands that talk to a server: its settings, read from the same sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import click

from bridge.config import DEFAULT_ADDRESS, parse_address
from bridge.settings.key_file import read_key
from bridge.settings.server import KEYS_FILE
from bridge.settings.sources import config_option, config_values, read_key_option, setting
from bridge.tunnel.files import KEY_FILE

CONFIG = f"{__name__}.config"
"""Where the context of a command keeps the path of the TOML file that was named, as an absolute path."""

F = TypeVar("F", bound=Callable[..., Any])
Decorator: TypeAlias = Callable[[Any], Any]


def _read_config_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Read this command's settings from the server's TOML file; ignore the others."""
    if path:
        context.meta[CONFIG] = path.absolute()
    known = {param.name for param in context.command.params}
    context.default_map = {name: value for name, value in config_values(path).items() if name in known}


def server_file_option(command: F) -> F:
    """Add --config."""
    return config_option(_read_config_file, "The server's TOML file.")(command)


keys_file_option = setting(
    "--keys-file",
    f"The file of the named keys.  [default: {KEYS_FILE}]",
    type=click.Path(path_type=Path, dir_okay=False, resolve_path=True),
    metavar="FILE",
)


def server_options(command: F) -> F:
    """Add --config, --addr, --certfile, --api-key and --api-key-file."""
    options: tuple[Decorator, ...] = (
        server_file_option,
        setting("--addr", "Where the server listens.", default=DEFAULT_ADDRESS, metavar="[HOST]:PORT"),
        setting(
            "--certfile",
            "The certificate of a server that speaks HTTPS.",
            type=click.Path(exists=True, dir_okay=False, resolve_path=True),
            metavar="FILE",
        ),
        setting(
            "--api-key",
            "The server's key; prefer the environment or a file.",
            callback=read_key_option,
            metavar="KEY",
        ),
        setting(
            "--api-key-file",
            f"File that holds the server's key.  [default: {KEY_FILE}, if it exists]",
            type=click.Path(path_type=Path),
            metavar="FILE",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def the_key(api_key: str | None, api_key_file: Path | None) -> str | None:
    """Return the key: the given one, else the file's, else the one that `tunnel` created, else None.

    Raises:
        click.ClickException: the named file cannot be read.
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
    """Parse `[HOST]:PORT`; return host and port.

    Raises:
        click.BadParameter: the text is not an address.
    """
    try:
        return parse_address(addr)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--addr") from None
