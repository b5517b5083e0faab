"""`codex-openai-proxy models`: the model names to use in a client."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from bridge.cli.questions import ask
from bridge.cli.server_options import server_options, the_address, the_key
from bridge.cli.terminal import show
from bridge.codex.models import reverse
from bridge.doctor.subject import Subject


@click.command(
    epilog="""\b
Examples:
  codex-openai-proxy models
  codex-openai-proxy models --json"""
)
@server_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of names instead of text.")
def models(*, addr: str, certfile: str | None, api_key: str | None, api_key_file: Path | None, as_json: bool) -> None:
    """List the models of the running server, each with its Codex name.

    Exit status: 0 success, 1 the server does not answer, 2 the command line is wrong.
    """
    host, port = the_address(addr)
    answer = ask(Subject(host=host, port=port, api_key=the_key(api_key, api_key_file), certfile=certfile), "/v1/models")
    names = [model["id"] for model in answer["data"]]
    if as_json:
        click.echo(json.dumps(names))
        return
    table = Table.grid(padding=(0, 1))
    for name in names:
        if reverse(name) in names[: names.index(name)]:
            continue  # the plain form of a name above
        table.add_row(Text(name, "bold"), reverse(name))
    show(table)
