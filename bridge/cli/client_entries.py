"""The entry of this server in the configuration of each client, as a text to paste."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from msgspec import Struct

from bridge.cli.cursor_values import azure_values, cursor_values
from bridge.codex.models import DEFAULT, NAMED, reverse

PLACEHOLDER = "YOUR-KEY"
"""Stands for the key of a server that has one: an entry is often shown to other people."""
NO_ADDRESS = "https://YOUR-HOST"
"""Stands for the public address of a server without a tunnel."""

_INPUT, _OUTPUT = 272_000, 128_000
"""Tokens that the models of Codex take and give; VS Code does not ask the server."""


class Server(Struct, frozen=True):
    """What a client must know about a server."""

    address: str = "http://localhost:11435"
    """Its base URL on this machine, without `/v1`."""
    public: str = NO_ADDRESS
    """Its base URL for clients elsewhere."""
    key: str = "any"
    models: Sequence[str] = (DEFAULT,)
    """The plain names of the models, the preferred one first."""


class Client(Struct, frozen=True):
    """A client, the place where its entry belongs, and the function that writes the entry."""

    place: str
    entry: Callable[[Server], str]
    public: bool = False
    """Whether it needs the server's public address."""


def models_to_offer(listed: Sequence[str]) -> list[str]:
    """Return plain names from the names that a server lists: `codex`, aliases, agents, and the models of the login.

    The four named models are left out, because a login may lack them.
    """
    plain = [*listed[listed.index(NAMED[0]) :]] if NAMED[0] in listed else [reverse(name) for name in listed]
    return [name for name in plain if name not in NAMED]


def _cursor(server: Server) -> str:
    return cursor_values(server.public, server.key, server.models)


def _cursor_azure(server: Server) -> str:
    return azure_values(server.public, server.key, server.models)


def _vscode(server: Server) -> str:
    models = [
        {
            "id": name,
            "name": name,
            "url": f"{server.address}/v1/chat/completions",
            "toolCalling": True,
            "vision": True,
            "maxInputTokens": _INPUT,
            "maxOutputTokens": _OUTPUT,
        }
        for name in server.models
    ]
    provider = {"name": "Codex", "vendor": "customendpoint", "apiKey": server.key, "apiType": "chat-completions"}
    return json.dumps([{**provider, "models": models}], indent=2)


def _continue(server: Server) -> str:
    models = (
        f"""\
  - name: {name}
    provider: openai
    model: {name}
    apiBase: {server.address}/v1
    apiKey: {server.key}
    capabilities: [tool_use, image_input]"""
        for name in server.models
    )
    return "\n".join(("name: Codex", "version: 1.0.0", "schema: v1", "models:", *models))


def _codex(server: Server) -> str:
    return f"""\
model_provider = "proxy"

[model_providers.proxy]
name = "proxy"
base_url = "{server.address}/v1"
wire_api = "responses"
supports_websockets = true

[model_providers.proxy.auth]
command = "echo"
args = ["{server.key}"]"""


def _aider(server: Server) -> str:
    return f"""\
openai-api-base: {server.address}/v1
openai-api-key: {server.key}
model: openai/{server.models[0]}"""


def _llm(server: Server) -> str:
    entries = (
        f"""\
- model_id: {name}
  model_name: {name}
  api_base: {server.address}/v1
  headers: {{Authorization: Bearer {server.key}}}
  supports_tools: true
  supports_schema: true
  vision: true"""
        for name in server.models
    )
    return "\n".join(entries)


def _open_webui(server: Server) -> str:
    return f"OPENAI_API_BASE_URL={server.address}/v1\nOPENAI_API_KEY={server.key}"


CLIENTS = {
    "cursor": Client("Cursor: Settings, Models", _cursor, public=True),
    "cursor-azure": Client("Cursor: Settings, Models, Azure OpenAI", _cursor_azure, public=True),
    "vscode": Client("chatLanguageModels.json (VS Code opens it: Manage Language Models, Custom Endpoint)", _vscode),
    "continue": Client("~/.continue/config.yaml", _continue),
    "codex": Client("~/.codex/config.toml", _codex),
    "aider": Client("~/.aider.conf.yml", _aider),
    "llm": Client("extra-openai-models.yaml, beside the file whose path `llm logs path` prints", _llm),
    "openwebui": Client(
        "the environment of Open WebUI (in a container: host.docker.internal instead of localhost)", _open_webui
    ),
}
"""Clients by the name that `models --for` takes."""
