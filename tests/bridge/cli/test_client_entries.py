"""The entries for the configuration of clients."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.cli.client_entries import CLIENTS, Server, models_to_offer
from bridge.codex.models import ModelNames, reverse
from codex_rpc.wire.calls import Model

DOCS = Path(__file__).parents[3] / "docs"
MODELS = [Model(slug, (), {}, hidden=False) for slug in ("gpt-5.2", "gpt-6.1-sol")]
TWO = Server("http://127.0.0.1:8123", "https://codex.example.com", "sk-1", ("codex", "gpt-6.1-sol"))
URL = "http://127.0.0.1:8123/v1"


@pytest.mark.parametrize("name", [name for name, client in CLIENTS.items() if not client.public])
def test_the_docs_show_the_entry_of_each_local_client(name: str) -> None:
    assert f"\n{CLIENTS[name].entry(Server())}\n```\n" in (DOCS / "tools.md").read_text()


@pytest.mark.parametrize("name", ["cursor", "cursor-azure"])
def test_the_docs_show_the_values_for_cursor(name: str) -> None:
    server = Server(public="https://brave-new-words.trycloudflare.com", key="sk-…")
    assert f"\n{CLIENTS[name].entry(server)}\n" in (DOCS / "cursor.md").read_text()


def test_the_docs_have_a_row_for_every_client() -> None:
    text = (DOCS / "tools.md").read_text()
    assert [name for name in CLIENTS if f"`models --for {name}`" not in text] == []


def flat(value: Any) -> list[Any]:
    """Return the strings in a parsed entry."""
    match value:
        case dict() | list():
            inner: Any = value.values() if isinstance(value, dict) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            return [one for each in inner for one in flat(each)]
        case _:
            return [value]


@pytest.mark.parametrize(
    ("name", "parse", "expected"),
    [
        ("vscode", json.loads, {f"{URL}/chat/completions", "sk-1", "codex", "gpt-6.1-sol", "chat-completions"}),
        ("continue", yaml.safe_load, {URL, "sk-1", "codex", "gpt-6.1-sol", "v1"}),
        ("codex", tomllib.loads, {URL, "sk-1", "responses"}),
        ("aider", yaml.safe_load, {URL, "sk-1", "openai/codex"}),
        ("llm", yaml.safe_load, {URL, "Bearer sk-1", "codex", "gpt-6.1-sol"}),
    ],
)
def test_an_entry_can_be_parsed_and_holds_address_key_and_models(
    name: str, parse: Callable[[str], Any], expected: set[str]
) -> None:
    assert expected <= set(flat(parse(CLIENTS[name].entry(TWO))))


def test_each_model_of_a_list_has_its_own_entry() -> None:
    assert [one["model"] for one in yaml.safe_load(CLIENTS["continue"].entry(TWO))["models"]] == list(TWO.models)
    assert [one["model_id"] for one in yaml.safe_load(CLIENTS["llm"].entry(TWO))] == list(TWO.models)
    assert [one["id"] for one in json.loads(CLIENTS["vscode"].entry(TWO))[0]["models"]] == list(TWO.models)
    assert CLIENTS["cursor"].entry(TWO).splitlines()[3:] == [
        "  Add model                 xedoc",
        f"                            {reverse('gpt-6.1-sol')}",
    ]


@pytest.mark.parametrize("style", ["both", "plain", "reversed"])
def test_models_to_offer_are_plain_and_without_the_named_ones(style: Any) -> None:
    names = ModelNames({"quick": "codex-low"}, style, ("site",))
    offered = models_to_offer(names.listed(MODELS))
    assert offered == ["codex", "quick", "codex-agent", "codex-agent-site", "gpt-6.1-sol"]
