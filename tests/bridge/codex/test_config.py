from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.codex.config import (
    connection_config,
    keeps_login_in_keyring,
    overruled,
    provider_variables,
    read_features,
    to_toml,
)

CONFIG = tomllib.loads("""
model = "gpt-5.5"
model_provider = "acme"
openai_base_url = "http://127.0.0.1:1/v1"
chatgpt_base_url = "http://127.0.0.1:2"
forced_login_method = "chatgpt"
forced_chatgpt_workspace_id = ["a", "b"]
model_context_window = 300
model_auto_compact_token_limit = 10
model_reasoning_effort = "xhigh"
model_verbosity = "high"
developer_instructions = "TRAP"
notify = ["trap"]
sqlite_home = "/elsewhere"
[model_providers.acme]
name = "Acme"
base_url = "http://127.0.0.1:3/v1"
env_key = "CODEX_ACME_KEY"
env_http_headers = { "x-team" = "ACME_TEAM" }
http_headers = { "x-key" = "k" }
credential_file = "acme.json"
[model_providers.acme.auth]
command = "acme-token"
cwd = "tools"
[model_providers.other]
name = "Other"
[mcp_servers.trap]
command = "trap"
[features]
multi_agent_v2 = true
respect_system_proxy = true
enable_request_compression = false
[projects."/"]
trust_level = "trusted"
[hooks]
""")


def absolute(path: str) -> str:
    return f"/home/{path}"


def test_only_the_connection_and_identity_are_carried_over() -> None:
    provider = CONFIG["model_providers"]["acme"]
    assert connection_config(CONFIG, absolute) == {
        "model_provider": "acme",
        "openai_base_url": "http://127.0.0.1:1/v1",
        "chatgpt_base_url": "http://127.0.0.1:2",
        "forced_login_method": "chatgpt",
        "forced_chatgpt_workspace_id": ["a", "b"],
        "model_providers": {
            "acme": {
                **provider,
                "credential_file": "/home/acme.json",
                "auth": {"command": "acme-token", "cwd": "/home/tools"},
            }
        },
        "features": {"respect_system_proxy": True, "enable_request_compression": False},
        "cli_auth_credentials_store": "file",
    }


@pytest.mark.parametrize(
    ("config", "carried"),
    [
        ({}, {}),
        ({"model_provider": "nowhere"}, {"model_provider": "nowhere"}),
        ({"model_providers": {"acme": {"name": "Acme"}}}, {}),
        ({"model_provider": "acme", "model_providers": "no table"}, {"model_provider": "acme"}),
        ({"model_provider": 1, "model_providers": {"1": {}}}, {"model_provider": 1}),
        ({"features": ["no table"]}, {}),
        ({"profile": "work", "profiles": {"work": {"model_provider": "acme"}}}, {"profile": "work"}),
        ({"cli_auth_credentials_store": "auto"}, {}),
        ({"cli_auth_credentials_store": "ephemeral"}, {"cli_auth_credentials_store": "ephemeral"}),
    ],
    ids=str,
)
def test_an_incomplete_or_invalid_config_is_carried_over_unchanged(
    config: dict[str, Any], carried: dict[str, Any]
) -> None:
    assert connection_config(config, absolute) == {"cli_auth_credentials_store": "file", **carried}


def test_the_variables_of_the_selected_provider_are_known() -> None:
    assert provider_variables(CONFIG) == {"CODEX_ACME_KEY", "ACME_TEAM"}
    assert provider_variables({**CONFIG, "model_provider": "other"}) == set()
    assert provider_variables({}) == set()


@pytest.mark.parametrize(
    ("stores", "has_file", "in_keyring"),
    [
        ([], False, False),
        (["file"], False, False),
        (["keyring"], True, True),
        (["auto"], False, True),
        (["auto"], True, False),
        (["file", "keyring"], True, False),
        (["keyring", "file"], False, True),
    ],
)
def test_the_strongest_layer_decides_whether_the_login_is_in_the_keyring(
    stores: list[str], has_file: bool, in_keyring: bool
) -> None:
    layers = [{}, *({"cli_auth_credentials_store": store} for store in stores)]
    assert keeps_login_in_keyring(layers, has_file=has_file) == in_keyring


def test_preferences_and_servers_of_other_configuration_are_overridden() -> None:
    layers = [
        {"model_reasoning_effort": "xhigh", "mcp_servers": {"a.b c": {"command": "trap", "env": {"KEY": "secret"}}}},
        {"service_tier": "flex", "mcp_servers": {"far": {"url": "https://trap.example"}}},
    ]
    assert overruled(layers) == {
        "model_reasoning_effort": "medium",
        "service_tier": "default",
        "mcp_servers": {
            "a.b c": {"command": "false", "enabled": False},
            "far": {"url": "http://127.0.0.1", "enabled": False},
        },
    }
    assert overruled([{}, {"model": "gpt-5.5"}]) == {}


def test_features_are_read_as_codex_prints_them() -> None:
    printed = b"apps            stable             true\nartifact  under development  false\nundo   removed   false\n"
    assert read_features(printed) == {"apps": True, "artifact": False}


@pytest.mark.parametrize("printed", [b"", b"\n", b"undo  removed  false\n"])
def test_a_list_without_features_is_refused(printed: bytes) -> None:
    with pytest.raises(ValueError, match="no feature"):
        read_features(printed)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    TEXTS | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)


@given(VALUES)
def test_a_value_written_as_toml_is_read_back_unchanged(value: Any) -> None:
    text = f"value = {to_toml(value)}"
    assert "\n" not in text
    assert tomllib.loads(text) == {"value": value}
