"""What of codex's configuration belongs to the user's connection, and how the rest is kept from the chat mode.

1. A private home gets the keys of `CONNECTION_KEYS`, the selected provider, and nothing else: `connection_config`.
2. Where codex also reads configuration that is not ours (the administrator's, or the user's when the home cannot be
   private), it is overruled on codex's command line: `overruled`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

Config: TypeAlias = Mapping[str, Any]
"""The content of a config.toml."""

CONNECTION_KEYS = (
    # Where to connect.
    "model_provider",
    "openai_base_url",
    "chatgpt_base_url",
    # As whom.
    "forced_login_method",
    "forced_chatgpt_workspace_id",
    # Codex 0.163 and newer refuse this old key and say what to do. Without it they would use another provider silently.
    "profile",
)
"""The keys that say where and as whom codex connects; the table of the selected provider belongs to them."""

CONNECTION_FEATURES = (
    "enable_request_compression",
    "respect_system_proxy",
    "system_proxy_fallback",
    "use_agent_identity",
)
"""The features that belong to the connection: compression, the system's proxy, the kind of identity."""

CREDENTIALS_STORE = "cli_auth_credentials_store"

_NEUTRAL = {
    # The defaults of the OpenAI API. Codex has no value that means "the model's own default".
    "model_reasoning_effort": "medium",
    "model_verbosity": "medium",
    "service_tier": "default",
}
"""What replaces a preference in configuration that is not ours."""


def connection_config(config: Config, absolute: Callable[[str], str]) -> dict[str, Any]:
    """Return what of the user's `config` a private home needs; `absolute` completes a path that it contains.

    The login is a file there: in a private home codex would not find it in the system's keyring.
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
    """Tell whether codex looks for the login in the system's keyring; the first of `layers` that says so decides.

    With "auto" codex writes the file only where the keyring cannot be used, and removes it after writing the keyring.
    """
    store = next((layer[CREDENTIALS_STORE] for layer in layers if CREDENTIALS_STORE in layer), "file")
    return store == "keyring" or (store == "auto" and not has_file)


def overruled(layers: Sequence[Config]) -> dict[str, Any]:
    """Return what replaces the preferences, and switches off the MCP servers, of configuration that is not ours."""
    values: dict[str, Any] = {key: value for key, value in _NEUTRAL.items() if any(key in layer for layer in layers)}
    tables = [_table(layer, "mcp_servers") for layer in layers]
    if servers := {name: _switched_off(_table(table, name)) for table in tables for name in table}:
        values["mcp_servers"] = servers
    return values


def _switched_off(server: Config) -> dict[str, Any]:
    """Codex refuses a server without an address, so it has one even when the user removes it from the file."""
    address = {"url": "http://127.0.0.1"} if "url" in server else {"command": "false"}
    return {**address, "enabled": False}


def read_features(printed: bytes) -> dict[str, bool]:
    """Return the features that `codex features list` prints, with whether each is on; removed ones are left out.

    Raises:
        ValueError: there are none.
    """
    rows = [line.split() for line in printed.decode().splitlines()]
    features = {row[0]: row[-1] == "true" for row in rows if row and "removed" not in row}
    if not features:
        raise ValueError("the list names none")
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
            # Of what JSON leaves as it is, TOML refuses this one character.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case _:
            return json.dumps(value, default=str)


def _provider(config: Config) -> dict[str, Any]:
    name = config.get("model_provider")
    return _table(_table(config, "model_providers"), name) if isinstance(name, str) else {}


def _with_absolute_paths(provider: dict[str, Any], absolute: Callable[[str], str]) -> dict[str, Any]:
    """Codex takes relative paths from the folder of the file in which it finds them."""
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
