"""`codex-openai-proxy usage`: what was used on the last days, as a table with bars, JSON or CSV."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table

from bridge.cli.questions import ask
from bridge.cli.server_options import server_options, the_address, the_key
from bridge.cli.terminal import PIPE_WIDTH, show
from bridge.doctor.subject import Subject

BAR = 20
"""Width of the longest bar, in characters."""
NO_KEY = "(no name)"
"""Stands for the server's own key, and for requests without a key."""


@click.command(
    epilog="""\b
Examples:
  codex-openai-proxy usage
  codex-openai-proxy usage --days 7 --by model
  codex-openai-proxy usage --days 400 --csv > usage.csv"""
)
@server_options
@click.option("--days", type=click.IntRange(1, 3660), default=30, show_default=True, metavar="N")
@click.option("--by", type=click.Choice(["day", "model", "key"]), default="day", show_default=True)
@click.option("--key", "only_key", help="Only the requests of this key.", metavar="NAME")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of text.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a head line instead of text.")
def usage(
    *,
    addr: str,
    certfile: str | None,
    api_key: str | None,
    api_key_file: Path | None,
    days: int,
    by: str,
    only_key: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Show the tokens and requests of the last days, by day, model or key.

    The running server counts them. Where Codex knows the tokens of the whole account, other clients included, the table
    by day shows them too.

    Exit status: 0 success, 1 the server does not answer, 2 the command line is wrong.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    host, port = the_address(addr)
    subject = Subject(host=host, port=port, api_key=the_key(api_key, api_key_file), certfile=certfile)
    query = {"days": str(days), "by": by} | ({} if only_key is None else {"key": only_key})
    answer = ask(subject, f"/usage?{urlencode(query)}")
    if "history" not in answer:
        raise click.ClickException("this key may not see the usage of all days; use the server's own key")
    history = answer["history"]
    if as_json:
        click.echo(json.dumps(history, indent=2))
    elif as_csv:
        _write_csv(history)
    else:
        show(*usage_parts(history))


def usage_parts(history: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield the table of a `history` and its sums."""
    by, rows = history["by"], history["rows"]
    if not rows:
        yield f"No requests from {history['from']} to {history['to']}."
        return
    rows = _every_day(history) if by == "day" else rows
    most = max(_tokens(row) for row in rows) or 1
    account = any(row.get("account_tokens") is not None for row in rows)
    plain, with_bars = _table(by, account=account), _table(by, account=account)
    with_bars.add_column("tokens", min_width=6, max_width=BAR)
    for row in rows:
        used = _tokens(row)
        cells = [row[by] or NO_KEY, *_cells(row), *([_count(row.get("account_tokens"))] if account else [])]
        plain.add_row(*cells)
        with_bars.add_row(*cells, ProgressBar(total=most, completed=used) if used else "")
    yield Fitting(with_bars, plain)
    yield ""
    yield _sum(rows)


class Fitting:
    """The first table if it fits the width, else the second one."""

    def __init__(self, wide: Table, narrow: Table) -> None:
        self._wide = wide
        self._narrow = narrow

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        least = Measurement.get(console, options.update(max_width=PIPE_WIDTH), self._wide).minimum
        yield self._wide if least <= options.max_width else self._narrow


def _table(by: str, *, account: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(by, overflow="fold", min_width=10 if by == "day" else None)
    for name in ("requests", "errors", "in", "cached", "out", "first", *(["account"] if account else [])):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _every_day(history: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a row for each day from the first one with a row, also for days without requests."""
    known = {row["day"]: row for row in history["rows"]}
    first, last = date.fromisoformat(min(known)), date.fromisoformat(history["to"])
    days = [(first + timedelta(days=ahead)).isoformat() for ahead in range((last - first).days + 1)]
    return [known.get(day, {"day": day}) for day in days]


def _cells(row: Mapping[str, Any]) -> Sequence[str]:
    if not row.get("requests"):
        return ["-"] * 6
    share, median = row["cache_share"], row["first_token_seconds"]["median"]
    return [
        _count(row["requests"]),
        _count(row["errors"]),
        _count(row["input_tokens"]),
        "-" if share is None else f"{share:.0%}",
        _count(row["output_tokens"]),
        "-" if median is None else f"{median:.1f} s",
    ]


def _sum(rows: Sequence[Mapping[str, Any]]) -> str:
    names = ("requests", "input_tokens", "output_tokens")
    requests, tokens_in, tokens_out = (sum(row.get(name, 0) for row in rows) for name in names)
    return requests_and_tokens(requests, tokens_in, tokens_out)


def requests_and_tokens(requests: int, tokens_in: int, tokens_out: int) -> str:
    """Return a sum in words: `1 request, 812 tokens in, 40 out`."""
    return f"{requests:,} request{'' if requests == 1 else 's'}, {tokens_in:,} tokens in, {tokens_out:,} out"


def _tokens(row: Mapping[str, Any]) -> int:
    return row.get("input_tokens", 0) + row.get("output_tokens", 0)


def _count(number: int | None) -> str:
    """Return a number for a narrow column: `812`, `20.1k`, `1.2M`."""
    if number is None:
        return "-"
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)


def _write_csv(history: Mapping[str, Any]) -> None:
    by = history["by"]
    first = ["first_token_median_seconds", "first_token_p90_seconds"]
    tokens = ["input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens"]
    plain = [by, "requests", "errors", *tokens, *(["account_tokens"] if by == "day" else [])]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*plain, *first])
    for row in history["rows"]:
        writer.writerow([*(row[name] for name in plain), *row["first_token_seconds"].values()])
