"""Where the turns of agents are found again: by a key that stands for the conversation up to that turn."""

from __future__ import annotations

from typing import Protocol

import orjson
from msgspec import Struct, convert, to_builtins


class StoredTurn(Struct, frozen=True, array_like=True):
    """A finished turn of an agent on a thread that codex keeps; stored as a list of the fields in this order."""

    thread: str
    turn: str
    model: str
    notes: str
    """A digest of the system messages that the thread has."""
    tools: tuple[str, ...] = ()
    """The digests of the client's tools that the thread has."""

    def dumped(self) -> bytes:
        """Return it as JSON."""
        return orjson.dumps(to_builtins(self))

    @classmethod
    def loaded(cls, record: bytes) -> StoredTurn:
        """Read what `dumped` returned."""
        return convert(orjson.loads(record), cls)


class AgentTurnStore(Protocol):
    """Turns by key; a turn is kept for some time after its last use."""

    async def put(self, key: str, turn: StoredTurn) -> None:
        """Store a turn; it replaces another one with the same key."""
        ...

    async def get(self, key: str) -> StoredTurn | None:
        """Return a turn; None if there is none with this key."""
        ...
