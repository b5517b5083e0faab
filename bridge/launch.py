"""Starts codex the way we need it: found, new enough, with a plain catalogue and a home without instructions."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import anyio

from bridge import __version__
from bridge.codex_home import child_environment, home_without_instructions, real_home
from bridge.plain_model import command_line, plain_catalogue
from codex_rpc.client import Client, connect
from codex_rpc.errors import CodexError
from codex_rpc.process import ByteStream, check_version, codex_process, find_codex, run_to_end

logger = logging.getLogger(__name__)

CLIENT_NAME = "codex-openai-proxy"
ASK_DEADLINE = 10.0
"""Seconds for `codex debug models`, which may ask the network for the newest catalogue."""


Tap: TypeAlias = Callable[[ByteStream], ByteStream]


class Launcher:
    """Opens connections to new codex children; `workspace` is a directory of ours, `cwd` an empty one inside it."""

    def __init__(self, codex: str | None, workspace: Path, tap: Tap, ca_file: str | None) -> None:
        self._codex = codex
        self._tap = tap
        self._trust = {} if ca_file is None else {"SSL_CERT_FILE": ca_file}
        self._workspace = workspace
        self.cwd = workspace / "cwd"
        self.cwd.mkdir(mode=0o700)

    @asynccontextmanager
    async def open_client(self) -> AsyncGenerator[Client]:
        """Start codex and shake hands; afterwards no process of it is left.

        Raises:
            CodexNotFoundError, CodexTooOldError: the machine's set-up is to be mended.
            CodexError: codex did not start.
        """
        command, env = await self.prepare()
        async with (
            codex_process(command, env, self.cwd) as process,
            connect(self._tap(process), CLIENT_NAME, __version__) as client,
        ):
            yield client

    async def prepare(self) -> tuple[list[str], dict[str, str]]:
        """Return the command and the environment with which codex is to be started in `cwd`.

        Raises:
            CodexError: as `open_client`.
        """
        codex = find_codex(self._codex)
        home = home_without_instructions(real_home(os.environ), self._workspace / "home")
        env = child_environment(os.environ, home) | self._trust
        check_version(await self.version(codex, env), codex)
        catalogue = self._workspace / "models.json"
        catalogue.write_bytes(await self._plain_catalogue(codex, env))
        return command_line(str(codex), str(catalogue)), env

    async def version(self, codex: Path, env: dict[str, str]) -> str:
        """Return what `codex --version` prints.

        Raises:
            CodexError: it fails.
        """
        return (await self._ask(codex, env, "--version")).decode(errors="replace").strip()

    async def _plain_catalogue(self, codex: Path, env: dict[str, str]) -> bytes:
        try:
            return plain_catalogue(await self._ask(codex, env, "debug", "models"))
        except (CodexError, ValueError) as error:
            logger.warning("%s; using the model catalogue that codex ships", error)
        try:
            return plain_catalogue(await self._ask(codex, env, "debug", "models", "--bundled"))
        except ValueError as error:
            raise CodexError(f"the model catalogue of {codex} cannot be read: {error}") from error

    async def _ask(self, codex: Path, env: dict[str, str], *arguments: str) -> bytes:
        try:
            with anyio.fail_after(ASK_DEADLINE):
                status, printed, complained = await run_to_end([str(codex), *arguments], env, self.cwd)
        except (OSError, TimeoutError) as error:
            raise CodexError(f"`{codex} {' '.join(arguments)}` failed: {str(error) or 'no answer in time'}") from error
        if status != 0:
            said = complained.decode(errors="replace").strip().splitlines()
            reason = next((line for line in said if line.startswith("Error: ")), f"status {status}")
            raise CodexError(f"`{codex} {' '.join(arguments)}` failed: {reason.removeprefix('Error: ')}")
        return printed


@asynccontextmanager
async def account_client(codex: str | None) -> AsyncGenerator[Client]:
    """Start a codex for questions about the account alone, on the user's own home; no thread is to be started on it.

    Raises:
        CodexNotFoundError, CodexTooOldError: the machine's set-up is to be mended.
        CodexError: codex did not start.
    """
    async with launcher(codex) as launch:
        executable, env = find_codex(codex), child_environment(os.environ, real_home(os.environ))
        check_version(await launch.version(executable, env), executable)
        command = [str(executable), "app-server"]
        async with codex_process(command, env, launch.cwd) as process, connect(process, CLIENT_NAME, __version__) as it:
            yield it


@asynccontextmanager
async def launcher(
    codex: str | None, tap: Tap = lambda stream: stream, ca_file: str | None = None
) -> AsyncGenerator[Launcher]:
    """Yield a launcher whose workspace is removed at the end; `codex` is as for `find_codex`.

    Each client speaks through what `tap` makes of the connection to its codex. `ca_file` holds the only certificates
    that codex is to trust; None leaves it the system's.
    """
    with tempfile.TemporaryDirectory(prefix="codex-openai-proxy-", ignore_cleanup_errors=True) as workspace:
        yield Launcher(codex, Path(workspace), tap, ca_file)
