"""Serves recorded cases instead of codex: finds the exchange of each request and plays its session."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from bridge import __version__
from bridge.config import AgentSettings
from bridge.recordings.exchanges import Exchange, Exchanges, IdsAndClock, PromptOf, RecordedRequest
from bridge.recordings.library import Library
from codex_rpc.client.client import Client, connect
from codex_rpc.process.process import ByteStream
from codex_rpc.recording.player import Player
from codex_rpc.recording.replay import ReplayedCodex
from codex_rpc.wire.protocol import read_agent_event, read_agent_request

CLIENT_NAME = "codex-openai-proxy"

PLAYED_FOLDER = "."
"""The folder of recorded agents, in which nothing is done; the paths in their recordings are relative."""


def _unchanged(stream: ByteStream) -> ByteStream:
    return stream


class Replay(Exchanges):
    """Plays recordings as codex, with their ids and times; the recorded pauses are divided by `pace`.

    `wrap` wraps the connection to the played codex.
    """

    def __init__(
        self,
        library: Library,
        ids_and_clock: IdsAndClock,
        pace: float,
        wrap: Callable[[ByteStream], ByteStream] = _unchanged,
    ) -> None:
        super().__init__(ids_and_clock)
        self._library = library
        self._pace = pace
        self._wrap = wrap
        self.agents = tuple(AgentSettings(name, PLAYED_FOLDER) for name in library.agents)
        """The recorded agents."""

    of_agents = True

    def begin(self, request: RecordedRequest, prompt_of: PromptOf) -> Exchange:
        """Return an exchange whose answer has the recorded id and time.

        Raises:
            ApiError: 404, there is no recording of the request, or no such model.
        """
        answer = self._library.find(prompt_of(self._library.listed()), request.body, is_agent=request.agent is not None)
        recorded = answer.exchange
        return Exchange(IdsAndClock(unique=lambda: recorded.uuid, now=lambda: recorded.created))

    @asynccontextmanager
    async def open_client(self) -> AsyncGenerator[Client]:
        """Connect to a played codex."""
        async with connect(self._stream(), CLIENT_NAME, __version__) as client:
            yield client

    @asynccontextmanager
    async def open_agents(self) -> AsyncGenerator[Client]:
        """Connect to a played codex of agents."""
        async with connect(
            self._stream(), CLIENT_NAME, __version__, read=read_agent_event, read_asked=read_agent_request
        ) as client:
            yield client

    def _stream(self) -> ByteStream:
        return self._wrap(ReplayedCodex(Player(self._library.choose, self._library.facts, self._pace)))
