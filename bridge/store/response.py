"""A stored response, and the history of a chain of responses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import orjson
from msgspec import Struct

Item = Mapping[str, Any]


def id_in_store(response_or_conversation: str, key: str | None) -> str:
    """Return the id under which a store keeps what was made with a named key, so that no other key finds it.

    `key` is the id of the key; None for the server's own key, and without keys.
    """
    return response_or_conversation if key is None else f"{key}/{response_or_conversation}"


class StoreError(Exception):
    """The store cannot be read or written; the message says why."""


class Stored(Struct, frozen=True):
    """A finished response as the client received it, its own input, and its output including hidden items."""

    response: Mapping[str, Any]
    input: Sequence[Item]
    output: Sequence[Item]
    owner: str | None = None
    """The account that the encrypted reasoning in the output belongs to; None in records of old versions."""
    key: str | None = None
    """The id of the named key that it was made with."""

    @property
    def id(self) -> str:
        return id_in_store(self.response["id"], self.key)

    @property
    def previous(self) -> str | None:
        previous = self.response["previous_response_id"]
        return None if previous is None else id_in_store(previous, self.key)

    def dumped(self) -> bytes:
        """Return the record as JSON; without a key it is as older versions, which may share the store, read it."""
        record = [self.response, self.input, self.output, self.owner]
        return orjson.dumps(record if self.key is None else [*record, self.key])

    @classmethod
    def loaded(cls, record: bytes) -> Stored:
        """Read a record that `dumped` made."""
        return cls(*orjson.loads(record))


class ResponseStore(Protocol):
    """Stores responses for a limited time. Each method may raise StoreError."""

    async def put(self, stored: Stored) -> None:
        """Store a response; older ones are removed if the store is full."""
        ...

    async def get(self, response_id: str) -> Stored | None:
        """Return a response; None if it is not stored."""
        ...

    async def use(self, response_id: str) -> bool:
        """Return whether a response is stored, and mark it as used; earlier ones may be marked only by `chain`."""
        ...

    async def chain(self, response_id: str) -> list[Stored] | None:
        """Return the response and all earlier ones, the first one first; None if one of them is missing.

        All of them are marked as used.
        """
        ...

    async def delete(self, response_id: str) -> bool:
        """Delete a response and return whether it was stored; its continuations keep their history."""
        ...


def history(chain: Iterable[Stored]) -> Iterator[Item]:
    """Yield the input and output items of a chain of responses in order."""
    for stored in chain:
        yield from stored.input
        yield from stored.output
