"""Chooses the source of answers: the live codex, a codex that is recorded, or recordings."""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from bridge.codex.launch import Check, Launcher, Tap, no_check
from bridge.config import AgentSettings, Settings
from bridge.conversation.self_check import check_model_input
from bridge.recordings.exchanges import Exchanges, IdsAndClock
from codex_rpc.client.client import Client

if TYPE_CHECKING:
    from bridge.recordings.redaction import Redactor
    from bridge.recordings.replay import Replay

_SECRET_VARIABLE = re.compile(r"(?i)(KEY|TOKEN|SECRET|PASSWORD)S?$")


class BackendMode(Struct, frozen=True):
    """How to connect to codex, the directory in which threads run, and the exchanges to make for requests.

    `stamp` returns a different value whenever a running codex must be replaced by a new one.
    """

    open_client: Callable[[], AbstractAsyncContextManager[Client]]
    cwd: str
    exchanges: Exchanges
    join_deltas: bool
    stamp: Callable[[], object] = lambda: None
    catalogue: Callable[[], Sequence[Mapping[str, Any]]] = tuple
    """Returns codex's models as it describes them; none in a replay."""
    agents: tuple[AgentSettings, ...] = ()
    """The agents that are replayed."""
    open_agents: Callable[[], AbstractAsyncContextManager[Client]] | None = None
    """Connects to the codex of these agents; None if agents are live, as the settings name them."""
    tap_agents: Tap = lambda stream: stream
    """Wraps the connection to the codex of live agents."""


def open_backend_mode(settings: Settings, ids_and_clock: IdsAndClock) -> AbstractAsyncContextManager[BackendMode]:
    """Return a context manager for the mode that the settings name.

    Raises:
        CaseError: on entry, the recordings cannot be read.
    """
    if settings.replay is not None:
        return _replaying(settings.replay, settings, ids_and_clock)
    if settings.record is not None:
        return _recording(settings.record, settings, ids_and_clock)
    return _live(settings, ids_and_clock)


@asynccontextmanager
async def _live(settings: Settings, ids_and_clock: IdsAndClock) -> AsyncGenerator[BackendMode]:
    launch = Launcher(settings.codex, ca_file=settings.codex_ca_file, check=_check(settings))
    yield BackendMode(
        launch.open_client,
        str(launch.cwd),
        Exchanges(ids_and_clock),
        join_deltas=True,
        stamp=launch.stamp,
        catalogue=lambda: launch.catalogue,
    )


def replay_mode(replay: Replay) -> BackendMode:
    """Return the mode in which recordings answer."""
    return BackendMode(
        replay.open_client,
        "",
        replay,
        join_deltas=False,
        agents=replay.agents,
        open_agents=replay.open_agents,
    )


def _check(settings: Settings) -> Check:
    return no_check if settings.codex_unchecked else check_model_input


# A live server needs neither of the following modes, so their imports are deferred.


@asynccontextmanager
async def _replaying(folder: str, settings: Settings, ids_and_clock: IdsAndClock) -> AsyncGenerator[BackendMode]:
    from bridge.recordings.case_folders import load_cases  # noqa: PLC0415
    from bridge.recordings.library import Library  # noqa: PLC0415
    from bridge.recordings.replay import Replay  # noqa: PLC0415

    library = Library(load_cases(Path(folder)), redactor(settings), lenient=settings.demo)
    replay = Replay(library, ids_and_clock, settings.pace)
    yield replay_mode(replay)


@asynccontextmanager
async def _recording(folder: str, settings: Settings, ids_and_clock: IdsAndClock) -> AsyncGenerator[BackendMode]:
    from bridge.recordings.recorder import Recorder  # noqa: PLC0415

    recorder = Recorder(Path(folder), ids_and_clock, redactor(settings), time.monotonic, settings.reasoning)
    launch = Launcher(settings.codex, recorder.tap, settings.codex_ca_file, _check(settings))
    yield BackendMode(
        launch.open_client,
        str(launch.cwd),
        recorder,
        join_deltas=False,
        stamp=launch.stamp,
        catalogue=lambda: launch.catalogue,
    )


def redactor(settings: Settings) -> Redactor:
    """Return a redactor for this machine's user and home, and for the secrets in its environment."""
    from bridge.recordings.redaction import Redactor  # noqa: PLC0415

    secrets = [value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name)]
    user = os.environ.get("USER") or os.environ.get("USERNAME") or Path.home().name
    return Redactor([*secrets, settings.api_key or ""], str(Path.home()), user)
