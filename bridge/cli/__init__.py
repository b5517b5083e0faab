"""The command line: one module for each command, imported when the command is run, or its options are asked for.

So neither `--help` nor a shell that completes the name of a command waits for what the commands do.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from bridge import __version__

COMMANDS = {
    "completion": "Print the completion script for SHELL.",
    "doctor": "Check everything between Codex and your client; say what is wrong and how to mend it.",
    "login": "Log in to Codex with your ChatGPT account.",
    "models": "List the models of the running server, with Codex's own name beside each.",
    "record": "Serve, and record every conversation as a folder in DIR.",
    "replay": "Serve the recorded conversations in DIR, without codex and without a login.",
    "serve": "Serve the OpenAI API until Ctrl-C or SIGTERM.",
    "status": "Show the login, the quota, and the latest requests of the running server.",
    "tunnel": "Give the server a public address, for Cursor.",
}
"""The first sentence of each command's help; the command has the name of its module."""


def load(name: str) -> click.Command:
    """Import the module of a command and return the command."""
    return getattr(import_module(f"bridge.cli.{name}"), name)


class Named(click.Command):
    """Stands for a command of which only the name and the first sentence are known so far."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Let the command itself read its arguments; click goes on with the command of this context."""
        assert self.name is not None
        return load(self.name).make_context(info_name, args, parent, **extra)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="codex-openai-proxy")
def main() -> None:
    """Serve your own logged-in Codex CLI over the OpenAI API."""


for command, sentence in COMMANDS.items():
    main.add_command(Named(command, help=sentence))
