"""The settings of a server as one value, with their defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct
from platformdirs import user_config_path, user_state_path

ReasoningDisplay: TypeAlias = Literal["off", "reasoning_content", "think", "details"]
"""How what the model tells about its reasoning is shown: not at all, in a field of its own, or inside the text."""

LogFormat: TypeAlias = Literal["human", "json"]

DEFAULT_ADDRESS = ":11435"
EXAMPLE_ADDRESS = "127.0.0.1:8000"


class Settings(Struct, frozen=True):
    """Everything a server can be told. Times are seconds, sizes bytes."""

    host: str = ""
    """Where to listen; empty for all addresses, IPv4 and IPv6. Without a key only loopback peers are answered."""
    port: int = 11435
    certfile: str | None = None
    """PEM file with the certificate of an HTTPS server and what leads to its authority; None serves plain HTTP."""
    keyfile: str | None = None
    """PEM file with the key of that certificate."""
    codex: str | None = None
    """The codex executable; None looks for it on PATH, then in the wheel."""
    codex_ca_file: str | None = None
    """PEM file with the only certificates that codex trusts; None: the system's, loaded for each conversation."""
    api_key: str | None = None
    """What every peer must send; None admits loopback peers with any key and nobody else."""
    max_body: int = 64 * 1024 * 1024
    start_patience: float = 10
    """How long a request waits for a codex that is starting."""
    head_patience: float = 4
    """How long a stream waits for the first event, so that a failure before it keeps its true status."""
    keep_alive: float = 8
    """The pause after which a silent stream gets a comment; tunnels cut it after about 100 seconds."""
    idle_timeout: float = 600
    """How long the model may send nothing."""
    reasoning: ReasoningDisplay = "off"
    """How what the model tells about its reasoning is shown."""
    threads: int = 64
    """How many threads wait for their conversation to go on; each takes about 1 MB of codex and a connection."""
    spares: int = 2
    """How many threads are started ahead of new conversations: one for the model and tools of each kind used last."""
    thread_age: float = 1800
    """How long a thread waits, with or without a tool call open."""
    store: str | None = None
    """The file or the redis:// URL of stored responses; None keeps them in memory for as long as the server runs."""
    store_size: int = 256 * 1024 * 1024
    """How large a file may become; the longest unused responses go first."""
    store_age: float = 30 * 24 * 3600
    """How long a stored response is kept after it was last used."""
    answers: int = 200
    """How many answers run at once; the others wait for their turn, fairly among the clients."""
    queue_patience: float = 30
    """How long an answer waits for its turn before the client is told to come again."""
    log_requests: bool = False
    """Whether the text of requests is logged."""
    grace: float = 5
    """How long open answers may go on after the server was told to stop."""
    record: str | None = None
    """The folder into which every conversation is recorded."""
    replay: str | None = None
    """The folder of recorded cases that are served in the place of codex."""
    pace: float = 1
    """What the pauses of a replay are divided by; infinity leaves none."""
    demo: bool = False
    """Whether the replay is only there because nobody is logged in."""


DEFAULTS = Settings()


def parse_address(text: str) -> tuple[str, int]:
    """Read `host:port`, `[ipv6]:port`, `:port` or `port`; an empty host stands for all addresses.

    Raises:
        ValueError: it is none of them.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else ""
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is not an address; use HOST:PORT, for example {EXAMPLE_ADDRESS}")
    return host, int(port)


PROGRAM = "codex-openai-proxy"


def settings_folder() -> Path:
    """Return the folder of what a person sets: settings, the API key, the tunnel's configuration."""
    return user_config_path(PROGRAM, appauthor=False, roaming=True)


def state_folder() -> Path:
    """Return the folder of what the program keeps for itself: stored responses, codex's private home."""
    return user_state_path(PROGRAM, appauthor=False)
