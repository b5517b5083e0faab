"""Runs a tunnel and announces its public address once the tunnel is connected."""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec import Struct

from bridge.tunnel import files
from bridge.tunnel.cloudflared import Cloudflared, find_cloudflared
from bridge.tunnel.config import problems, service_url
from bridge.tunnel.errors import TunnelError
from bridge.tunnel.log import LogEvent, QuickAddress, Registered, Trouble

logger = logging.getLogger(__name__)

QUICK = "quick"
"""Given instead of a hostname, it selects a trycloudflare.com tunnel."""

QUICK_WARNING = (
    "a quick tunnel is for testing: its address changes at each start, Cloudflare guarantees nothing and may hold "
    "streams back. For regular use set up a named tunnel: codex-openai-proxy tunnel --hostname HOSTNAME"
)


class PublicAddress(Struct):
    """Runs cloudflared; calls `tell` with the address when it is reachable, and again when it has changed."""

    command: list[str]
    address: str | None
    """None until Cloudflare has assigned an address to a quick tunnel."""
    tell: Callable[[str], None]
    told: str | None = None
    """The last address passed to `tell`."""

    async def run(self) -> None:
        """Run until cancelled."""
        await Cloudflared(self.command, self.notice).run()

    def notice(self, event: LogEvent) -> None:
        """Handle one event of cloudflared's log."""
        match event:
            case QuickAddress(url):
                self.address = url
            case Registered(location):
                logger.info("the tunnel is connected%s", f" to {location}" if location else "")
                if self.address and self.address != self.told:
                    self._announce(self.address)
            case Trouble(text):
                logger.warning("cloudflared: %s", text)

    def _announce(self, address: str) -> None:
        self.told = address
        try:
            self.tell(address)
        except OSError as error:
            logger.warning("the values for Cursor cannot be printed (%s); the address is %s", error, address)


def public_address(
    where: str, port: int, cloudflared: str | None, tell: Callable[[str], None], *, secure: bool = False
) -> PublicAddress:
    """Return the tunnel from `where` (a hostname that is set up, or `quick`) to the server on `port`.

    A `secure` server speaks HTTPS; cloudflared does not verify its certificate on this machine.

    Raises:
        TunnelError: cloudflared is not installed, or the hostname is not set up for this port.
    """
    executable = find_cloudflared(cloudflared)
    if where == QUICK:
        logger.warning("%s", QUICK_WARNING)
        files.QUICK_CONFIG.parent.mkdir(parents=True, exist_ok=True)
        files.QUICK_CONFIG.write_text("")
        more = ["--config", str(files.QUICK_CONFIG), "--protocol", "http2", "--url", service_url(port, secure=secure)]
        if secure:
            more.append("--no-tls-verify")
        return PublicAddress([executable, "tunnel", "--no-autoupdate", *more], None, tell)
    check_hostname(where, port, secure=secure)
    command = [executable, "tunnel", "--no-autoupdate", "--config", str(files.CONFIG), "run"]
    return PublicAddress(command, f"https://{where}", tell)


def check_hostname(hostname: str, port: int, *, secure: bool) -> None:
    """Check that a hostname is set up for the server on `port`.

    Raises:
        TunnelError: it is not.
    """
    again = f"set it up: codex-openai-proxy tunnel --hostname {hostname} --addr :{port} --setup"
    if not files.CONFIG.is_file():
        raise TunnelError(f"no tunnel is set up; {again}")
    config = files.read_config(files.CONFIG)
    if config.hostname != hostname:
        raise TunnelError(f"the tunnel is set up for {config.hostname}, not for {hostname}; {again}")
    if wrong := list(problems(config, port, secure=secure)):
        raise TunnelError(f"{files.CONFIG}: {'; '.join(wrong)}; {again}")
