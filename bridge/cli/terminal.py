"""Terminal output of commands: text and tables that fit the width, coloured marks, and a spinner while something runs.

Colours and spinners appear only on terminals; a pipe gets the same words, in lines as long as they are.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import click
from rich.console import Console, RenderableType
from rich.text import Text

Mark: TypeAlias = Literal["ok", "warn", "fail", "skip"]

_MARKS = {"ok": ("✓", "+", "green"), "warn": ("!", "!", "yellow"), "fail": ("✗", "x", "red"), "skip": ("-", "-", "")}
"""Mark → its sign, an ASCII replacement for encodings without that sign, and its colour."""

PIPE_WIDTH = 10_000
"""Columns of an output that is not a terminal: more than any line has."""


def output(*, stderr: bool = False) -> Console:
    """Return stdout or stderr with its width, its colours and its characters."""
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def show(*parts: RenderableType, console: Console | None = None) -> None:
    """Print texts and tables to stdout, each from a new line."""
    console = console or output()
    with console.capture() as shown:
        for part in parts:
            console.print(part)
    # rich fills the lines of a table with spaces.
    click.echo("\n".join(line.rstrip() for line in shown.get().splitlines()))


def sign(mark: Mark) -> Text:
    """Return the coloured sign of a mark."""
    drawn, plain, colour = _MARKS[mark]
    return Text(plain if output().options.ascii_only else drawn, f"bold {colour}")


@contextmanager
def waiting(text: str) -> Generator[None]:
    """Show on stderr what the command is waiting for while the block runs."""
    console = output(stderr=True)
    if not console.is_interactive:
        click.echo(f"{text} ...", err=True)
        yield
        return
    with console.status(text, spinner="line" if console.options.ascii_only else "dots", spinner_style="cyan"):
        yield
