"""Finds codex, runs it as a byte stream, writes its stderr to the log, and makes sure that it stops."""

from __future__ import annotations

import logging
import os
import platform
import re
import shutil
import subprocess
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib import import_module, util
from pathlib import Path
from typing import Any, Protocol

import anyio

from codex_rpc.background import running
from codex_rpc.errors import CodexNotFoundError, CodexTooOldError
from codex_rpc.process.child import Child, Sink, spawn
from codex_rpc.process.descendants import descendants_of, kill_survivors, members_of_session
from codex_rpc.process.group import OWN_GROUP, signal_group

logger = logging.getLogger(__name__)

FLOOR = (0, 163, 0)
"""The oldest codex measured to add nothing to the model's input: 0.160 adds an item with tools, 0.153 two tools."""

NEWEST_TESTED = (0, 171, 0)
"""The newest codex with which this program was tested; docs/codex-versions.md has the results."""

WHEEL_MODULE = "codex_cli_bin"
EXIT_GRACE = 2.0
"""Seconds between closing stdin, SIGTERM and SIGKILL. codex usually ends about ten milliseconds after the first."""
MAX_LOGGED_LINE = 2000
LAST_LINES = 5
_NODE_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
"""Node's names of machine types, which codex's npm packages use (codex-SYSTEM-MACHINE, one per installed system)."""
_COLOURS = re.compile(rb"\x1b\[[0-9;]*m")


class ByteStream(Protocol):
    """The connection under a client: a codex child, or anything that plays one."""

    async def read(self, sink: Sink) -> None:
        """Pass everything that arrives to `sink`, in order, until the end or until `sink` raises."""
        ...

    async def send(self, data: bytes) -> None:
        """Write all of the bytes.

        Raises:
            OSError: the other end no longer reads.
        """
        ...

    def last_words(self) -> str:
        """Return what the other end printed before it ended, for the log; may be empty."""
        ...


def find_codex(explicit: str | None = None, path: str | None = None) -> Path:
    """Return the codex executable: `explicit` if given, else the one on `path` (default: PATH), else the wheel's.

    An npm shim is resolved to the native executable that it starts.

    Raises:
        CodexNotFoundError: none was found; the message says where it was searched and how to get one.
    """
    if explicit:
        found = shutil.which(explicit, path=path)
        if found is None:
            raise CodexNotFoundError(f"there is no codex executable at {explicit!r}; check --codex")
        return _without_npm_shim(Path(found))
    if found := shutil.which("codex", path=path):
        return _without_npm_shim(Path(found))
    if util.find_spec(WHEEL_MODULE) is not None:
        wheel: Any = import_module(WHEEL_MODULE)
        with suppress(FileNotFoundError):
            return wheel.bundled_codex_path()
    raise CodexNotFoundError(
        "no codex executable was found: not by --codex or CODEX_OPENAI_PROXY_CODEX, not on PATH, not as a wheel. "
        "Install it with `npm install -g @openai/codex` or `pip install openai-codex-cli-bin`"
    )


def _without_npm_shim(found: Path) -> Path:
    """npm installs a script that starts node, which starts the native executable; a .cmd cannot be started safely."""
    name = "codex.exe" if os.name == "nt" else "codex"
    real = found.resolve()
    if real.suffix.lower() not in {".js", ".cmd", ".ps1"}:
        return found
    package = real.parents[1] if real.suffix == ".js" else real.parent / "node_modules" / "@openai" / "codex"
    for_this_machine = f"codex-*-{_NODE_MACHINES.get(platform.machine().lower(), '*')}"
    places = (
        (package / "node_modules" / "@openai", for_this_machine),
        (package.parent, for_this_machine),
        (package, "."),
    )
    for root, pattern in places:
        for native in sorted(root.glob(f"{pattern}/vendor/*/*/{name}")):
            if native.is_file():
                return native
    return found


