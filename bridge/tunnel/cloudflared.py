"""The program cloudflared: found, asked, told to set a tunnel up, kept running beside the server."""

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

from bridge.tunnel.errors import TunnelError
from bridge.tunnel.log import LogEvent, read_line

logger = logging.getLogger(__name__)

ASK_DEADLINE = 60.0
"""Seconds for a command of cloudflared that asks Cloudflare something."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between the end of a cloudflared and the next start: doubled with each failure up to the longest."""
STEADY_AFTER = 30.0
"""Seconds. A cloudflared that lived so long was fine: the next start is not delayed."""
EXIT_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL; cloudflared lets open requests end first."""
MAX_LINE = 4000

INSTALL = {
    "darwin": "brew install cloudflared",
    "win32": "winget install --id Cloudflare.cloudflared",
}
DOWNLOADS = "https://developers.cloudflare.com/cloudflare-one/networks/connectors/cloudflare-tunnel/downloads/"


def install_hint(platform: str = sys.platform) -> str:
    """Return how to get cloudflared on this system."""
    command = INSTALL.get(platform)
    return f"install it with `{command}`" if command else f"install its package from {DOWNLOADS}"


def find_cloudflared(explicit: str | None = None) -> str:
    """Return the executable: `explicit`, or the one on PATH.

    Raises:
        TunnelError: there is none.
    """
    found = shutil.which(explicit or "cloudflared")
    if found is None:
        where = f"at {explicit!r}" if explicit else "on PATH"
        raise TunnelError(f"there is no cloudflared {where}; {install_hint()}, or name it with --cloudflared")
    return found


def own_folders() -> tuple[Path, ...]:
    """Return where cloudflared looks for its certificate and its configuration, the first place first.

    As a Windows service it runs as LocalSystem, whose home is another: a service needs `--config` with a full path.
    """
    home = Path.home() / ".cloudflared"
    return (home,) if sys.platform == "win32" else (home, Path("/etc/cloudflared"), Path("/usr/local/etc/cloudflared"))


def certificate() -> Path | None:
    """Return the certificate that `cloudflared tunnel login` leaves, if there is one."""
    named = os.environ.get("TUNNEL_ORIGIN_CERT")
    places = [Path(named)] if named else [folder / "cert.pem" for folder in own_folders()]
    return next((place for place in places if place.is_file()), None)


async def ask(executable: str, *arguments: str) -> str:
    """Run a command of cloudflared and return what it prints.

    Raises:
        TunnelError: it fails; the message holds its own last words.
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
        TunnelError: the program does not tell one.
    """
    printed = await ask(executable, "--version")
    found = re.search(r"\d+\.\d+\.\d+", printed)
    if found is None:
        raise TunnelError(f"{executable} does not tell its version; is it cloudflared?")
    return found[0]


async def create(executable: str, name: str) -> str:
    """Return the id of the tunnel of this name, which is created if there is none.

    Raises:
        TunnelError: cloudflared refuses.
    """
    known = json.loads(await ask(executable, "tunnel", "list", "--name", name, "--output", "json") or "null")
    if known:
        return str(known[0]["id"])
    return str(json.loads(await ask(executable, "tunnel", "create", "--output", "json", name))["id"])


class Cloudflared:
    """A cloudflared that is kept running; `notice` is told what its log says."""

    def __init__(self, command: Sequence[str], notice: Callable[[LogEvent], None]) -> None:
        self._command = command
        self._notice = notice

    async def run(self) -> None:
        """Run until cancelled; afterwards no process of it is left."""
        pause = FIRST_PAUSE
        while True:
            began = anyio.current_time()
            try:
                status = await self._run_once()
                reason = f"cloudflared ended with status {status}"
            except OSError as error:
                reason = f"cloudflared cannot be started: {error}"
            pause = FIRST_PAUSE if anyio.current_time() - began > STEADY_AFTER else pause
            logger.error("%s; starting it again in %g s", reason, pause)
            await anyio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _run_once(self) -> int:
        process = await anyio.open_process(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=sys.platform != "win32",
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP if sys.platform == "win32" else 0,
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
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        with anyio.move_on_after(EXIT_GRACE):
            await process.wait()
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    await process.aclose()
