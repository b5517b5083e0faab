"""The base of every value that is read from app-server."""

from __future__ import annotations

from msgspec import Struct


class Shape(Struct, frozen=True, rename="camel"):
    """The fields that we read of a JSON object of app-server; others are ignored."""
