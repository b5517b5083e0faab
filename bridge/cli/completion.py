"""`codex-openai-proxy completion`: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from bridge.config import PROGRAM

VARIABLE = "_CODEX_OPENAI_PROXY_COMPLETE"
"""Environment variable in which the shell passes its completion request to click."""


@click.command(
    epilog="""\b
Examples:
  codex-openai-proxy completion bash >> ~/.bashrc
  codex-openai-proxy completion zsh >> ~/.zshrc
  codex-openai-proxy completion fish > ~/.config/fish/completions/codex-openai-proxy.fish"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())
