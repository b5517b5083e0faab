"""Who is examined: the settings of a server and of the tunnel in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from bridge.codex.models import NAMED, reverse

SILENCE = 130.0
"""Seconds. Cloudflare cuts a stream in which nothing came for about 100."""


class Subject(Struct, frozen=True):
    """`url` is the public base URL as it was typed; None leaves the public checks out."""

    codex: str | None = None
    host: str = "127.0.0.1"
    port: int = 11435
    api_key: str | None = None
    certfile: str | None = None
    """The certificate of a server that speaks HTTPS."""
    url: str | None = None
    cloudflared: str | None = None
    tunnel_config: Path | None = None
    """The configuration of the tunnel; None when there is none."""
    model: str = reverse(NAMED[0])
    silence: float = SILENCE
    """How long the silent stream of the long check is."""

    @property
    def local(self) -> str:
        """Where this machine reaches the server."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", ""} else "::1" if self.host == "::" else self.host  # noqa: S104 - a comparison
        scheme = "https" if self.certfile else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def trusted_at(self, root: str) -> str | None:
        """Return the certificate that a server must show at this base URL; None: any that this machine trusts."""
        return self.certfile if root == self.local else None

    @property
    def credentials(self) -> Mapping[str, str]:
        """The headers that show the key."""
        return {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
