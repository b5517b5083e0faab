"""The server and tunnel settings that the checks examine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from bridge.codex.models import DEFAULT, reverse

SILENCE = 130.0
"""Seconds of silence in the long check; Cloudflare cuts a stream after about 100 silent seconds."""


class Subject(Struct, frozen=True):
    """What to check. `url` is the public base URL as typed; None skips the public checks."""

    codex: str | None = None
    host: str = "127.0.0.1"
    port: int = 11435
    api_key: str | None = None
    certfile: str | None = None
    """The certificate of a server that speaks HTTPS."""
    url: str | None = None
    cloudflared: str | None = None
    tunnel_config: Path | None = None
    """The tunnel's configuration file; None when there is none."""
    keys_file: Path | None = None
    """The file of the named keys, which may not exist."""
    model: str = reverse(DEFAULT)
    silence: float = SILENCE
    """Seconds for which the stream of the long check is silent."""

    @property
    def local(self) -> str:
        """The server's base URL on this machine, without `/v1`."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", ""} else "::1" if self.host == "::" else self.host  # noqa: S104 - a comparison
        return self._url(host)

    @property
    def shown(self) -> str:
        """The same for people and clients: a server on all addresses is at `localhost`."""
        return self._url("localhost" if self.host in {"0.0.0.0", "", "::"} else self.host)  # noqa: S104 - a comparison

    def _url(self, host: str) -> str:
        scheme = "https" if self.certfile else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def trusted_at(self, root: str) -> str | None:
        """Return the certificate that a server must show at this base URL; None means any that this machine trusts."""
        return self.certfile if root == self.local else None

    @property
    def credentials(self) -> Mapping[str, str]:
        """The headers that carry the API key; empty without a key."""
        return {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
