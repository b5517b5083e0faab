"""The values that a user pastes into Cursor, under the names of its fields."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bridge.codex.models import DEFAULT, reverse

OPEN_KEY = "any"
"""Stands for the key of a server that has none: such a server accepts any text."""


def cursor_values(url: str, key: str | None, models: Sequence[str] = (DEFAULT,)) -> str:
    """Return the values for Cursor's OpenAI settings; `models` are plain names."""
    first, *more = map(reverse, models)
    values = [("OpenAI API Key", key or OPEN_KEY), ("Override OpenAI Base URL", url), ("Add model", first)]
    return _lines("Paste into Cursor, Settings, Models:", [*values, *(("", name) for name in more)])


def azure_values(url: str, key: str | None, models: Sequence[str] = (DEFAULT,)) -> str:
    """Return the values for Cursor's Azure settings, which take one model, the first of these plain names."""
    values = [("Base URL", url), ("Deployment Name", reverse(models[0])), ("API Key", key or OPEN_KEY)]
    return _lines("Where Cursor hides the override: Azure OpenAI, in the same place:", values)


def show_values(url: str, key: str | None) -> None:
    """Print both, for a person."""
    click.echo(f"\n{cursor_values(url, key)}\n\n{azure_values(url, key)}\n")


def _lines(heading: str, values: Sequence[tuple[str, str]]) -> str:
    return "\n".join([heading, *(f"  {field:26}{value}" for field, value in values)])
