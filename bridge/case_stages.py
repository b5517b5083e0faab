"""Sets behind the server what has to do with recordings: a codex that is recorded, or recordings in its place."""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from bridge.case_folders import load_cases
from bridge.config import Settings
from bridge.launch import Launcher
from bridge.library import Library
from bridge.mint import Mint
from bridge.recorder import Recorder
from bridge.redaction import Redactor
from bridge.replaying import Replay
from bridge.stage import Stage

_SECRET_VARIABLE = re.compile(r"(?i)(KEY|TOKEN|SECRET|PASSWORD)S?$")


@asynccontextmanager
async def replaying_stage(folder: str, settings: Settings, mint: Mint) -> AsyncGenerator[Stage]:
    """Yield the recordings in `folder`.

    Raises:
        CaseError: they cannot be read.
    """
    library = Library(load_cases(Path(folder)), redactor(settings), lenient=settings.demo)
    replay = Replay(library, mint, settings.pace)
    yield Stage(replay.open_client, "", replay, join_deltas=False)


@asynccontextmanager
async def recording_stage(folder: str, settings: Settings, mint: Mint) -> AsyncGenerator[Stage]:
    """Yield a codex of which everything is recorded into `folder`."""
    recorder = Recorder(Path(folder), mint, redactor(settings), time.monotonic, settings.reasoning)
    launch = Launcher(settings.codex, recorder.tap, settings.codex_ca_file)
    yield Stage(launch.open_client, str(launch.cwd), recorder, join_deltas=False, stamp=launch.stamp)


def redactor(settings: Settings) -> Redactor:
    """Return a redactor that knows this machine's user, home, and the secrets in its environment."""
    secrets = [value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name)]
    user = os.environ.get("USER") or os.environ.get("USERNAME") or Path.home().name
    return Redactor([*secrets, settings.api_key or ""], str(Path.home()), user)
