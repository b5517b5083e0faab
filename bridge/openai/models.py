"""The model list. Source: the OpenAI API reference, "Models"."""

from __future__ import annotations

from typing import Any

OWNER = "codex"


def model_object(name: str, created: int) -> dict[str, Any]:
    """Return one model object."""
    return {"id": name, "object": "model", "created": created, "owned_by": OWNER}


def model_list(names: list[str], created: int) -> dict[str, Any]:
    """Return the list object, in the order of the names."""
    return {"object": "list", "data": [model_object(name, created) for name in names]}
