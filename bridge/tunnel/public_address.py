"""A tunnel that runs: which command makes it, and when its address may be told to people."""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec import Struct

from bridge.tunnel import files
from bridge.tunnel.cloudflared import Cloudflared, find_cloudflared
from bridge.tunnel.config import problems, read_config, service_url
from bridge.tunnel.errors import TunnelError
from bridge.tunnel.log import LogEvent, QuickAddress, Registered, Trouble

logger = logging.getLogger(__name__)

QUICK = "quick"
"""What stands for a hostname where the tunnel is to be one of trycloudflare.com."""

QUICK_WARNING = (
    "a quick tunnel is for a try: its address changes at each start, Cloudflare promises nothing for it and may hold "
    "streams back. For every day set up a named one: codex-openai-proxy tunnel --hostname HOSTNAME"
)


class PublicAddress(Struct):
    """Runs cloudflared; `tell` gets the address when it can be reached, and again when it has changed."""

    command: list[str]
    address: str | None
    """None until a quick tunnel has been given one."""
    tell: Callable[[str], None]
    told: str | None = None
    """The address that was told last."""

    async def run(self) -> None:
        """Run until cancelled."""
        await Cloudflared(self.command, self.notice).run()

    def notice(self, event: LogEvent) -> None:
        """Take one event of the log."""
        match event:
            case QuickAddress(url):
                self.address = url
            case Registered(location):
                logger.info("the tunnel is connected%s", f" to {location}" if location else "")
                if self.address and self.address != self.told:
                    self.told = self.address
                    self.tell(self.address)
            case Trouble(text):
                logger.warning("cloudflared: %s", text)


def public_address(
    where: str, port: int, cloudflared: str | None, tell: Callable[[str], None], *, secure: bool = False
) -> PublicAddress:
    """Return the tunnel that leads `where`, a hostname that has been set up or `quick`, to the server on `port`.

    A `secure` server speaks HTTPS; its certificate is not checked on the way inside this machine.

    Raises:
        TunnelError: there is no cloudflared, or the hostname has not been set up for this port.
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
    _check(where, port, secure=secure)
    command = [executable, "tunnel", "--no-autoupdate", "--config", str(files.CONFIG), "run"]
    return PublicAddress(command, f"https://{where}", tell)


def _check(hostname: str, port: int, *, secure: bool) -> None:
    again = f"set it up: codex-openai-proxy tunnel --hostname {hostname} --addr :{port} --setup"
    if not files.CONFIG.is_file():
        raise TunnelError(f"no tunnel has been set up; {again}")
    facts = read_config(files.CONFIG.read_text(encoding="utf-8"))
    if facts.hostname != hostname:
        raise TunnelError(f"the tunnel has been set up for {facts.hostname} and not for {hostname}; {again}")
    if wrong := list(problems(facts, port, secure=secure)):
        raise TunnelError(f"{files.CONFIG}: {'; '.join(wrong)}; {again}")
