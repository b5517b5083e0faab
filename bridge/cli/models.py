"""`codex-openai-proxy models`: the model names to use in a client, or its whole configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import click
from msgspec.structs import replace
from rich.table import Table
from rich.text import Text

from bridge.cli.client_entries import CLIENTS, PLACEHOLDER, Server, models_to_offer
from bridge.cli.questions import NoServer, ask
from bridge.cli.server_options import server_options, the_address, the_key
from bridge.cli.terminal import show
from bridge.codex.models import reverse
from bridge.doctor.subject import Subject
from bridge.doctor.tunnel_checks import public_address
from bridge.tunnel.files import existing_config


@click.command(
    epilog="""\b
Examples:
  codex-openai-proxy models
  codex-openai-proxy models --json
  codex-openai-proxy models --for aider >> ~/.aider.conf.yml"""
)
@server_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of names instead of text.")
@click.option("--for", "client", type=click.Choice([*CLIENTS]), help="Print the configuration of a client instead.")
def models(
    *,
    addr: str,
    certfile: str | None,
    api_key: str | None,
    api_key_file: Path | None,
    as_json: bool,
    client: str | None,
) -> None:
    """List the models of the running server, each with its Codex name.

    With --for, print what to paste into a client's configuration: the server's address and models, and a placeholder
    for its key. Without a running server, the address is that of the settings, and the model is `codex`.

    Exit status: 0 success, 1 the server does not answer, 2 the command line is wrong.
    """
    host, port = the_address(addr)
    subject = Subject(host=host, port=port, api_key=the_key(api_key, api_key_file), certfile=certfile)
    if client:
        if as_json:
            raise click.UsageError("--json and --for exclude each other")
        _configure(client, replace(subject, tunnel_config=existing_config()))
        return
    names = _listed(ask(subject, "/v1/models"))
    if as_json:
        click.echo(json.dumps(names))
        return
    table = Table.grid(padding=(0, 1))
    for name in names:
        if reverse(name) in names[: names.index(name)]:
            continue  # the plain form of a name above
        table.add_row(Text(name, "bold"), reverse(name))
    show(table)


def _listed(answer: Any) -> list[str]:
    return [model["id"] for model in answer["data"]]


def _configure(name: str, subject: Subject) -> None:
    """Print the entry of a client to stdout; where to put it, and what to replace, to stderr."""
    client, server = CLIENTS[name], Server(address=subject.shown)
    notes = [f"This goes into {client.place}."]
    try:
        server = replace(server, models=models_to_offer(_listed(ask(subject, "/v1/models"))))
    except NoServer:
        notes.insert(0, f"No server answers at {server.address}, so this is the address of the settings.")
    if subject.api_key:
        server = replace(server, key=PLACEHOLDER)
        notes.append(f"Replace {PLACEHOLDER} by the server's key; codex-openai-proxy tunnel --show prints it.")
    if client.public:
        public = anyio.run(public_address, subject)
        if public is None:
            notes.append("Cursor needs a public address, and no tunnel is set up: codex-openai-proxy tunnel --help")
        else:
            server = replace(server, public=public.url)
            notes.append(f"The public address is that of {public.source}.")
            if not public.leads_here:
                notes.append(
                    "The server did not start it, so it may lead to another program. To check it: "
                    f"codex-openai-proxy doctor --url {public.url}"
                )
    click.echo(client.entry(server))
    for note in notes:
        click.echo(note, err=True)
