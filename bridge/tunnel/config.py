"""The cloudflared configuration of a named tunnel: writes, reads and checks it.

Source: Cloudflare's documentation of the configuration file of locally-managed tunnels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec
from msgspec import Struct

NOT_FOUND = "http_status:404"
"""The catch-all service, which must be the last rule."""

METRICS_PORTS = range(20241, 20246)
"""Loopback ports of cloudflared's metrics server; by default it takes the first free one."""


class NamedTunnel(Struct, frozen=True):
    """A tunnel that cloudflared has created; `credentials` is the path of its credentials file."""

    tunnel_id: str
    credentials: str
    hostname: str
    port: int
    secure: bool = False
    """Whether the server speaks HTTPS."""


class Rule(Struct, frozen=True):
    """An ingress rule: requests for `hostname`, or all without one, go to `service`."""

    service: str = ""
    hostname: str | None = None


class Config(Struct, frozen=True):
    """The values of a configuration that matter here."""

    protocol: str | None = None
    ingress: tuple[Rule, ...] | None = None
    metrics: str | None = None

    @property
    def rules(self) -> tuple[Rule, ...]:
        return self.ingress or ()

    @property
    def hostname(self) -> str | None:
        """The first hostname, which is the only one in a configuration of ours."""
        return next((rule.hostname for rule in self.rules if rule.hostname), None)


def service_url(port: int, *, secure: bool) -> str:
    """Return the URL at which cloudflared reaches the server on this machine."""
    return f"{'https' if secure else 'http'}://127.0.0.1:{port}"


def config_text(tunnel: NamedTunnel) -> str:
    """Return the text of the file. Strings are written as JSON, which YAML reads with any characters in them."""
    # The certificate names another host than 127.0.0.1, and this connection does not leave the machine.
    unverified = "\n    originRequest:\n      noTLSVerify: true" if tunnel.secure else ""
    return f"""\
# Written by codex-openai-proxy; overwritten when the tunnel is set up again.
tunnel: {tunnel.tunnel_id}
credentials-file: {json.dumps(tunnel.credentials)}
# HTTP/2 over TCP: many networks block QUIC, and a stalled stream looks like a failure of the model.
protocol: http2
ingress:
  - hostname: {tunnel.hostname}
    service: {service_url(tunnel.port, secure=tunnel.secure)}{unverified}
  - service: {NOT_FOUND}
"""


def parse_config(text: str) -> Config:
    """Return the values that matter; only cloudflared itself can say whether the file is valid.

    Raises:
        ValueError: the text is not YAML, or one of these values has another type.
    """
    try:
        return msgspec.yaml.decode(text, type=Config | None) or Config()
    except msgspec.DecodeError as error:
        raise ValueError(" ".join(str(error).split())) from None


def problems(config: Config, port: int, *, secure: bool = False) -> Iterator[str]:
    """Yield each problem that keeps requests from the server on `port` (HTTPS if `secure`) or cuts its streams."""
    if config.protocol not in {"http2", None}:
        yield f"protocol is {config.protocol}; write `protocol: http2`, which networks rarely block"
    if config.protocol is None:
        yield "protocol is not set, and cloudflared prefers QUIC, which networks block; write `protocol: http2`"
    services = [rule.service for rule in config.rules]
    if not services or services[-1] != NOT_FOUND:
        yield f"the last ingress rule is not `service: {NOT_FOUND}`, which cloudflared requires"
    scheme = "https" if secure else "http"
    if not any(re.fullmatch(rf"{scheme}://(localhost|127\.0\.0\.1|\[::1\]):{port}/?", service) for service in services):
        yield f"no ingress rule leads to {service_url(port, secure=secure)}, where the server listens"
