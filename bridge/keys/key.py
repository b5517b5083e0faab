"""A key with a name: what it may do, and how it is recognised although it is not stored."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

ALL = "all"
"""Stands for every agent; a key without agents may use none."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
"""What a name may be: it is a label in metrics and a word in the log."""


MOST_TOKENS = 10**15
"""The highest limit of tokens for a day; JSON has no place for numbers of any size."""


def check_name(name: str) -> None:
    """Raise ValueError if a key cannot have this name."""
    if NAME.fullmatch(name) is None:
        raise ValueError(
            f"{name!r} cannot be the name of a key; use up to 32 of a-z, 0-9, - and _, with a letter or digit first"
        )


class NamedKey(Struct, frozen=True):
    """A key as it is stored; times have a time zone."""

    name: str
    id: str
    """Random and never used again. What was made with the key belongs to this id; the name may be given again."""
    salt: bytes
    hash: bytes
    created: datetime
    expires: datetime | None = None
    """When it ends; None if it does not."""
    tokens_per_day: int | None = None
    """Most tokens, of input and output, for each day in UTC; None if there is no limit."""
    models: tuple[str, ...] = ()
    """The models that it may use, by any of their names; empty for all. They do not concern agents."""
    agents: tuple[str, ...] = ()
    """The names of the agents that it may use, or `all`; empty for none."""

    @property
    def usable_agents(self) -> tuple[str, ...] | None:
        """The names of the agents that it may use; None for all."""
        return None if ALL in self.agents else self.agents

    def matches(self, sent: str) -> bool:
        """Return whether a client sent this key; this takes the same time for a right and a wrong one."""
        return hmac.compare_digest(hash_of(sent, self.salt), self.hash)

    def has_expired(self, epoch: float) -> bool:
        """Return whether the key has ended at this time, in epoch seconds."""
        return self.expires is not None and self.expires.timestamp() <= epoch


def key_report(key: NamedKey, tokens_today: int) -> Mapping[str, Any]:
    """Return what a key may do and has used, for JSON; `expires` is in epoch seconds."""
    return {
        "name": key.name,
        "expires": None if key.expires is None else round(key.expires.timestamp()),
        "tokens_today": tokens_today,
        "tokens_per_day": key.tokens_per_day,
        "models": key.models,
        "agents": key.agents,
    }


def hash_of(key: str, salt: bytes) -> bytes:
    """Return the salted hash of a key.

    One round of a fast hash is enough: a key has 256 random bits, so it cannot be guessed at any speed. A slow hash
    protects passwords, and would let anybody who sends wrong keys keep the server busy.
    """
    return hashlib.sha256(salt + key.encode()).digest()
