"""The configuration of a named tunnel: written for cloudflared, and read back to see whether it fits.

Source: Cloudflare's documentation of the configuration file of locally-managed tunnels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from msgspec import Struct

NOT_FOUND = "http_status:404"
"""The service that answers what no other rule does; it must come last."""

METRICS_PORTS = range(20241, 20246)
"""Where cloudflared tells of itself on loopback, if it is not told otherwise: the first of them that is free."""


class NamedTunnel(Struct, frozen=True):
    """A tunnel that cloudflared has created; `credentials` is the path of its file."""

    tunnel_id: str
    credentials: str
    hostname: str
    port: int
    secure: bool = False
    """Whether the server speaks HTTPS."""


class ConfigFacts(Struct, frozen=True):
    """What a configuration says, as far as it concerns us."""

    protocol: str | None
    hostnames: tuple[str, ...]
    services: tuple[str, ...]
    metrics: str | None

    @property
    def hostname(self) -> str | None:
        return self.hostnames[0] if self.hostnames else None


def service_url(port: int, *, secure: bool) -> str:
    """Return where cloudflared finds the server on this machine."""
    return f"{'https' if secure else 'http'}://127.0.0.1:{port}"


def config_text(tunnel: NamedTunnel) -> str:
    """Return the file. A JSON string is YAML as well, whatever letters a path holds."""
    # The certificate is for another name than 127.0.0.1, and the way there does not leave this machine.
    unverified = "\n    originRequest:\n      noTLSVerify: true" if tunnel.secure else ""
    return f"""\
# Written by codex-openai-proxy; it is written anew when the tunnel is set up again.
tunnel: {tunnel.tunnel_id}
credentials-file: {json.dumps(tunnel.credentials)}
# HTTP/2 over TCP: QUIC is blocked by many networks, and streams that stall there look like failures of the model.
protocol: http2
ingress:
  - hostname: {tunnel.hostname}
    service: {service_url(tunnel.port, secure=tunnel.secure)}{unverified}
  - service: {NOT_FOUND}
"""


def read_config(text: str) -> ConfigFacts:
    """Read the lines that matter; whether cloudflared accepts the file, only cloudflared knows."""
    return ConfigFacts(
        next(_values(text, "protocol"), None),
        tuple(_values(text, "hostname")),
        tuple(_values(text, "service")),
        next(_values(text, "metrics"), None),
    )


def _values(text: str, key: str) -> Iterator[str]:
    pattern = rf"^\s*(?:-\s+)?{key}:[ \t]*(.+?)(?:\s+#.*)?$"
    return (value.strip("'\"") for value in re.findall(pattern, text, re.MULTILINE))


def problems(facts: ConfigFacts, port: int, *, secure: bool = False) -> Iterator[str]:
    """Say what would keep requests from the server on `port`, HTTPS if it is `secure`, or cut its streams."""
    if facts.protocol not in {"http2", None}:
        yield f"protocol is {facts.protocol}; write `protocol: http2`, which networks do not block"
    if facts.protocol is None:
        yield "protocol is left to cloudflared, which prefers QUIC; write `protocol: http2`, as networks block QUIC"
    if not facts.services or facts.services[-1] != NOT_FOUND:
        yield f"the last ingress rule is not `service: {NOT_FOUND}`, without which cloudflared refuses the file"
    scheme = "https" if secure else "http"
    if not any(re.fullmatch(rf"{scheme}://(localhost|127\.0\.0\.1|\[::1\]):{port}/?", it) for it in facts.services):
        yield f"no ingress rule leads to {service_url(port, secure=secure)}, where the server listens"
