"""Token counts of upstream responses as the Chat Completions API reports them."""

from __future__ import annotations

from typing import Any

from bridge.openai.clients import OVERFLOW_TOKENS
from codex_rpc.wire.events import TokenUsage

NO_USAGE = TokenUsage(0, 0, 0, 0)


def chat_usage(usage: TokenUsage) -> dict[str, Any]:
    """Return the `usage` object."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_output},
    }


def overflow_usage() -> dict[str, Any]:
    """Return the `usage` object that makes Cursor compact the conversation."""
    return chat_usage(TokenUsage(OVERFLOW_TOKENS, 0, 0, 0))
