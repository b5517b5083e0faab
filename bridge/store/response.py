"""A response as it is stored, and the history that a chain of them makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import orjson
from msgspec import Struct

Item = Mapping[str, Any]


class StoreError(Exception):
    """The store cannot be read or written; the message says why."""


class Stored(Struct, frozen=True):
    """A finished response as the client sees it, its own input, and its output with what the client may not see."""

    response: Mapping[str, Any]
    input: Sequence[Item]
    output: Sequence[Item]

    @property
    def id(self) -> str:
        return self.response["id"]

    @property
    def previous(self) -> str | None:
        return self.response["previous_response_id"]

    def dumped(self) -> bytes:
        """Return the record as JSON."""
        return orjson.dumps([self.response, self.input, self.output])

    @classmethod
    def loaded(cls, record: bytes) -> Stored:
        """Read a record that `dumped` made."""
        return cls(*orjson.loads(record))


class ResponseStore(Protocol):
    """Keeps responses for a while. Each method may raise StoreError."""

    async def put(self, stored: Stored) -> None:
        """Keep a response, and let older ones go where there is no room."""
        ...

    async def get(self, response_id: str) -> Stored | None:
        """Return a response; None if it is not, or no longer, stored."""
        ...

    async def use(self, response_id: str) -> bool:
        """Tell whether a response is stored, and keep it alive; what came before it may need a look at the chain."""
        ...

    async def chain(self, response_id: str) -> list[Stored] | None:
        """Return the response with all that came before it, the first one first; None if one of them is missing.

        That a chain was used keeps all of it alive.
        """
        ...

    async def delete(self, response_id: str) -> bool:
        """Forget a response and tell whether there was one; those that continue it keep their history."""
        ...


def history(chain: Iterable[Stored]) -> Iterator[Item]:
    """Yield the items of a chain of responses in order, input and output."""
    for stored in chain:
        yield from stored.input
        yield from stored.output
