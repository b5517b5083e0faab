"""The settings of a server with their defaults, and the folders of the program."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct, field
from platformdirs import user_config_path, user_state_path

ReasoningDisplay: TypeAlias = Literal["off", "reasoning_content", "think", "details"]
"""How reasoning summaries are shown: not at all, in a separate field, or inside the text."""

ActivityStyle: TypeAlias = Literal["reasoning_content", "text", "details", "off"]
"""How a chat completion shows what an agent does before its answer."""

NameStyle: TypeAlias = Literal["reversed", "plain", "both"]
"""How models are listed; names of both kinds are always accepted."""

LogFormat: TypeAlias = Literal["human", "json"]

PROGRAM = "codex-openai-proxy"
"""The name of the program and of its folders."""

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d+)?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

DEFAULT_ADDRESS = ":11435"
EXAMPLE_ADDRESS = "127.0.0.1:8000"


Ask: TypeAlias = Literal["never", "client", "auto"]
"""Who decides about what an agent's settings do not allow: no one, the client, or Codex's own reviewer."""


class AgentSettings(Struct, frozen=True):
    """A folder in which Codex works as an agent, and what it may do there."""

    name: str
    """The end of its model name, `codex-agent-NAME`."""
    folder: str
    """The folder's real path."""
    write: bool = False
    """Whether it may change files in the folder, except those of git."""
    git: bool = False
    """Whether it may change the files of git too, for example to commit."""
    read: tuple[str, ...] = ()
    """The real paths of further folders that it may read; `/` stands for the whole machine."""
    network: bool = False
    """Whether its commands may use the network."""
    model: str | None = None
    """Codex's name of the model; None is the default of the user's codex."""
    mcp: bool = True
    """Whether it has the user's MCP servers, which run outside the sandbox."""
    ask: Ask = "never"

    def __str__(self) -> str:
        return f"{self.name}={self.folder}"


class Settings(Struct, frozen=True):
    """All settings of a server. Times are in seconds, sizes in bytes."""

    host: str = ""
    """Address to listen on; empty for all addresses, IPv4 and IPv6. Without a key only loopback peers are answered."""
    port: int = 11435
    certfile: str | None = None
    """PEM file with the certificate of an HTTPS server and its chain; None serves plain HTTP."""
    keyfile: str | None = None
    """PEM file with the private key of that certificate."""
    codex: str | None = None
    """The codex executable; None searches PATH, then the installed wheel."""
    codex_ca_file: str | None = None
    """PEM file with the only certificates that codex trusts; None for the system's, loaded for each conversation."""
    codex_unchecked: bool = False
    """Whether codex is started without checking that it adds nothing to the model's input."""
    api_key: str | None = None
    """The server's own key, needed without a named one; if there is no key, loopback peers are admitted with any."""
    keys_file: str | None = None
    """TOML file of named keys; if it exists, every request needs a key."""
    allow_origin: tuple[str, ...] = ()
    """Origins of web pages that need no key, as browsers send them; `*` means all."""
    max_body: int = 64 * 1024 * 1024
    start_patience: float = 10
    """How long a request waits while codex starts."""
    head_patience: float = 4
    """How long a stream waits for its first event before it begins; an earlier failure keeps its HTTP status."""
    keep_alive: float = 8
    """Pause after which a silent stream gets a comment; tunnels cut silent streams after about 100 seconds."""
    idle_timeout: float = 600
    """How long the model may send nothing, or the client may take nothing, before the answer fails."""
    reasoning: ReasoningDisplay = "off"
    """How reasoning summaries are shown."""
    model_names: NameStyle = "both"
    """How models are listed: reversed, which Cursor needs, plain, or both."""
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    """The user's own model names: name → model, with effort and speed."""
    threads: int = 64
    """How many threads are kept for their conversation to continue; each takes about 1 MB of codex and a connection."""
    spares: int = 2
    """How many threads are started ahead of new conversations, one for each recently used pair of model and tools."""
    thread_age: float = 1800
    """How long an idle thread is kept, with or without an open tool call."""
    store: str | None = None
    """File or redis:// URL of stored responses; None keeps them in memory until the server stops."""
    store_size: int = 256 * 1024 * 1024
    """Largest size of a store file; the least recently used responses are deleted first."""
    store_age: float = 30 * 24 * 3600
    """How long a stored response is kept after its last use."""
    usage_age: float = 400 * 24 * 3600
    """How long a day's usage is kept."""
    answers: int = 200
    """How many answers run at once; others wait in a queue that is fair between clients."""
    queue_patience: float = 30
    """How long an answer waits in the queue before it is refused with 429."""
    no_websocket: bool = False
    """Whether WebSockets are refused, which sends clients to HTTP."""
    log_requests: bool = False
    """Whether request bodies are logged."""
    grace: float = 5
    """How long open answers may continue after the server was told to stop."""
    record: str | None = None
    """Folder in which every conversation is recorded."""
    replay: str | None = None
    """Folder of recorded cases to serve instead of running codex."""
    pace: float = 1
    """Speed factor of a replay: its pauses are divided by this; infinity removes them."""
    demo: bool = False
    """Whether recordings are replayed because codex is not logged in."""
    agents: tuple[AgentSettings, ...] = ()
    """The agents; the first one also has the name `codex-agent`. They require `api_key`."""
    agent_activity: ActivityStyle = "reasoning_content"
    """How a chat completion shows what an agent does; Cursor gets `text` instead of `reasoning_content`."""
    agent_idle: float = 600
    """How long the codex of the agents runs without a request."""
    agent_time: float = 3600
    """How long an agent may work on one answer."""

    def __post_init__(self) -> None:
        """Refuse agents that everybody on this machine could use.

        Raises:
            ValueError: there is an agent, but no API key.
        """
        if self.agents and not self.api_key:
            raise ValueError("agents require an API key")


DEFAULTS = Settings()


def parse_address(text: str) -> tuple[str, int]:
    """Parse `host:port`, `[ipv6]:port`, `:port` or `port`; an empty host means all addresses.

    Raises:
        ValueError: the text has none of these forms.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else ""
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is not an address; use HOST:PORT, for example {EXAMPLE_ADDRESS}")
    return host, int(port)


def parse_origin(text: str) -> str:
    """Return an origin in the form in which browsers send it; `*` and `null` are returned as they are.

    Raises:
        ValueError: the text is not the origin of a web page.
    """
    origin = text.strip().lower().removesuffix("/")
    if origin in {"*", "null"}:
        return origin
    if not _ORIGIN.fullmatch(origin):
        raise ValueError(f"{text!r} is not an origin; use SCHEME://HOST[:PORT], for example https://chat.example, or *")
    return origin.removesuffix(_DEFAULT_PORTS.get(origin.partition(":")[0], ""))


def settings_folder() -> Path:
    """Return the folder for what the user configures: settings, the API key, the tunnel's configuration."""
    return user_config_path(PROGRAM, appauthor=False, roaming=True)


def state_folder() -> Path:
    """Return the folder for the program's own data: stored responses, codex's private home."""
    return user_state_path(PROGRAM, appauthor=False)
