"""Defines settings as options that can also be set in the environment and in the server's TOML file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bridge.config import settings_folder
from bridge.settings.key_file import checked_key

F = TypeVar("F", bound=Callable[..., Any])

ENVIRONMENT = "CODEX_OPENAI_PROXY_"
CONFIG_FILE = settings_folder() / "config.toml"
NO_SETTINGS = frozenset({"config", "print_config"})
"""Options of `serve` that select or print the settings and are not settings themselves."""


def config_option(callback: Callable[[click.Context, click.Parameter, Path | None], None], help_text: str) -> Any:
    """Return the option `--config`, whose file `callback` reads before the other options are parsed."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        callback=callback,
        is_eager=True,
        expose_value=False,
        envvar=ENVIRONMENT + "CONFIG",
        metavar="FILE",
        help=f"{help_text}  [default: {CONFIG_FILE}]",
    )


def setting(flag: str, help_text: str, *, name: str = "", **more: Any) -> Callable[[F], F]:
    """Return an option that can also be set in the environment and in the TOML file, under the same name.

    `name` is for an option whose name there is not that of the flag.
    """
    name = name or flag.removeprefix("--").replace("-", "_")
    shown = {"show_default": more.get("default") is not None}
    return click.option(flag, name, help=help_text, envvar=ENVIRONMENT + name.upper(), **shown, **more)


def seconds(flag: str, help_text: str, default: float) -> Callable[[F], F]:
    """Return a setting that is a duration in seconds."""
    return setting(flag, help_text, type=click.FloatRange(min=0.1), default=default, metavar="SECONDS")


def count(flag: str, help_text: str, default: int, least: int = 0, metavar: str = "N") -> Callable[[F], F]:
    """Return a setting that is a whole number, at least `least`."""
    return setting(flag, help_text, type=click.IntRange(min=least), default=default, metavar=metavar)


def read_key_option(_: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return the API key of an option; a key that cannot be used is refused."""
    try:
        return None if value is None else checked_key(value)
    except ValueError as error:
        raise click.BadParameter(str(error), param=param) from None


def config_values(path: Path | None) -> dict[str, Any]:
    """Read the TOML file; return {} if `path` is None and the default file does not exist.

    Raises:
        click.BadParameter: the file cannot be read or is not valid TOML.
    """
    chosen = path or CONFIG_FILE
    if path is None and not chosen.is_file():
        return {}
    import tomllib  # noqa: PLC0415 - most users have no such file

    try:
        return tomllib.loads(chosen.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{chosen}: {error}") from error


def read_config_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Use the values of the TOML file as defaults of all settings."""
    chosen, values = path or CONFIG_FILE, config_values(path)
    names = {param.name for param in context.command.params if param.name not in NO_SETTINGS}
    if unknown := sorted(set(values) - names):
        raise click.BadParameter(
            f"{chosen}: unknown setting {unknown[0]!r}; the settings are {', '.join(sorted(names))}"
        )
    for param in context.command.params:
        if isinstance(param, click.Option) and param.multiple and isinstance(one := values.get(param.name or ""), str):
            values[param.name or ""] = [one]  # otherwise each character would be a value
        if isinstance(param, click.Option) and param.multiple and isinstance(values.get(param.name or ""), dict):
            table: dict[str, Any] = values[param.name or ""]
            values[param.name or ""] = [*table.items()]
    context.default_map = values
