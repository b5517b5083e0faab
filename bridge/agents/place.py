"""The place of a request in a conversation with an agent."""

from __future__ import annotations

from hashlib import blake2b

from msgspec import Struct


class Place(Struct, frozen=True):
    """What the client itself says of the place of a request in a conversation."""

    previous: str | None = None
    """The id of the response that it continues."""
    response: str | None = None
    """The id of the response that answers it."""
    conversation: str | None = None
    """The client's own name for the conversation, which decides between equal histories."""

    key: str | None = None
    """The id of the client's named key: no other key continues its conversations."""

    def is_open_to(self, key: str | None) -> bool:
        """Return whether the client with a named key may see and stop what was begun here; `key` is the id of that key.

        Without one, it has the server's own key, which sees everything.
        """
        return key is None or key == self.key

    def keys(self, key: str) -> tuple[str, ...]:
        """Return the keys under which a turn with a history is found, the most exact one first."""
        if self.key is not None:
            key = _digest(f"{self.key}:{key}")
        return (key,) if self.conversation is None else (_digest(f"{key}:{self.conversation}"), key)


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()
