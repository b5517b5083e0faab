"""`codex-openai-proxy status`: the content of the status page, in a terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from bridge.cli.questions import ask
from bridge.cli.server_options import server_options, the_address, the_key
from bridge.doctor.subject import Subject

BAR = 24
"""Width of a quota bar, in characters."""
LATEST = 8
"""Number of requests shown."""


@click.command(
    epilog="""\b
Examples:
  codex-openai-proxy status
  codex-openai-proxy status --json"""
)
@server_options
@click.option("--json", "as_json", is_flag=True, help="Print the answer of GET /usage instead of text.")
def status(*, addr: str, certfile: str | None, api_key: str | None, api_key_file: Path | None, as_json: bool) -> None:
    """Show the login, the quota, and the latest requests of the running server.

    Exit status: 0 success, 1 the server does not answer, 2 the command line is wrong.
    """
    host, port = the_address(addr)
    usage = ask(Subject(host=host, port=port, api_key=the_key(api_key, api_key_file), certfile=certfile), "/usage")
    if as_json:
        click.echo(json.dumps(usage, indent=2))
        return
    for line in status_lines(usage, time.time()):
        click.echo(line)


def status_lines(usage: Mapping[str, Any], epoch: float) -> Iterator[str]:
    """Yield the lines that show a `/usage` answer at the time `epoch` (epoch seconds)."""
    account, codex, today = usage["account"], usage["codex"], usage["today"]
    plan = f" {account['plan']}" if account["plan"] else ""
    yield f"Codex     {codex['state']}"
    yield f"Account   {account['type'] or 'none'}{plan}, {'ready' if account['ready'] else 'not logged in'}"
    for limit in usage["quota"]:
        for window in filter(None, (limit["primary"], limit["secondary"])):
            yield _quota_line(limit["name"] or limit["limit"], window, epoch)
    yield f"Today     {today['requests']} requests, {today['input_tokens']:,} tokens in, {today['output_tokens']:,} out"
    requests = [*usage["running"], *usage["recent"]][:LATEST]
    if requests:
        yield ""
        yield click.style(f"{'model':26} {'status':>7} {'first':>8} {'tokens':>16} {'cached':>7}  thread", dim=True)
    for request in requests:
        yield _request_line(request)


def _quota_line(name: str, window: Mapping[str, Any], epoch: float) -> str:
    used = window["used_percent"]
    filled = round(BAR * min(used, 100) / 100)
    colour = "red" if used >= 90 else "yellow" if used >= 70 else "green"
    bar = click.style("█" * filled, fg=colour) + "░" * (BAR - filled)
    left = f", resets in {_span(window['resets_at'] - epoch)}" if window["resets_at"] else ""
    span = f" {window['window_minutes'] / 60:g}-hour" if window["window_minutes"] else ""
    return f"Quota     {bar} {used:3.0f}% of the {name}{span} limit{left}"


def _request_line(row: Mapping[str, Any]) -> str:
    first, share = row["first_token_seconds"], row["cache_share"]
    tokens = f"{row['input_tokens']:,} → {row['output_tokens']:,}"
    return (
        f"{row['model'] or '-':26} {row['status'] or 'running':>7} {'-' if first is None else f'{first:.2f} s':>8} "
        f"{tokens:>16} {'-' if share is None else f'{share:.0%}':>7}  {row['thread'] or '-'}"
    )


def _span(seconds: float) -> str:
    hours, minutes = divmod(max(0, round(seconds / 60)), 60)
    return f"{hours // 24} d {hours % 24} h" if hours >= 24 else f"{hours} h {minutes:02} min"
