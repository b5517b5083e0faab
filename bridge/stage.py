"""What stands behind the server: codex, unless it is something else that speaks like it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from msgspec import Struct

from bridge.config import Settings
from bridge.exchanges import Exchanges
from bridge.launch import Launcher
from bridge.mint import Mint
from codex_rpc.client import Client


class Stage(Struct, frozen=True):
    """How to reach codex, the directory in which threads run, and what goes on beside each request.

    `stamp` returns another value whenever a codex that runs has to be replaced by a new one.
    """

    open_client: Callable[[], AbstractAsyncContextManager[Client]]
    cwd: str
    exchanges: Exchanges
    join_deltas: bool
    stamp: Callable[[], object] = lambda: None


@asynccontextmanager
async def live_stage(settings: Settings, mint: Mint) -> AsyncGenerator[Stage]:
    """Yield codex as it is."""
    launch = Launcher(settings.codex, ca_file=settings.codex_ca_file)
    yield Stage(launch.open_client, str(launch.cwd), Exchanges(mint), join_deltas=True, stamp=launch.stamp)
