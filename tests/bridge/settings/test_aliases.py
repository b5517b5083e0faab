from __future__ import annotations

from pathlib import Path

import click
import pytest

from bridge.config import Settings
from bridge.settings.server import server_settings, settings_of


def settings(*arguments: str) -> Settings:
    command = server_settings(click.Command("serve"))
    return settings_of(command.make_context("serve", list(arguments)).params)


def test_aliases_are_a_table_of_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('model_names = "plain"\n[aliases]\nfast = "gpt-6.1-sol-low"\n"gpt-4o" = " codex "\n')
    read = settings("--config", str(file))
    assert read.aliases == {"fast": "gpt-6.1-sol-low", "gpt-4o": "codex"}
    assert read.model_names == "plain"


def test_aliases_can_be_given_on_the_command_line() -> None:
    assert settings("--aliases", "fast=codex-low, gpt-4o = codex").aliases == {"fast": "codex-low", "gpt-4o": "codex"}
    assert settings().aliases == {}


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ('a = "b"\nb = "a"', "stands for itself"),
        ('a = "a-high"', "stands for itself"),
        ("a = 5", "each alias must be"),
        ('a = ""', "each alias must be"),
        ('"" = "codex"', "each alias must be"),
    ],
)
def test_aliases_that_mean_nothing_are_refused_at_the_start(tmp_path: Path, table: str, reason: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[aliases]\n{table}\n")
    with pytest.raises(click.BadParameter, match=reason):
        settings("--config", str(file))


@pytest.mark.parametrize("text", ["codex", "=codex", "fast=", ",=,"])
def test_a_malformed_alias_on_the_command_line_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        settings("--aliases", text)
