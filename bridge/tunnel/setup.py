"""Sets up a named tunnel: the Cloudflare login, the tunnel, its DNS name, its configuration, the API key."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager

import anyio

from bridge.tunnel import files
from bridge.tunnel.cloudflared import ask, certificate, create
from bridge.tunnel.config import NamedTunnel, config_text
from bridge.tunnel.errors import TunnelError

Around = Callable[[str], AbstractContextManager[None]]

_HOSTNAME = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.IGNORECASE)


async def set_up(executable: str, hostname: str, name: str, port: int, around: Around, *, secure: bool = False) -> None:
    """Do the steps that are missing; each slow step runs inside the context that `around` returns for its title.

    A `secure` server speaks HTTPS on `port`.

    Raises:
        TunnelError: a step failed; earlier steps need not be repeated.
    """
    if not _HOSTNAME.fullmatch(hostname):
        raise TunnelError(f"{hostname!r} is not a hostname; give one in a domain that Cloudflare serves for you")
    if certificate() is None:
        await _log_in(executable)
    with around(f"creating the tunnel {name}"):
        tunnel_id = await create(executable, name)
    with around(f"pointing {hostname} to it"):
        await ask(executable, "tunnel", "route", "dns", tunnel_id, hostname)
    folder = certificate()
    if folder is None:
        raise TunnelError("cloudflared wrote no certificate; run `cloudflared tunnel login`")
    credentials = folder.parent / f"{tunnel_id}.json"
    files.make_key()
    tunnel = NamedTunnel(tunnel_id, str(credentials), hostname, port, secure)
    files.CONFIG.write_text(config_text(tunnel), encoding="utf-8")


async def _log_in(executable: str) -> None:
    """Run cloudflared's own login, which opens a browser or prints a URL, and waits."""
    done = await anyio.run_process([executable, "tunnel", "login"], stdin=None, stdout=None, stderr=None, check=False)
    if done.returncode != 0:
        raise TunnelError("`cloudflared tunnel login` failed; try again")
