"""The one inner form of a request: Responses items and the settings of one turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Item: TypeAlias = Mapping[str, Any]
"""A Responses API item (message, function_call, function_call_output, reasoning …) as it is on the wire."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is to see, and how it is to be run."""

    model: str
    """The name that codex knows."""
    items: tuple[Item, ...]
    effort: str | None = None
    tier: str | None = None
