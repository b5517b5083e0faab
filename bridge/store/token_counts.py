"""How many tokens each named key has used on a day; servers that share a store count together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol


class TokenCounts(Protocol):
    """Numbers of tokens by day and by the id of a key. Each method may raise StoreError."""

    async def add(self, day: str, tokens: Mapping[str, int]) -> None:
        """Add tokens to a day of the form 2030-12-31, by the id of the key; earlier days may be forgotten."""
        ...

    async def of(self, day: str, keys: Collection[str]) -> Mapping[str, int]:
        """Return the tokens that these keys, one or more, have used on a day; a key that used none may be left out."""
        ...
