"""The cloudflared program: finds it, runs its commands, creates tunnels, and keeps a tunnel running."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
from anyio.abc import Process

from bridge.tunnel import guard
from bridge.tunnel.errors import TunnelError
from bridge.tunnel.log import LogEvent, read_line
from codex_rpc.back_off import BackOff
from codex_rpc.process.group import OWN_GROUP, signal_group

logger = logging.getLogger(__name__)

ASK_DEADLINE = 60.0
"""Time limit for a cloudflared command that contacts Cloudflare, in seconds."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
STEADY_AFTER = 30.0
"""The back-off between two starts, in seconds."""
STOPPING = guard.EXIT_GRACE + 1
"""Seconds for cloudflared to end after its guard was told to stop it."""
MAX_LINE = 4000

INSTALL = {
    "darwin": "brew install cloudflared",
    "win32": "winget install --id Cloudflare.cloudflared",
}
DOWNLOADS = "https://developers.cloudflare.com/cloudflare-one/networks/connectors/cloudflare-tunnel/downloads/"


def install_hint(platform: str = sys.platform) -> str:
    """Return how to install cloudflared on this system."""
    command = INSTALL.get(platform)
    return f"install it with `{command}`" if command else f"install its package from {DOWNLOADS}"


def find_cloudflared(explicit: str | None = None) -> str:
    """Return the executable: `explicit`, or the one on PATH.

    Raises:
        TunnelError: it is not found.
    """
    found = shutil.which(explicit or "cloudflared")
    if found is None:
        where = f"at {explicit!r}" if explicit else "on PATH"
        raise TunnelError(f"there is no cloudflared {where}; {install_hint()}, or name it with --cloudflared")
    return found


def own_folders() -> tuple[Path, ...]:
    """Return the folders in which cloudflared looks for its certificate and configuration, in order.

    A Windows service runs as LocalSystem, which has another home, so a service needs `--config` with a full path.
    """
    home = Path.home() / ".cloudflared"
    return (home,) if sys.platform == "win32" else (home, Path("/etc/cloudflared"), Path("/usr/local/etc/cloudflared"))


def certificate() -> Path | None:
    """Return the certificate that `cloudflared tunnel login` wrote, or None."""
    named = os.environ.get("TUNNEL_ORIGIN_CERT")
    places = [Path(named)] if named else [folder / "cert.pem" for folder in own_folders()]
    return next((place for place in places if place.is_file()), None)


async def ask(executable: str, *arguments: str) -> str:
    """Run a cloudflared command and return its output.

    Raises:
        TunnelError: the command fails; the message holds its last line of stderr.
    """
    said = f"`cloudflared {' '.join(arguments)}`"
    try:
        with anyio.fail_after(ASK_DEADLINE):
            done = await anyio.run_process([executable, *arguments], stdin=subprocess.DEVNULL, check=False)
    except (OSError, TimeoutError) as error:
        raise TunnelError(f"{said} failed: {error or 'no answer in time'}") from error
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise TunnelError(f"{said} failed: {words[-1] if words else f'status {done.returncode}'}")
    return done.stdout.decode(errors="replace")


async def version(executable: str) -> str:
    """Return the version, e.g. `2025.8.1`.

    Raises:
        TunnelError: the program prints no version.
    """
    printed = await ask(executable, "--version")
    found = re.search(r"\d+\.\d+\.\d+", printed)
    if found is None:
        raise TunnelError(f"{executable} prints no version; is it cloudflared?")
    return found[0]


async def create(executable: str, name: str) -> str:
    """Return the id of the tunnel of this name; create the tunnel if it does not exist.

    Raises:
        TunnelError: cloudflared fails.
    """
    existing = json.loads(await ask(executable, "tunnel", "list", "--name", name, "--output", "json") or "null")
    if existing:
        return str(existing[0]["id"])
    return str(json.loads(await ask(executable, "tunnel", "create", "--output", "json", name))["id"])


class Cloudflared:
    """Keeps cloudflared running; calls `notice` with each event of its log.

    It runs under a guard, a small process that stops it even when this process is killed.
    """

    def __init__(self, command: Sequence[str], notice: Callable[[LogEvent], None]) -> None:
        self._command = [sys.executable, "-IS", guard.__file__, *command]
        self._notice = notice

    async def run(self) -> None:
        """Run cloudflared, restarting it when it ends, until cancelled; then stop it."""
        back_off = BackOff(FIRST_PAUSE, LONGEST_PAUSE, STEADY_AFTER)
        while True:
            began = anyio.current_time()
            try:
                reason = f"cloudflared ended with status {await self._run_once()}"
            except OSError as error:
                reason = f"cloudflared cannot be started: {error}"
            pause = back_off.pause(anyio.current_time() - began)
            logger.error("%s; restarting it in %g s", reason, pause)
            await anyio.sleep(pause)

    async def _run_once(self) -> int:
        process = await anyio.open_process(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            **OWN_GROUP,
        )
        try:
            await self._read_log(process)
            return await process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await _stop(process)

    async def _read_log(self, process: Process) -> None:
        assert process.stderr is not None
        rest = b""
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                *lines, rest = (rest + await process.stderr.receive()).split(b"\n")
                rest = rest[:MAX_LINE]
                for line in lines:
                    text = line[:MAX_LINE].decode(errors="replace").rstrip()
                    logger.debug("cloudflared: %s", text)
                    if event := read_line(text):
                        self._notice(event)


async def _stop(process: Process) -> None:
    assert process.stdin is not None
    await process.stdin.aclose()
    with anyio.move_on_after(STOPPING):
        await process.wait()
    signal_group(process, "SIGKILL")  # cloudflared survives a guard that was killed
    await process.aclose()
