"""A prompt on a thread of its own: started, filled, unloaded afterwards."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from bridge.backend import Session
from bridge.plain_model import thread_start_params
from bridge.prompt import Prompt
from bridge.turns import CLEAN_UP, Turn, open_turn
from codex_rpc.errors import CodexError
from codex_rpc.protocol import thread_inject_items, thread_start, thread_unsubscribe


@asynccontextmanager
async def run_prompt(session: Session, prompt: Prompt, cwd: str, idle_timeout: float) -> AsyncGenerator[Turn]:
    """Run a prompt on a new thread for the length of the block; the turn's events are the answer.

    Raises:
        CodexError: codex did not take the prompt.
    """
    client = session.client
    params = thread_start_params(prompt.model, cwd, session.mcp_servers, prompt.effort, prompt.tier)
    # Shielded, because a thread whose start was under way stays loaded until it is unsubscribed by its id.
    thread_id = await client.call(thread_start(params), shield=True)
    try:
        await client.call(thread_inject_items(thread_id, prompt.items))
        async with open_turn(client, thread_id, idle_timeout) as turn:
            yield turn
    finally:
        with suppress(CodexError):
            await client.call(thread_unsubscribe(thread_id), CLEAN_UP, shield=True)
