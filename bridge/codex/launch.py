"""Finds codex, checks its version, and starts it with a plain catalogue and a private home."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import anyio
from msgspec import Struct

from bridge import __version__
from bridge.codex.catalogue import command_line, plain_catalogue, read_catalogue
from bridge.codex.config import Config, overruled, read_features
from bridge.codex.home import (
    CONFIG,
    CREDENTIALS,
    CodexHome,
    child_environment,
    file_stamp,
    prepare_home,
    real_home,
    write_privately,
)
from bridge.config import state_folder
from codex_rpc.client.client import Client, connect
from codex_rpc.errors import CodexError
from codex_rpc.process.process import ByteStream, check_version, codex_process, find_codex, run_to_end, untested_note
from codex_rpc.wire.calls import config_read

logger = logging.getLogger(__name__)

CLIENT_NAME = "codex-openai-proxy"
ASK_DEADLINE = 10.0
"""Seconds for `codex debug models`, which may download the newest catalogue."""

Tap: TypeAlias = Callable[[ByteStream], ByteStream]


class Start(Struct, frozen=True):
    """How to start a codex."""

    codex: Path
    version: str
    """What `codex --version` prints."""
    command: list[str]
    env: dict[str, str]
    cwd: Path
    folder: Path
    """Where this program keeps its files for this codex."""
    models: bytes
    """The catalogue in use, as JSON."""
    foreign: tuple[Config, ...]
    """The configuration that applies in addition to that of the private home."""


Check: TypeAlias = Callable[[Start], Awaitable[None]]
"""Looks at a codex before it is started; raises CodexError to refuse it."""


async def no_check(start: Start) -> None:
    """Accept any codex."""


class Launcher:
    """Opens connections to new codex children.

    Codex's files are kept in this program's state folder, in one folder for each of the user's homes. Each start
    restores missing files; servers that run at the same time share the folder.
    """

    def __init__(
        self,
        codex: str | None = None,
        tap: Tap = lambda stream: stream,
        ca_file: str | None = None,
        check: Check = no_check,
    ) -> None:
        """`codex` is as for `find_codex`. `tap` wraps the connection between each client and its codex.

        `ca_file` holds the only certificates that codex trusts; None means the system's.
        """
        self._codex = codex
        self._tap = tap
        self._check = check
        self.trust = {} if ca_file is None else {"SSL_CERT_FILE": ca_file}
        """The environment variable that names those certificates."""
        self._real = real_home(os.environ)
        self._folder = state_folder() / "codex" / digest(self._real)
        self._private = self._folder / "home"
        self._credentials, self._config = self._real / CREDENTIALS, self._private / CONFIG
        self.cwd = self._folder / "cwd"
        """An empty directory."""
        self.catalogue: Sequence[Mapping[str, Any]] = ()
        """The models of the last codex that was started, as it describes them, and the named ones."""
        self._needed: tuple[Path, ...] = (self.cwd,)
        """What codex reads at the start of each thread, in addition to its home."""

    @asynccontextmanager
    async def open_client(self) -> AsyncGenerator[Client]:
        """Start codex and perform the handshake; all of its processes end with the block.

        Raises:
            CodexNotFoundError, CodexTooOldError: codex must be installed or updated.
            CodexError: codex did not start, its configuration is wrong, or the check refused it; the message says why.
        """
        start = await self.prepare()
        await self._check(start)
        async with (
            codex_process(start.command, start.env, start.cwd) as process,
            connect(self._tap(process), CLIENT_NAME, __version__) as client,
        ):
            # With invalid settings, codex starts all the same, but reports that no user is logged in.
            await client.call(config_read())
            yield client

    async def prepare(self) -> Start:
        """Return how to start codex.

        Raises:
            CodexError: as `open_client`.
        """
        codex = find_codex(self._codex)
        home = self.home()
        env = child_environment(os.environ, home.path, home.variables) | self.trust
        version = await self.version(codex, env)
        check_version(version, codex)
        if note := untested_note(version):
            logger.info("%s is %s", version, note)
        features: dict[str, bool] = {}
        if home.obstacle:
            _log_home(home)
            private = child_environment(os.environ, home.private, home.variables) | self.trust
            features = await self._default_features(codex, private)
        # Each codex program has its own catalogue.
        catalogue = self._folder / f"models-{digest(codex)}.json"
        self.catalogue = await self._read_catalogue(codex, env)
        models = plain_catalogue(self.catalogue)
        try:
            write_privately(catalogue, models)
        except OSError as error:
            raise _not_created(error) from error
        self._needed = (self.cwd, catalogue)
        command = command_line(str(codex), str(catalogue), overruled(home.foreign), features)
        return Start(codex, version, command, env, self.cwd, self._folder, models, home.foreign)

    def stamp(self) -> object:
        """Return a value that changes when the user logs in, the private home changes, or a file of codex vanishes."""
        missing = tuple(not path.exists() for path in self._needed)
        return file_stamp(self._credentials), file_stamp(self._config), missing

    def home(self) -> CodexHome:
        """Return the home for codex, with all the files that it needs.

        Raises:
            CodexError: the home cannot be written, or a config.toml cannot be read.
        """
        try:
            return prepare_home(self._real, self._private)
        except OSError as error:
            raise _not_created(error) from error
        except ValueError as error:
            raise CodexError(str(error)) from error

    async def version(self, codex: Path, env: dict[str, str]) -> str:
        """Return what `codex --version` prints.

        Raises:
            CodexError: the command fails.
        """
        return (await self._output_of(codex, env, "--version")).decode(errors="replace").strip()

    async def _default_features(self, codex: Path, env: dict[str, str]) -> dict[str, bool]:
        try:
            return read_features(await self._output_of(codex, env, "features", "list"))
        except ValueError as error:
            raise CodexError(f"the features of {codex} cannot be read: {error}") from error

    async def _read_catalogue(self, codex: Path, env: dict[str, str]) -> list[dict[str, Any]]:
        try:
            return read_catalogue(await self._output_of(codex, env, "debug", "models"))
        except (CodexError, ValueError) as error:
            logger.warning("%s; using the model catalogue that codex ships", error)
        try:
            return read_catalogue(await self._output_of(codex, env, "debug", "models", "--bundled"))
        except ValueError as error:
            raise CodexError(f"the model catalogue of {codex} cannot be read: {error}") from error

    async def _output_of(self, codex: Path, env: dict[str, str], *arguments: str) -> bytes:
        try:
            self.cwd.mkdir(mode=0o700, parents=True, exist_ok=True)
            with anyio.fail_after(ASK_DEADLINE):
                status, printed, errors = await run_to_end([str(codex), *arguments], env, self.cwd)
        except (OSError, TimeoutError) as error:
            raise CodexError(f"`{codex} {' '.join(arguments)}` failed: {str(error) or 'no answer in time'}") from error
        if status != 0:
            lines = errors.decode(errors="replace").strip().splitlines()
            reason = next((line for line in lines if line.startswith("Error: ")), f"status {status}")
            raise CodexError(f"`{codex} {' '.join(arguments)}` failed: {reason.removeprefix('Error: ')}")
        return printed


@asynccontextmanager
async def account_client(codex: str | None) -> AsyncGenerator[Client]:
    """Start a codex in the user's own home to read the account; no thread may be started on it.

    Raises:
        CodexNotFoundError, CodexTooOldError: codex must be installed or updated.
        CodexError: codex did not start.
    """
    launch = Launcher(codex)
    executable, env = find_codex(codex), child_environment(os.environ, real_home(os.environ))
    check_version(await launch.version(executable, env), executable)
    command = [str(executable), "app-server"]
    async with codex_process(command, env, launch.cwd) as process, connect(process, CLIENT_NAME, __version__) as client:
        yield client


def digest(path: Path) -> str:
    """Return a short name for a path."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _not_created(error: OSError) -> CodexError:
    return CodexError(f"the private home of codex in {state_folder()} cannot be created: {error}")


def _log_home(home: CodexHome) -> None:
    logger.info("codex runs in %s instead of a private home: %s", home.path, home.obstacle)
    if names := home.instructions():
        logger.warning("the model sees %s of %s; docs/security.md says why", " and ".join(names), home.path)
