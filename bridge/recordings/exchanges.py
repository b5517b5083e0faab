"""The ids and times of each request's answer, and hooks around it; in live mode the hooks do nothing.

`recorder.py` and `replay.py` subclass these exchanges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from msgspec import Struct
from starlette.types import ASGIApp

from bridge.conversation.prompt import Prompt
from codex_rpc.wire.calls import Model


class RecordedRequest(Struct, frozen=True):
    """A request as the client sent it."""

    path: str
    body: dict[str, Any]
    cursor: bool
    agent: str | None = None
    """The agent that answers; None for a model."""


PromptOf: TypeAlias = Callable[[Sequence[Model]], Prompt]
"""Returns the prompt of a request, given codex's models; raises ApiError if there is no such model."""


class Exchange:
    """One request and its answer."""

    def __init__(self, ids_and_clock: IdsAndClock) -> None:
        self.ids_and_clock = ids_and_clock

    def runs_on(self, thread_id: str) -> None:
        """Note that this thread gives the answer; it replaces an earlier thread."""

    def around(self, answer: ASGIApp) -> ASGIApp:
        """Return the application to run instead of `answer`."""
        return answer


class Exchanges:
    """Begins an exchange for each request."""

    of_agents = False
    """Whether it does so for requests to agents, too."""

    def __init__(self, ids_and_clock: IdsAndClock) -> None:
        self.ids_and_clock = ids_and_clock

    def begin(self, request: RecordedRequest, prompt_of: PromptOf) -> Exchange:
        """Return the exchange of a request; `prompt_of` returns its prompt.

        Raises:
            ApiError: the request cannot be answered.
        """
        del request, prompt_of
        return Exchange(self.ids_and_clock)


class IdsAndClock(Struct, frozen=True):
    """The source of ids and times for answers."""

    unique: Callable[[], str]
    """Returns a new UUID as text."""
    now: Callable[[], int]
    """Returns the time in epoch seconds."""
