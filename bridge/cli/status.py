"""`codex-openai-proxy status`: the content of the status page, in a terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bridge.cli.questions import ask, ask_for_usage
from bridge.cli.server_options import server_options, the_address, the_key
from bridge.cli.terminal import show
from bridge.cli.usage import requests_and_tokens
from bridge.doctor.subject import Subject

BAR = 24
"""Width of a quota bar, in characters."""
LATEST = 8
"""Number of requests shown."""
MOST_KEYS = 8
"""Number of keys shown, those that used most today."""


@click.command(
    epilog="""\b
Examples:
  codex-openai-proxy status
  codex-openai-proxy status --json"""
)
@server_options
@click.option("--json", "as_json", is_flag=True, help="Print the answer of GET /usage instead of text.")
def status(*, addr: str, certfile: str | None, api_key: str | None, api_key_file: Path | None, as_json: bool) -> None:
    """Show the login, the quota, what agents do, and the latest requests of the running server.

    Exit status: 0 success, 1 the server does not answer, 2 the command line is wrong.
    """
    host, port = the_address(addr)
    subject = Subject(host=host, port=port, api_key=the_key(api_key, api_key_file), certfile=certfile)
    if as_json:
        click.echo(json.dumps(ask(subject, "/usage"), indent=2))
    else:
        show(*status_parts(ask_for_usage(subject), time.time()))


def status_parts(usage: Mapping[str, Any], epoch: float) -> Iterator[RenderableType]:
    """Yield the tables that show a `/usage` answer at the time `epoch` (epoch seconds)."""
    account, today = usage["account"], usage["today"]
    facts = Table.grid(padding=(0, 2))
    facts.add_column(width=8)
    facts.add_row("Codex", usage["codex"]["state"])
    plan = f" {account['plan']}" if account["plan"] else ""
    facts.add_row("Account", f"{account['type'] or 'none'}{plan}, {'ready' if account['ready'] else 'not logged in'}")
    for limit in usage["quota"]:
        for window in filter(None, (limit["primary"], limit["secondary"])):
            facts.add_row("Quota", _quota(limit["name"] or limit["limit"], window, epoch))
    facts.add_row("Today", requests_and_tokens(today["requests"], today["input_tokens"], today["output_tokens"]))
    by_use = sorted(usage["keys"], key=lambda key: key["tokens_today"], reverse=True)
    for key in by_use[:MOST_KEYS]:
        most = "" if key["tokens_per_day"] is None else f" of {key['tokens_per_day']:,}"
        facts.add_row("Key", f"{key['name']}: {key['tokens_today']:,}{most} tokens today")
    if more := len(by_use[MOST_KEYS:]):
        facts.add_row("", f"and {more} more")
    for turn in usage["agents"]:
        facts.add_row("Agent", Text(_agent(turn, epoch)))
    yield facts
    if requests := [*usage["running"], *usage["recent"]][:LATEST]:
        yield ""
        yield _requests(requests)


def _quota(name: str, window: Mapping[str, Any], epoch: float) -> RenderableType:
    used = window["used_percent"]
    colour = "red" if used >= 90 else "yellow" if used >= 70 else "green"
    left = f", resets in {_span(window['resets_at'] - epoch)}" if window["resets_at"] else ""
    span = f" {window['window_minutes'] / 60:g}-hour" if window["window_minutes"] else ""
    line = Table.grid(padding=(0, 1))
    line.add_row(
        ProgressBar(completed=used, width=BAR, complete_style=colour, finished_style=colour),
        f"{used:3.0f}% of the {name}{span} limit{left}",
    )
    return line


def _agent(turn: Mapping[str, Any], epoch: float) -> str:
    """Return what an agent does; a question is shown and answered on the status page."""
    asks = [f"asks to {question['action']}" for question in turn["questions"]]
    idle = "waits for its client" if turn["state"] == "waiting" else "thinks or writes"
    does = ", ".join([*turn["doing"], *asks]) or idle
    key = f", key {turn['key']}" if turn["key"] else ""
    return f"{turn['agent']} in {turn['folder']}: {does}, since {_span(epoch - turn['since'])}{key}"


def _requests(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    keyed = any(row["key"] for row in rows)
    for name in (*(["key"] if keyed else []), "model", "status", "first", "tokens", "cached", "thread"):
        table.add_column(name, justify="left" if name in {"key", "model", "thread"} else "right", overflow="fold")
    for row in rows:
        first, share = row["first_token_seconds"], row["cache_share"]
        table.add_row(
            *([row["key"] or "-"] if keyed else []),
            row["model"] or "-",
            str(row["status"] or "running"),
            "-" if first is None else f"{first:.2f} s",
            f"{row['input_tokens']:,} → {row['output_tokens']:,}",
            "-" if share is None else f"{share:.0%}",
            row["thread"] or "-",
        )
    return table


def _span(seconds: float) -> str:
    hours, minutes = divmod(max(0, round(seconds / 60)), 60)
    return f"{hours // 24} d {hours % 24} h" if hours >= 24 else f"{hours} h {minutes:02} min"
