"""Remembers which account encrypted reasoning belongs to: the upstream refuses the reasoning of another account."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable

from bridge.conversation.prompt import Item
from bridge.errors import ApiError
from bridge.refusals import refuses_reasoning

MOST = 65_536
"""Number of reasoning items whose owner is remembered; an entry takes about 150 bytes."""

NO_OWNER = ""
"""The owner of reasoning that the upstream has refused."""


class ReasoningOwners:
    """The owners of encrypted reasoning, by its digest; the least recently used are forgotten."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._owners: OrderedDict[bytes, str] = OrderedDict()

    def note(self, items: Iterable[Item], owner: str) -> None:
        """Remember the owner of the reasoning among the items."""
        self._note(digest_reasoning(items), owner)

    def refused(self, digests: Iterable[bytes]) -> None:
        """Remember that the upstream has refused reasoning with one of these digests."""
        self._note(digests, NO_OWNER)

    def usable(self, items: Iterable[Item], owner: str) -> tuple[Item, ...]:
        """Return the items without the reasoning that is known to belong to another owner."""
        return tuple(item for item in items if all(self._is_usable(one, owner) for one in digest_reasoning([item])))

    def _is_usable(self, digest: bytes, owner: str) -> bool:
        if digest not in self._owners:
            return True
        self._owners.move_to_end(digest)
        return self._owners[digest] == owner

    def _note(self, digests: Iterable[bytes], owner: str) -> None:
        for digest in digests:
            self._owners[digest] = owner
            self._owners.move_to_end(digest)
        while len(self._owners) > self._most:
            self._owners.popitem(last=False)


def digest_reasoning(items: Iterable[Item]) -> frozenset[bytes]:
    """Return a digest of each encrypted reasoning among the items."""
    encrypted = (item.get("encrypted_content") for item in items if item["type"] == "reasoning")
    return frozenset(hashlib.blake2b(one.encode(), digest_size=16).digest() for one in encrypted if one)


def is_reasoning_refused(error: ApiError) -> bool:
    """Return whether the upstream could not read the encrypted reasoning of the request."""
    return error.code == "invalid_encrypted_content" or refuses_reasoning(error.message)
