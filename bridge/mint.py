"""Where an answer's id and time come from: a value, so that a replayed answer can carry those that were recorded."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct


class Mint(Struct, frozen=True):
    """Gives each answer an identity of its own."""

    unique: Callable[[], str]
    """Returns a new UUID as text."""
    now: Callable[[], int]
    """Returns the time in epoch seconds."""
