"""The subjects of a run, side by side, each with a codex of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from bridge.codex.launch import Launcher
from tests.benchmarks.figures import Row
from tests.benchmarks.servers import Server, proxy, relay
from tests.benchmarks.subjects import CODEX, Subject, bare_client, official_sdk
from tests.benchmarks.upstream import RunningUpstream, upstream_process
from tests.harness.codex_home import Transport, write_home


@dataclass(frozen=True, slots=True)
class Lab:
    """All subjects, with one transport to one upstream."""

    transport: Transport
    upstream: RunningUpstream
    launch: Launcher
    subjects: Sequence[Subject]
    relay: Server
    proxy: Server


Scenario: TypeAlias = Callable[[Lab, int], Awaitable[list[Row]]]
"""Measures all subjects in turn in each of a number of rounds, so that only the subject differs."""


@asynccontextmanager
async def lab(transport: Transport) -> AsyncGenerator[Lab]:
    """Start all subjects."""
    async with upstream_in_use(transport) as upstream:
        launch = Launcher(os.environ.get(CODEX))
        async with (
            bare_client(launch) as bare,
            official_sdk(launch) as sdk,
            relay() as least,
            proxy() as ours,
        ):
            yield Lab(transport, upstream, launch, (bare, sdk, least, ours), least, ours)


@asynccontextmanager
async def upstream_in_use(transport: Transport) -> AsyncGenerator[RunningUpstream]:
    """Start the scripted upstream; every codex that this process starts from now on uses it."""
    with tempfile.TemporaryDirectory() as folder:
        async with upstream_process() as upstream:
            write_home(Path(folder) / "home", upstream.base_url, transport)
            os.environ |= {
                "CODEX_HOME": f"{folder}/home",
                "SCRIPTED_KEY": "made-up",
                "XDG_STATE_HOME": f"{folder}/state",
            }
            # As in an installation, modules are compiled at the first start only.
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            os.environ["PYTHONPYCACHEPREFIX"] = f"{folder}/compiled"
            yield upstream
