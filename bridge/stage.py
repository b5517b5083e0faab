"""Sets what stands behind the server: codex, a codex that is recorded, or recordings in its place."""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bridge.case_folders import load_cases
from bridge.config import Settings
from bridge.exchanges import Exchanges
from bridge.launch import launcher
from bridge.library import Library
from bridge.mint import Mint
from bridge.recorder import Recorder
from bridge.redaction import Redactor
from bridge.replaying import Replay
from codex_rpc.client import Client

_SECRET_VARIABLE = re.compile(r"(?i)(KEY|TOKEN|SECRET|PASSWORD)S?$")


@dataclass(frozen=True, slots=True)
class Stage:
    """How to reach codex, the directory in which threads run, and what goes on beside each request."""

    open_client: Callable[[], AbstractAsyncContextManager[Client]]
    cwd: str
    exchanges: Exchanges
    join_deltas: bool


@asynccontextmanager
async def stage(settings: Settings, mint: Mint) -> AsyncGenerator[Stage]:
    """Yield what the settings ask for.

    Raises:
        CaseError: the recordings cannot be read.
    """
    if settings.replay is not None:
        library = Library(load_cases(Path(settings.replay)), redactor(settings), lenient=settings.demo)
        replay = Replay(library, mint, settings.pace)
        yield Stage(replay.open_client, "", replay, join_deltas=False)
    elif settings.record is not None:
        recorder = Recorder(Path(settings.record), mint, redactor(settings), time.monotonic, settings.reasoning)
        async with launcher(settings.codex, recorder.tap, settings.codex_ca_file) as launch:
            yield Stage(launch.open_client, str(launch.cwd), recorder, join_deltas=False)
    else:
        async with launcher(settings.codex, ca_file=settings.codex_ca_file) as launch:
            yield Stage(launch.open_client, str(launch.cwd), Exchanges(mint), join_deltas=True)


def redactor(settings: Settings) -> Redactor:
    """Return a redactor that knows this machine's user, home, and the secrets in its environment."""
    secrets = [value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name)]
    user = os.environ.get("USER") or os.environ.get("USERNAME") or Path.home().name
    return Redactor([*secrets, settings.api_key or ""], str(Path.home()), user)