def read_version(text: str) -> tuple[int, int, int] | None:
    """Find the version in the output of `codex --version` or in a user agent, e.g. (0, 163, 0)."""
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def check_version(text: str, codex: Path) -> None:
    """Compare a version text with the floor; a text without a version, as of development builds, passes.

    Raises:
        CodexTooOldError: it is older; the message names the version found and the version needed.
    """
    found = read_version(text)
    if found is not None and found != (0, 0, 0) and found < FLOOR:
        raise CodexTooOldError(
            f"{codex} is version {_dotted(found)}, but at least {_dotted(FLOOR)} is needed; "
            "update it with `npm install -g @openai/codex@latest` or `pip install -U openai-codex-cli-bin`"
        )


def untested_note(text: str) -> str:
    """Return what to tell the user if a version text names a codex newer than any tested one; empty if it does not."""
    found = read_version(text)
    if found is None or found <= NEWEST_TESTED:
        return ""
    return f"newer than {_dotted(NEWEST_TESTED)}, the newest version that this program was tested with"


def _dotted(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version))


class CodexProcess:
    """The running child as a `ByteStream`."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)

    @property
    def pid(self) -> int:
        return self._child.pid

    async def read(self, sink: Sink) -> None:
        """Pass stdout to `sink` until the child closes it."""
        await self._child.stdout.read(sink)

    async def send(self, data: bytes) -> None:
        """Write to stdin, waiting while the pipe is full."""
        await self._child.send(data)

    async def drain_stderr(self) -> None:
        """Log what the child writes to stderr, until the child closes it."""
        rest = b""

        def take(data: bytes) -> None:
            nonlocal rest
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[:MAX_LOGGED_LINE]
            for line in filter(None, lines):
                self._log(line)

        await self._child.stderr.read(take)
        if rest:
            self._log(rest)

    def _log(self, line: bytes) -> None:
        text = _COLOURS.sub(b"", line)[:MAX_LOGGED_LINE].decode(errors="replace")
        self._last_lines.append(text)
        logger.debug("codex: %s", text)

    def last_words(self) -> str:
        """Return the last lines of stderr."""
        return "\n".join(self._last_lines)

    async def stop(self) -> None:
        """Close stdin, then send SIGTERM and SIGKILL to the whole process group; returns when the child has ended.

        What it has started and left behind is killed, also outside its process group.
        """
        started = descendants_of(self.pid)
        for escalate in (self._child.close_stdin, self._terminate, self._kill):
            escalate()
            with anyio.move_on_after(EXIT_GRACE):
                await self._child.wait()
                break
        else:
            await self._child.wait()
        signal_group(self._child, "SIGKILL")
        kill_survivors([*started, *members_of_session(self.pid)])
        # Processes that left the group may still hold the other ends of the pipes.
        await self._child.close()

    def _terminate(self) -> None:
        logger.warning("codex (pid %d) did not end when its stdin was closed; sending SIGTERM", self.pid)
        signal_group(self._child, "SIGTERM")

    def _kill(self) -> None:
        logger.warning("codex (pid %d) did not end on SIGTERM; killing it", self.pid)
        signal_group(self._child, "SIGKILL")


async def run_to_end(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> tuple[int, bytes, bytes]:
    """Run a command without input; return its exit status, stdout and stderr. Cancellation kills it.

    Raises:
        OSError: the executable cannot be started.
    """
    printed: list[bytes] = []
    complained: list[bytes] = []
    child = await spawn(command, env, cwd, subprocess.DEVNULL)
    try:
        await child.stdout.read(printed.append)
        await child.stderr.read(complained.append)
        await child.wait()
    finally:
        await child.close()
    assert child.status is not None
    return child.status, b"".join(printed), b"".join(complained)


@asynccontextmanager
async def codex_process(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> AsyncGenerator[CodexProcess]:
    """Run `command` for the length of the block; no process of it is left afterwards.

    Raises:
        CodexNotFoundError: the executable cannot be started.
    """
    try:
        child = await spawn(command, env, cwd, **OWN_GROUP)
    except OSError as error:
        raise CodexNotFoundError(f"{command[0]} cannot be started: {error}") from error
    codex = CodexProcess(child)
    logger.debug("started codex, pid %d", codex.pid)
    async with running(codex.drain_stderr):
        try:
            yield codex
        finally:
            with anyio.CancelScope(shield=True):
                await codex.stop()
