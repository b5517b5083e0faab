"""The command line: one module per command, imported when the command runs or its options are completed.

So `--help` and shell completion of command names do not import the server.
"""

from __future__ import annotations

import errno
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from bridge import __version__

COMMANDS = {
    "completion": "Print the completion script for SHELL.",
    "doctor": "Check everything between Codex and your client; say what is wrong and how to fix it.",
    "keys": "Give clients keys of their own, with limits, and revoke them.",
    "login": "Log in to Codex with your ChatGPT account.",
    "models": "List the models of the running server, each with its Codex name.",
    "record": "Serve, and record every conversation as a folder in DIR.",
    "replay": "Serve the recorded conversations in DIR, without codex and without a login.",
    "serve": "Serve the OpenAI API until Ctrl-C or SIGTERM.",
    "service": "Let the system run the server: install, uninstall, start, stop, status, logs.",
    "status": "Show the login, the quota, what agents do, and the latest requests of the running server.",
    "tunnel": "Give the server a public address, for Cursor.",
    "usage": "Show the tokens and requests of the last days, by day, model or key.",
}
"""Command name (also its module's name) → first sentence of its help."""


def load(name: str) -> click.Command:
    """Import a command's module and return the command."""
    return getattr(import_module(f"bridge.cli.{name}"), name)


class LazyCommand(click.Command):
    """Placeholder that knows a command's name and summary, and imports the command when it runs."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Let the real command parse the arguments; click then invokes the command of this context."""
        assert self.name is not None
        return load(self.name).make_context(info_name, args, parent, **extra)


class Commands(click.Group):
    """The program's commands. A command whose output cannot be written ends without a traceback."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command; replace characters that the output's encoding lacks."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")
        try:
            return super().main(*args, **extra)
        except OSError as error:  # click itself ends quietly when the reader of a pipe has left
            if error.errno != errno.ENOSPC:
                raise
            sys.stdout = None  # so that Python does not try again when it ends
            click.echo(f"Error: {error.strerror}", err=True)
            sys.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="codex-openai-proxy")
def main() -> None:
    """Serve your own logged-in Codex CLI over the OpenAI API."""


for command, sentence in COMMANDS.items():
    main.add_command(LazyCommand(command, help=sentence))
