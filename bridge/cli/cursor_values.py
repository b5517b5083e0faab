"""The three values that a user pastes into Cursor."""

from __future__ import annotations

import click

from bridge.codex.models import DEFAULT, reverse


def show_values(url: str, key: str | None) -> None:
    """Print the values under the names of Cursor's fields."""
    values = {"OpenAI API Key": key or "any", "Override OpenAI Base URL": url, "Add model": reverse(DEFAULT)}
    lines = (f"  {field:26}{click.style(value, bold=True)}\n" for field, value in values.items())
    click.echo(f"\nPaste into Cursor, Settings, Models:\n{''.join(lines)}")
