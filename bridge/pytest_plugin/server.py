"""Replays recordings from a server in a thread of this process, for synchronous tests."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
from anyio.abc import TaskStatus
from anyio.from_thread import start_blocking_portal

from bridge.config import Settings
from bridge.http.listeners import listen
from bridge.serve import serve


@contextmanager
def replay_server(folder: Path) -> Generator[str]:
    """Replay the recordings without pauses on a free loopback port; yield the base URL, `/v1` included.

    Raises:
        CaseError: the recordings cannot be read.
    """
    settings = Settings(host="127.0.0.1", port=0, replay=str(folder), pace=math.inf, grace=0)
    listeners = listen(settings.host, settings.port)

    async def run(*, task_status: TaskStatus[anyio.Event]) -> None:
        async def started(stop: anyio.Event) -> None:
            task_status.started(stop)

        with listeners:
            await serve(settings, listeners, lambda: None, started)

    with start_blocking_portal() as portal:
        done, stop = portal.start_task(run)
        try:
            yield f"http://127.0.0.1:{listeners.port}/v1"
        finally:
            portal.call(stop.set)
            done.result()
