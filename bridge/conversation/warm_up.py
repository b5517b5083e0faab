"""The turn of a request that prepares a conversation without asking the model."""

from __future__ import annotations

from msgspec import Struct

from bridge.conversation.events import Finished, TurnEvent, Used
from bridge.conversation.prompt import Prompt
from codex_rpc.quota import Quota
from codex_rpc.wire.events import TokenUsage


class WarmUp(Struct, frozen=True):
    """Takes the place of a turn; its answer is empty and costs nothing."""

    prompt: Prompt
    quota: Quota
    thread_outcome: str = "prepared; reason=warm-up"
    rerouted_to: str | None = None

    async def next_events(self) -> list[TurnEvent]:
        """Return the end of the answer."""
        return [Used(TokenUsage(0, 0, 0, 0)), Finished("stop")]

    async def cancel(self) -> None:
        """Do nothing: the answer ends by itself."""
