"""Tests Codex's sandbox on this machine: without it, the commands of an agent could not be confined."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import anyio

from codex_rpc.errors import CodexError
from codex_rpc.process.process import run_to_end

NOTHING = ("cmd", "/c", "exit 0") if sys.platform == "win32" else ("/bin/sh", "-c", ":")
"""A command that does nothing, on every machine and with every PATH."""

PATIENCE = 10.0
"""Seconds that a command that does nothing may take in the sandbox."""


class SandboxUnavailableError(CodexError):
    """Codex cannot confine commands on this machine; the message shows what it says."""


async def check_sandbox(codex: Path, env: Mapping[str, str], folder: Path) -> None:
    """Run a command that does nothing in the sandbox.

    Raises:
        SandboxUnavailableError: it did not run.
    """
    command = [str(codex), "sandbox", "-P", ":workspace", "-C", str(folder), "--", *NOTHING]
    try:
        with anyio.fail_after(PATIENCE):
            status, _, said = await run_to_end(command, env, folder)
    except (OSError, TimeoutError) as error:
        raise SandboxUnavailableError(f"it cannot be started: {str(error) or 'no answer in time'}") from error
    if status != 0:
        lines = said.decode(errors="replace").strip().splitlines()
        raise SandboxUnavailableError(lines[-1] if lines else f"a command in it ended with status {status}")
