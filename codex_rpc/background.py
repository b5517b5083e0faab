"""Tasks that run during a block of code and end with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio


@asynccontextmanager
async def running(*tasks: Callable[[], Coroutine[Any, Any, None]]) -> AsyncGenerator[None]:
    """Run `tasks` for the length of the block; they are cancelled at its end.

    An exception of the block is raised unchanged, not inside an `ExceptionGroup`, so that callers can catch it by type.
    """
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        for task in tasks:
            group.start_soon(task)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again below, outside the group
            failure = error
        finally:
            group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def first_of(*waits: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Wait until one of `waits` returns; the others are cancelled."""
    async with anyio.create_task_group() as group:

        async def wait(one: Callable[[], Coroutine[Any, Any, object]]) -> None:
            await one()
            group.cancel_scope.cancel()

        for one in waits:
            group.start_soon(wait, one)
