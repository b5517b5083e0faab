"""The codex of the agents: a second process in the user's own home, which runs only while agents are used.

1. The first request starts it; it ends after some time without requests.
2. It gets the user's own configuration and catalogue, and none of chat mode's switches.
3. It does not start if its sandbox does not work: without one, agents are not offered.
4. A new login or configuration starts a new process; the old one ends after its last answer.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import anyio

from bridge import __version__
from bridge.agents.errors import sandbox_unavailable
from bridge.agents.profile import Surroundings
from bridge.agents.sandbox import SandboxUnavailableError, check_sandbox
from bridge.codex.config import provider_variables, to_toml
from bridge.codex.home import CONFIG, CREDENTIALS, child_environment, file_stamp, read_config, real_home
from bridge.codex.launch import CLIENT_NAME, Launcher, Tap
from bridge.config import Settings, settings_folder, state_folder
from codex_rpc.background import running
from codex_rpc.client.client import Client, connect
from codex_rpc.errors import CodexError, CodexUnavailableError
from codex_rpc.process.process import check_version, codex_process, find_codex
from codex_rpc.supervisor import Down, Supervisor
from codex_rpc.wire.calls import UNWANTED, config_read
from codex_rpc.wire.protocol import READ_OF_AGENTS, read_agent_event, read_agent_request

logger = logging.getLogger(__name__)

UNREAD = tuple(name for name in UNWANTED if name not in READ_OF_AGENTS)
"""Notifications that codex does not send to the client of the agents."""

_SWITCHES = {"thread_unload_delay_secs": 1}
"""A thread is unloaded soon after its answer, so that a terminal can continue it."""

_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
"""The folders of the system's programs, which agents see; those of the server's PATH may not be among them."""

_PRIVATE = (".ssh", ".gnupg", ".aws", ".netrc")
"""Files and folders in the user's home that no agent reads, even if it may read the whole machine."""

_OF_ROOT = ("/etc/shadow", "/etc/gshadow")
"""The system's files of passwords, which a server that runs as root could read."""


class CodexOfAgents(Protocol):
    """How the agents get their codex; the methods as in `AgentLauncher`."""

    def surroundings(self) -> Surroundings: ...

    def stamp(self) -> object: ...

    def open_client(self) -> AbstractAsyncContextManager[Client]: ...


class AgentLauncher:
    """Starts the codex of the agents; `tap` wraps the connection to it."""

    def __init__(self, settings: Settings, tap: Tap = lambda stream: stream) -> None:
        self._codex = settings.codex
        self._tap = tap
        self._launch = Launcher(settings.codex, ca_file=settings.codex_ca_file)
        self._own_files = (
            *_store_files(settings.store),
            *map(Path, filter(None, (settings.keys_file, settings.keyfile))),
        )
        self._real = real_home(os.environ)
        self._started: tuple[Path, Mapping[str, Any]] | None = None
        """The executable of the last codex that was started, and its effective configuration."""

    def surroundings(self) -> Surroundings:
        """Return what the running codex needs, and what is kept from it; a client must be open."""
        assert self._started is not None
        codex, config = self._started
        home = Path.home()
        programs = (codex.resolve().parent, self._real / "tmp")
        skills = (self._real / "skills", home / ".agents" / "skills")
        secrets = (
            self._real / CREDENTIALS,
            settings_folder(),
            state_folder(),
            *self._own_files,
            *(home / name for name in _PRIVATE),
            *map(Path, _OF_ROOT),
        )
        denied = _outermost(_existing(secrets))
        return Surroundings(_existing(programs), _existing(skills), denied, config, _path(os.environ))

    def stamp(self) -> object:
        """Return a value that changes with the login and the configuration."""
        return file_stamp(self._real / CREDENTIALS), file_stamp(self._real / CONFIG)

    @asynccontextmanager
    async def open_client(self) -> AsyncGenerator[Client]:
        """Start codex, after its sandbox was tested, and perform the handshake; it ends with the block.

        Raises:
            CodexError: codex did not start; the message says why.
            SandboxUnavailableError: its sandbox does not work.
        """
        codex = find_codex(self._codex)
        try:
            variables = provider_variables(read_config(self._real / CONFIG))
        except ValueError as error:
            raise CodexError(str(error)) from error
        env = child_environment(os.environ, self._real, variables) | self._launch.trust
        check_version(await self._launch.version(codex, env), codex)
        await check_sandbox(codex, env, self._launch.cwd)
        options = [option for key, value in _SWITCHES.items() for option in ("-c", f"{key}={to_toml(value)}")]
        command = [str(codex), "app-server", *options]
        async with (
            codex_process(command, env, self._launch.cwd) as process,
            connect(
                self._tap(process),
                CLIENT_NAME,
                __version__,
                unwanted=UNREAD,
                read=read_agent_event,
                read_asked=read_agent_request,
            ) as client,
        ):
            self._started = codex, await client.call(config_read())
            yield client


