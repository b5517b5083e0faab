"""`codex-openai-proxy login`: the login of the Codex CLI itself, whichever codex the server would use."""

from __future__ import annotations

import subprocess

import click

from bridge.cli.serve import setting
from codex_rpc.errors import CodexNotFoundError
from codex_rpc.process import find_codex


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="Example, on a machine without a browser: codex-openai-proxy login --device-auth",
)
@setting("--codex", "The codex executable.  [default: the one on PATH, else the installed wheel]", metavar="PATH")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def login(context: click.Context, codex: str | None, arguments: tuple[str, ...]) -> None:
    """Log in to Codex.

    Runs `codex login` with the ARGUMENTS. A running server notices the login at its next request.
    """
    try:
        executable = find_codex(codex)
    except CodexNotFoundError as error:
        raise click.ClickException(str(error)) from None
    context.exit(subprocess.run([executable, "login", *arguments], check=False).returncode)
