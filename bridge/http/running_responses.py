"""What is known of a response while it is generated, so that it can be cancelled and continued."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio

from bridge.conversation.turns import Turn
from bridge.conversation.warm_up import WarmUp
from bridge.http.background import Job
from bridge.openai.responses.object import Object
from bridge.openai.responses.output import ResponseOutput
from bridge.store.last_responses import LastResponses
from bridge.store.response import Stored

if TYPE_CHECKING:
    from bridge.agents.turns import AgentTurn


class RunningResponse:
    """A response that is being generated; `output` is set when its answer is created."""

    output: ResponseOutput
    turn: Turn | AgentTurn | WarmUp | None = None
    job: Job | None = None
    """Its job if it runs in the background."""
    cancelled = False

    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.scope = anyio.CancelScope()
        """Cancels the answer."""

    async def runs(self, turn: Turn | AgentTurn | WarmUp) -> None:
        """Note the turn that generates it; a turn of a cancelled response is cancelled."""
        self.turn = turn
        if self.cancelled:
            await turn.cancel()


class OnSocket:
    """A request on a WebSocket, and its response."""

    response_id: str | None = None
    """The id of the response once it is created."""
    response: Object | None = None
    """The response object once it is final."""

    def __init__(self, stream_id: str | None, last: LastResponses) -> None:
        self.stream_id = stream_id
        self.last = last

    def settle(self, response: Stored, history: Sequence[Object]) -> None:
        """Keep a response so that the next request can continue it; one that failed ends what it continued.

        A stored response whose predecessors are stored needs no place here.
        """
        self.response = response.response
        before = response.response["previous_response_id"]
        if response.response["status"] == "failed":
            self.last.forget(before)
        elif not response.response["store"] or (before is not None and self.last.history(before) is not None):
            self.last.keep(self.stream_id, response, history)
