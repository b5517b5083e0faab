"""The codex of recorded agents: it plays recordings, so it needs no sandbox and reaches no file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from bridge.agents.profile import Surroundings
from codex_rpc.client.client import Client

NOTHING = Surroundings(programs=(), skills=(), secrets=(), config={}, path="")


class PlayedCodex:
    """Opens clients of a played codex."""

    def __init__(self, open_client: Callable[[], AbstractAsyncContextManager[Client]]) -> None:
        self.open_client = open_client

    def surroundings(self) -> Surroundings:
        """Return nothing: no command runs."""
        return NOTHING

    def stamp(self) -> object:
        """Return the same value always: recordings have no login."""
        return None
