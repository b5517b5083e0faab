"""Opens the store of responses that a setting names."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from bridge.config import Settings
from bridge.store.agent_turns import AgentTurnStore
from bridge.store.conversations import ConversationStore
from bridge.store.response import ResponseStore, StoreError
from bridge.store.seal import KeyStore
from bridge.store.sqlite import sqlite_store
from bridge.store.token_counts import TokenCounts
from bridge.store.usage import UsageStore

REDIS = ("redis://", "rediss://")


class Store(ResponseStore, KeyStore, Protocol):
    """All that a server stores."""

    @property
    def conversations(self) -> ConversationStore:
        """The conversations, which share the bounds of the store."""
        ...

    @property
    def agent_turns(self) -> AgentTurnStore:
        """The turns of agents, which share these bounds."""
        ...

    @property
    def token_counts(self) -> TokenCounts:
        """The tokens that named keys have used today."""
        ...

    @property
    def usage(self) -> UsageStore:
        """The numbers of each day's answers, which have an age of their own."""
        ...


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncGenerator[Store]:
    """Open a file, a Redis that several servers may share, or memory, for the duration of the block.

    Raises:
        StoreError: the store cannot be opened; the message says why.
    """
    if settings.store is not None and settings.store.startswith(REDIS):
        try:
            from bridge.store.redis import redis_store  # noqa: PLC0415 - the package redis is an extra
        except ImportError:
            command = "pip install 'codex-openai-proxy[redis]'"
            raise StoreError(f"a store in Redis needs the package redis: {command}") from None
        async with redis_store(settings.store, longest=settings.store_age, usage_age=settings.usage_age) as shared:
            yield shared
        return
    path = None if settings.store is None else Path(settings.store)
    with sqlite_store(
        path, most=settings.store_size, longest=settings.store_age, usage_age=settings.usage_age, now=time.time
    ) as store:
        yield store
