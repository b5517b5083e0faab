"""What goes on beside each request and its answer: nothing when the server is live.

`recorder.py` and `replaying.py` have exchanges of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from msgspec import Struct
from starlette.types import ASGIApp

from bridge.conversation.prompt import Prompt
from codex_rpc.wire.calls import Model


class RecordedRequest(Struct, frozen=True):
    """A request as it came."""

    path: str
    body: dict[str, Any]
    cursor: bool


PromptOf: TypeAlias = Callable[[Sequence[Model]], Prompt]
"""What the model is to see, given the models that there are; raises ApiError when there is no such model."""


class Exchange:
    """One request and its answer."""

    def __init__(self, ids_and_clock: IdsAndClock) -> None:
        self.ids_and_clock = ids_and_clock

    def runs_on(self, thread_id: str) -> None:
        """The answer comes from this thread; of several, from the last."""

    def around(self, answer: ASGIApp) -> ASGIApp:
        """Return what answers in the place of `answer`."""
        return answer


class Exchanges:
    """Begins exchanges."""

    def __init__(self, ids_and_clock: IdsAndClock) -> None:
        self.ids_and_clock = ids_and_clock

    def begin(self, asked: RecordedRequest, prompt_of: PromptOf) -> Exchange:
        """Return the exchange of a request.

        Raises:
            ApiError: it cannot be answered at all.
        """
        del asked, prompt_of
        return Exchange(self.ids_and_clock)


class IdsAndClock(Struct, frozen=True):
    """Gives each answer an identity of its own."""

    unique: Callable[[], str]
    """Returns a new UUID as text."""
    now: Callable[[], int]
    """Returns the time in epoch seconds."""
