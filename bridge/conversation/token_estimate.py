"""Estimates how many tokens the model reads, where the upstream does not say it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from bridge.conversation.prompt import Item
from bridge.conversation.tools import Toolbox

BYTES_PER_TOKEN = 4
PER_ITEM = 4
"""Tokens that mark the beginning, the kind and the end of an item."""
PER_IMAGE = 1000
"""About the most that a model counts for an image, whatever its bytes."""


def tokens_by_size(text: str) -> int:
    """Return the estimate for a text from its length alone."""
    return -(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN)


def estimate_tokens(items: Iterable[Item], toolbox: Toolbox, count: Callable[[str], int] = tokens_by_size) -> int:
    """Return the estimate for a prompt; `count` counts the tokens of one text."""
    total = sum(PER_ITEM + count(_json(spec)) for spec in toolbox.specs())
    for item in items:
        texts, images = _content(item)
        total += PER_ITEM + PER_IMAGE * images + sum(count(text) for text in texts)
    return total


def _content(item: Item) -> tuple[list[str], int]:
    """Return the texts of an item and the number of its images."""
    parts = [*_parts(item.get("content")), *_parts(item.get("output")), *_parts(item.get("summary"))]
    texts = [part["text"] for part in parts if "text" in part]
    texts += [item[name] for name in ("name", "arguments", "encrypted_content") if isinstance(item.get(name), str)]
    return texts, sum(part.get("type") == "input_image" for part in parts)


def _parts(content: Any) -> Iterator[Any]:
    if isinstance(content, str):
        yield {"text": content}
    else:
        yield from content or ()


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
