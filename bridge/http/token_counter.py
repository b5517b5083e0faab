"""Chooses how the tokens of a text are counted: by tiktoken if it is installed with its table, else by the text's size.

tiktoken downloads its table when it is missing, without a time limit. So it is used only if the table is there.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from msgspec import Struct

from bridge.conversation.prompt import Item
from bridge.conversation.token_estimate import estimate_tokens, tokens_by_size
from bridge.conversation.tools import Toolbox

logger = logging.getLogger(__name__)

ENCODING = "o200k_base"
TABLE = "fb374d419588a4632f3f557e76b4b70aebbca790"
"""The name of this encoding's table in tiktoken's cache: the SHA-1 of its address."""
LOADING = 10.0
"""Most seconds for loading the table; if it is damaged, tiktoken tries to download it."""


class Counter(Struct, frozen=True):
    """A way to count, and its name for the client."""

    name: str
    count: Callable[[str], int]


BY_SIZE = Counter("text-size", tokens_by_size)


class TokenCounter:
    """Counts the tokens of prompts; tiktoken is loaded when it is first needed."""

    def __init__(self) -> None:
        self._counter: Counter | None = None

    async def count(self, items: tuple[Item, ...], toolbox: Toolbox) -> tuple[int, str]:
        """Return the number of tokens and the name of the way in which they were counted."""
        if self._counter is None:
            self._counter = BY_SIZE
            with anyio.move_on_after(LOADING):
                self._counter = await anyio.to_thread.run_sync(best_counter, abandon_on_cancel=True)
        counter = self._counter
        work = partial(estimate_tokens, items, toolbox, counter.count)
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True), counter.name


def best_counter() -> Counter:
    """Return tiktoken's counter, or the built-in one if tiktoken or its table is missing."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    if not (Path(folder or Path(tempfile.gettempdir(), "data-gym-cache")) / TABLE).is_file():
        return BY_SIZE
    try:
        from tiktoken import get_encoding  # noqa: PLC0415 - an extra

        encoding = get_encoding(ENCODING)
    except (ImportError, OSError, ValueError) as error:
        logger.warning("tokens are counted by the size of texts, because tiktoken could not be loaded: %s", error)
        return BY_SIZE
    return Counter(f"tiktoken/{ENCODING}", lambda text: len(encoding.encode_ordinary(text)))
