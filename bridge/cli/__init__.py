"""The command line: one module for each command."""

from __future__ import annotations

import click

from bridge import __version__
from bridge.cli.login import login
from bridge.cli.record import record
from bridge.cli.replay import replay
from bridge.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="codex-openai-proxy")
def main() -> None:
    """Serve your own logged-in Codex CLI over the OpenAI API."""


main.add_command(login)
main.add_command(record)
main.add_command(replay)
main.add_command(serve)
