"""Separates the user's connection settings from the rest of codex's configuration, which chat mode must not use.

1. A private home gets only the keys in `CONNECTION_KEYS` and the selected provider: `connection_config`.
2. If codex also reads other configuration (the administrator's, or the user's if the home cannot be private), codex's
   command line overrides it: `overruled`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

Config: TypeAlias = Mapping[str, Any]
"""The content of a config.toml."""

CONNECTION_KEYS = (
    # The address.
    "model_provider",
    "openai_base_url",
    "chatgpt_base_url",
    # The identity.
    "forced_login_method",
    "forced_chatgpt_workspace_id",
    # Codex 0.163 and newer refuse this old key with instructions. Without it they would silently use another provider.
    "profile",
)
"""The keys for the address and the identity of codex's connection; the selected provider's table is added to them."""

CONNECTION_FEATURES = (
    "enable_request_compression",
    "respect_system_proxy",
    "system_proxy_fallback",
    "use_agent_identity",
)
"""The features that concern the connection: compression, the system's proxy, the kind of identity."""

CREDENTIALS_STORE = "cli_auth_credentials_store"

_NEUTRAL = {
    # The defaults of the OpenAI API. Codex has no value for "the model's default".
    "model_reasoning_effort": "medium",
    "model_verbosity": "medium",
    "service_tier": "default",
}
"""The values that replace preferences in other configuration."""


def connection_config(config: Config, absolute: Callable[[str], str]) -> dict[str, Any]:
    """Return the part of the user's `config` that a private home needs; `absolute` completes its relative paths.

    The login is always a file: with a private home, codex would not find it in the system's keyring.
    """
    carried = {key: config[key] for key in CONNECTION_KEYS if key in config}
    if provider := _provider(config):
        carried["model_providers"] = {config["model_provider"]: _with_absolute_paths(provider, absolute)}
    if features := {name: on for name, on in _table(config, "features").items() if name in CONNECTION_FEATURES}:
        carried["features"] = features
    carried[CREDENTIALS_STORE] = "ephemeral" if config.get(CREDENTIALS_STORE) == "ephemeral" else "file"
    return carried


def provider_variables(config: Config) -> frozenset[str]:
    """Return the names of the environment variables that the selected provider reads."""
    provider = _provider(config)
    named = (provider.get("env_key"), *_table(provider, "env_http_headers").values())
    return frozenset(name for name in named if isinstance(name, str))


def keeps_login_in_keyring(layers: Iterable[Config], *, has_file: bool) -> bool:
    """Return whether codex reads the login from the system's keyring; the first of `layers` with a setting decides.

    With "auto", codex writes the file only if the keyring cannot be used, and removes it after writing the keyring.
    """
    store = next((layer[CREDENTIALS_STORE] for layer in layers if CREDENTIALS_STORE in layer), "file")
    return store == "keyring" or (store == "auto" and not has_file)


def overruled(layers: Sequence[Config]) -> dict[str, Any]:
    """Return the settings that replace the preferences, and disable the MCP servers, of other configuration."""
    values: dict[str, Any] = {key: value for key, value in _NEUTRAL.items() if any(key in layer for layer in layers)}
    tables = [_table(layer, "mcp_servers") for layer in layers]
    if servers := {name: switched_off(_table(table, name)) for table in tables for name in table}:
        values["mcp_servers"] = servers
    return values


def switched_off(server: Config) -> dict[str, Any]:
    """Return an MCP server that is off; it has an address, which codex requires even if the file loses the server."""
    address = {"url": "http://127.0.0.1"} if "url" in server else {"command": "false"}
    return {**address, "enabled": False}


def read_features(printed: bytes) -> dict[str, bool]:
    """Return the features that `codex features list` prints, each with whether it is on, without removed ones.

    Raises:
        ValueError: the list has no feature.
    """
    rows = [line.split() for line in printed.decode().splitlines()]
    features = {row[0]: row[-1] == "true" for row in rows if row and "removed" not in row}
    if not features:
        raise ValueError("the list has no feature")
    return features


def to_toml(value: Any) -> str:
    """Return a string, number, boolean, list or table as one line of TOML."""
    match value:
        case dict():
            table = cast("dict[str, Any]", value)
            return f"{{{', '.join(f'{to_toml(key)} = {to_toml(item)}' for key, item in table.items())}}}"
        case list():
            return f"[{', '.join(map(to_toml, cast('list[Any]', value)))}]"
        case str():
            # The only character that JSON does not escape and TOML refuses.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case _:
            return json.dumps(value, default=str)


def _provider(config: Config) -> dict[str, Any]:
    name = config.get("model_provider")
    return _table(_table(config, "model_providers"), name) if isinstance(name, str) else {}


def _with_absolute_paths(provider: dict[str, Any], absolute: Callable[[str], str]) -> dict[str, Any]:
    """Complete the provider's paths: codex resolves them against the folder of the file that contains them."""
    changed = {**provider}
    if isinstance(path := provider.get("credential_file"), str):
        changed["credential_file"] = absolute(path)
    auth = _table(provider, "auth")
    if isinstance(path := auth.get("cwd"), str):
        changed["auth"] = {**auth, "cwd": absolute(path)}
    return changed


def _table(config: Config, key: str) -> dict[str, Any]:
    value = config.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
