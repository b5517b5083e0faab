"""`codex-openai-proxy keys`: adds, lists and revokes named keys, in the file that a running server reads again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.table import Table

from bridge.cli.server_options import keys_file_option, server_file_option
from bridge.cli.terminal import show
from bridge.keys.changes import add_key, revoke_key
from bridge.keys.file import OWN_KEY, KeysError, read_keys
from bridge.keys.key import MOST_TOKENS, NamedKey, check_name
from bridge.settings.server import KEYS_FILE
from bridge.tunnel.files import KEY_FILE, make_key

F = TypeVar("F", bound=Callable[..., Any])

DURATION = re.compile(r"(\d{1,5})([hdw])")
HOURS = {"h": 1, "d": 24, "w": 7 * 24}


class Expiry(click.ParamType[datetime]):
    """A duration from now, such as `30d`, or a date."""

    name = "expiry"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time at which the key ends."""
        now = datetime.now(UTC).replace(microsecond=0)
        if found := DURATION.fullmatch(str(value)):
            ends = now + timedelta(hours=int(found[1]) * HOURS[found[2]])
        else:
            try:
                ends = datetime.fromisoformat(str(value)).astimezone(UTC)
            except (ValueError, OverflowError):
                self.fail(f"{value!r} is neither a duration, such as 12h, 30d or 8w, nor a date", param, ctx)
        if ends <= now:
            self.fail(f"{value!r} is not in the future", param, ctx)
        return ends


class Names(click.ParamType[tuple[str, ...]]):
    """Names of models or agents, separated by commas."""

    name = "names"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the names."""
        names = tuple(name for one in str(value).split(",") if (name := one.strip()))
        if not names or not all(name.isprintable() for name in names):
            self.fail("expected names, separated by commas", param, ctx)
        return names


def _checked_name(context: click.Context, param: click.Parameter, name: str) -> str:
    del context
    try:
        check_name(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param=param) from None
    return name


def keys_options(command: F) -> F:
    """Add --config and --keys-file."""
    return server_file_option(keys_file_option(command))


@click.group()
def keys() -> None:
    """Give clients keys of their own, with limits, and revoke them.

    A running server notices each change within a second. As long as the file of the keys exists, every request needs a
    key.
    """


@keys.command(
    epilog="""\b
Examples:
  codex-openai-proxy keys add anna
  codex-openai-proxy keys add ci --tokens-per-day 500000 --models codex,gpt-5.5 --expires 30d
  codex-openai-proxy keys add ben --agents docs"""
)
@keys_options
@click.option(
    "--tokens-per-day",
    type=click.IntRange(1, MOST_TOKENS),
    metavar="N",
    help="Most tokens of input and output for a day (UTC).",
)
@click.option(
    "--models",
    type=Names(),
    metavar="NAME,…",
    help="The only models that it may use; agents are named with --agents.  [default: all]",
)
@click.option(
    "--agents",
    type=Names(),
    metavar="NAME,…",
    help="The agents that it may use, or `all`.  [default: none]",
)
@click.option("--expires", type=Expiry(), metavar="WHEN", help="When it ends: 12h, 30d, 8w or a date, 2027-01-31.")
@click.argument("name", callback=_checked_name)
def add(
    *,
    name: str,
    keys_file: Path | None,
    tokens_per_day: int | None,
    models: tuple[str, ...] | None,
    agents: tuple[str, ...] | None,
    expires: datetime | None,
) -> None:
    """Print a new key for NAME, once: only its salted hash is stored.

    The key goes to standard output and the explanation to standard error.
    """
    path = keys_file or KEYS_FILE
    own = path.with_name(OWN_KEY)
    first = not path.exists()
    try:
        make_key(own)  # before a server can notice the named key
        text = add_key(
            path, name, expires=expires, tokens_per_day=tokens_per_day, models=models or (), agents=agents or ()
        )
    except (KeysError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(text)
    click.echo(f"This is the key of {name}. It is not stored, so it cannot be shown again.", err=True)
    if first:
        found = "which find it there" if own == KEY_FILE else f"which need `--api-key-file {own}`"
        click.echo(
            "Every request needs a key from now on. A server that is started without a key of its own uses the one in "
            f"{own}, for you, the status page and commands such as `status`, {found}.",
            err=True,
        )


@keys.command(name="list")
@keys_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
def list_keys(*, keys_file: Path | None, as_json: bool) -> None:
    """List the keys with their limits."""
    path = keys_file or KEYS_FILE
    try:
        found = read_keys(path).values()
    except KeysError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps([_report(key) for key in found], indent=2))
    elif found:
        show(_table(found))
    else:
        click.echo("There are no named keys. Add one: codex-openai-proxy keys add NAME", err=True)


@keys.command()
@keys_options
@click.argument("name")
def revoke(*, name: str, keys_file: Path | None) -> None:
    """End the key of NAME, and within a second all that runs with it."""
    try:
        revoke_key(keys_file or KEYS_FILE, name)
    except KeysError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"The key of {name} is revoked.")


def _report(key: NamedKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "created": key.created.isoformat(),
        "expires": None if key.expires is None else key.expires.isoformat(),
        "tokens_per_day": key.tokens_per_day,
        "models": key.models,
        "agents": key.agents,
    }


def _table(found: Iterable[NamedKey]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("name", "created", "expires", "tokens a day", "models", "agents"):
        table.add_column(heading, justify="right" if heading == "tokens a day" else "left", overflow="fold")
    now = datetime.now(UTC).timestamp()
    for key in found:
        table.add_row(
            key.name,
            _day(key.created),
            "never" if key.expires is None else _day(key.expires) + (" (expired)" if key.has_expired(now) else ""),
            "no limit" if key.tokens_per_day is None else f"{key.tokens_per_day:,}",
            ", ".join(key.models) or "all",
            ", ".join(key.agents) or "none",
        )
    return table


def _day(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")
