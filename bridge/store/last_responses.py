"""The last responses of one WebSocket: later requests on it may continue them although they are not stored."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from msgspec import Struct

from bridge.store.response import Item, Stored

MOST_LANES = 32
"""Most values of `stream_id` whose last response is kept."""


class _LastResponse(Struct, frozen=True):
    id: str
    history: Sequence[Item]
    """Its input and output, and those of all responses before it."""


class LastResponses:
    """The last response of each lane; requests without a `stream_id` share the lane None."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[str | None, _LastResponse] = OrderedDict()
        """In order of use, the most recent last."""

    def history(self, response_id: str) -> Sequence[Item] | None:
        """Return the items of a response and of all before it; None if it is not kept here."""
        return next((last.history for last in self._lanes.values() if last.id == response_id), None)

    def keep(self, lane: str | None, response: Stored, before: Sequence[Item]) -> None:
        """Keep a response as the last one of its lane; `before` holds the items of all responses before it."""
        self._lanes[lane] = _LastResponse(response.response["id"], (*before, *response.input, *response.output))
        self._lanes.move_to_end(lane)
        if len(self._lanes) > MOST_LANES:
            self._lanes.popitem(last=False)

    def forget(self, response_id: str | None) -> None:
        """Forget a response if it is kept."""
        for lane in [lane for lane, last in self._lanes.items() if last.id == response_id]:
            del self._lanes[lane]
