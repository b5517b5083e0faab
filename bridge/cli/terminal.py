"""Terminal output of commands: coloured marks, and a spinner while something takes time.

Colours and spinners appear only on terminals; a pipe gets the same words, line by line.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal, TextIO, TypeAlias

import anyio
import click

from codex_rpc.background import running

Mark: TypeAlias = Literal["ok", "warn", "fail", "skip"]

_MARKS = {"ok": ("✓", "+", "green"), "warn": ("!", "!", "yellow"), "fail": ("✗", "x", "red"), "skip": ("-", "-", None)}
"""Mark → its sign, an ASCII replacement for encodings without that sign, and its colour."""

_SIGNS = ("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\")
FRAME = 0.1
"""Seconds per frame of the spinner."""


def _writable(stream: TextIO, text: str, instead: str) -> str:
    """Return `text`, or `instead` if the stream's encoding lacks one of its characters."""
    try:
        text.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return instead
    return text


def marked(mark: Mark, text: str) -> str:
    """Return a line that begins with a coloured mark; click removes the colour if the output is not a terminal."""
    sign, plain, colour = _MARKS[mark]
    return f"{click.style(_writable(sys.stdout, sign, plain), fg=colour, bold=True)} {text}"


@asynccontextmanager
async def waiting(text: str) -> AsyncGenerator[None]:
    """Show on stderr what the command is waiting for while the block runs."""
    if not sys.stderr.isatty():
        click.echo(f"{text} ...", err=True)
        yield
        return

    async def turn() -> None:
        for sign in itertools.cycle(_writable(sys.stderr, *_SIGNS)):
            click.echo(f"\r{click.style(sign, fg='cyan')} {text} ", nl=False, err=True)
            await anyio.sleep(FRAME)

    try:
        async with running(turn):
            yield
    finally:
        click.echo(f"\r{' ' * (len(text) + 3)}\r", nl=False, err=True)