def _path(environ: Mapping[str, str]) -> str:
    """Return the PATH of commands; an empty part of it would stand for the agent's folder."""
    own = environ.get("PATH", "")
    return own if sys.platform == "win32" else ":".join(filter(None, (*own.split(":"), _SYSTEM_PATH)))


def _existing(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return the paths of what exists, with the real paths of what links elsewhere."""
    return tuple(dict.fromkeys(str(one) for path in paths if path.exists() for one in (path, path.resolve())))


def _outermost(paths: Sequence[str]) -> tuple[str, ...]:
    """Leave out what is inside another of these folders: codex's sandbox fails if it is to cover both."""
    return tuple(one for one in paths if not any(other != one and Path(one).is_relative_to(other) for other in paths))


def _store_files(store: str | None) -> list[Path]:
    """Return the files of a store in SQLite, its key included."""
    if store is None or "://" in store:
        return []
    path = Path(store).absolute()
    return [path, path.with_suffix(".key"), *(path.with_name(path.name + end) for end in ("-wal", "-shm", ".broken"))]


class AgentBackend:
    """Runs the codex of the agents while it is used."""

    def __init__(self, launcher: CodexOfAgents, *, patience: float, idle: float) -> None:
        """`patience` is how long a request waits for a start, `idle` how long codex waits for requests, in seconds."""
        self._launcher = launcher
        self._patience = patience
        self._idle = idle
        self._users = 0
        self._changed = anyio.Event()
        self._supervisor: Supervisor | None = None
        self._stamp: object = None

    async def run(self) -> None:
        """Run codex whenever it is used, until cancelled."""
        while True:
            await self._until_used()
            supervisor = self._supervisor = Supervisor(self._launcher.open_client)
            self._stamp = self._launcher.stamp()
            self._change()
            async with running(supervisor.run):
                await self._until_idle()
                self._supervisor = None
                logger.info("no agent was used for %g s; ending the codex of the agents", self._idle)

    @asynccontextmanager
    async def use(self) -> AsyncGenerator[tuple[Client, Surroundings]]:
        """Yield the live codex, which does not end while the block runs.

        Raises:
            ApiError: 503, its sandbox does not work.
            CodexUnavailableError: it does not start in time.
        """
        self._users += 1
        self._change()
        try:
            yield await self._client(), self._launcher.surroundings()
        finally:
            self._users -= 1
            self._change()

    def restart(self) -> None:
        """End the process at once and start a new one; every answer of an agent fails."""
        if self._supervisor is not None:
            self._supervisor.restart()

    async def _client(self) -> Client:
        with anyio.move_on_after(self._patience):
            while self._supervisor is None:
                await self._changed.wait()
        supervisor = self._supervisor
        if supervisor is None:
            raise CodexUnavailableError("codex is still starting")
        try:
            client = await supervisor.client(self._patience)
            if self._stamp != (stamp := self._launcher.stamp()):
                logger.info("the login or the configuration has changed; replacing the codex of the agents")
                self._stamp = stamp
                supervisor.replace(client)
                client = await supervisor.client(self._patience)
        except CodexUnavailableError:
            match supervisor.state:
                case Down(SandboxUnavailableError() as error):
                    raise sandbox_unavailable(str(error)) from None
                case _:
                    raise
        return client

    async def _until_used(self) -> None:
        while not self._users:
            await self._changed.wait()

    async def _until_idle(self) -> None:
        """Wait until no request has used codex for the idle time."""
        while True:
            with anyio.move_on_after(self._idle if not self._users else float("inf")) as waiting:
                await self._changed.wait()
            if waiting.cancelled_caught and not self._users:
                return

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
