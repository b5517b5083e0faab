"""`codex-openai-proxy record`: runs a server that records."""

from __future__ import annotations

import click

from bridge.cli.serve import serve


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="Example: codex-openai-proxy record cases/ --addr 127.0.0.1:8000",
)
@click.argument("folder", metavar="DIR")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF SERVE]")
def record(folder: str, options: tuple[str, ...]) -> None:
    """Serve, and record every conversation as a folder in DIR.

    The same as `serve --record DIR`. Secrets are removed before anything is written.
    """
    serve.main(["--record", folder, *options], standalone_mode=False)
