"""Runs the turn that summarises a conversation, before the turn that answers it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

from bridge.conversation.events import ItemDone, Used
from bridge.conversation.prompt import Item
from bridge.conversation.token_estimate import estimate_tokens
from bridge.conversation.turns import Turn
from bridge.errors import store_failed
from bridge.openai.model_settings import ModelSettings
from bridge.openai.responses.compaction import (
    Compacted,
    compaction_item,
    condensed,
    kept_messages,
    may_be_dropped,
    placeholder,
    summary_settings,
    to_summarise,
)
from bridge.openai.responses.compaction_writers import Summary
from bridge.openai.responses.request import ResponseRequest
from bridge.store.response import StoreError
from bridge.store.seal import KeyStore, Seal

Open: TypeAlias = Callable[[ModelSettings, tuple[Item, ...]], AbstractAsyncContextManager[Turn]]
"""Opens a turn."""


class Sealing:
    """Provides the seal with the store's key, which is read when it is first needed."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._seal: Seal | None = None

    async def get(self) -> Seal:
        """Return the seal.

        Raises:
            ApiError: 500, the key cannot be read.
        """
        if self._seal is None:
            try:
                self._seal = Seal(await self._store.key())
            except StoreError as error:
                raise store_failed(str(error)) from error
        return self._seal


def exceeds_threshold(parsed: ResponseRequest) -> bool:
    """Return whether the client wants the conversation to be compacted before it is answered."""
    if parsed.compact_threshold is None or not any(map(may_be_dropped, parsed.history)):
        return False
    return estimate_tokens(parsed.items, parsed.settings.toolbox) >= parsed.compact_threshold


@asynccontextmanager
async def compacted_first(
    parsed: ResponseRequest, open_turn: Open, note: Callable[[Turn], Awaitable[None]], item_id: str, seal: Seal
) -> AsyncGenerator[Turn]:
    """Summarise the conversation, then run the turn that answers it; its events begin with the compaction item.

    `note` is called with the turn that summarises. If that turn is cancelled, the conversation stays as it is.

    Raises:
        ApiError: as opening a turn does; 502, the model did not complete the summary.
        CodexError: codex did not accept the prompt, or ended.
    """
    summary = Summary()
    async with open_turn(summary_settings(parsed.settings), to_summarise(parsed.items)) as turn:
        await note(turn)
        while not summary.ended:
            summary.feed(await turn.next_events())
    items, first = parsed.items, list[ItemDone | Used]()
    if summary.text is not None:
        content = Compacted(summary.text, kept_messages(parsed.history))
        shown = condensed([*parsed.history, placeholder(content)])
        items = (*parsed.items[: parsed.fixed], *shown)
        first = [ItemDone(compaction_item(item_id, seal.close(content.dumped()))), Used(summary.usage)]
    async with open_turn(parsed.settings, items) as turn:
        turn.begin_with(first)
        yield turn
