"""Notifications of codex 0.163 and 0.171 as an agent: what both sent, with short ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codex_rpc.wire.events import Event
from codex_rpc.wire.protocol import read_agent_event

FOLDER = "/w/site"
THREAD, TURN = "thread_1", "turn_1"
PATCH = [
    {
        "path": "/w/site/hello.txt",
        "kind": {"type": "update", "move_path": None},
        "diff": "@@ -1,2 +1,2 @@\n-hello\n+hallo\n world\n",
    },
    {"path": "/w/site/new.py", "kind": {"type": "add"}, "diff": "print('new')\n"},
]
TOKENS = {
    "totalTokens": 852,
    "inputTokens": 812,
    "cachedInputTokens": 768,
    "cacheWriteInputTokens": 0,
    "outputTokens": 40,
    "reasoningOutputTokens": 16,
}


def notified(method: str, **params: Any) -> Event | None:
    """What a notification of the turn is read as."""
    return read_agent_event(method, {"threadId": THREAD, "turnId": TURN, **params})


def event(method: str, **params: Any) -> Event:
    """The same, for a notification that is read."""
    read = notified(method, **params)
    assert read is not None, f"{method} is not read"
    return read


def started(item: Mapping[str, Any]) -> Event:
    return event("item/started", item=item, startedAtMs=1795912672117)


def completed(item: Mapping[str, Any]) -> Event:
    return event("item/completed", item=item, completedAtMs=1795912672117)


def message(text: str, phase: str | None = "final_answer", item_id: str = "item_3") -> dict[str, Any]:
    """An agentMessage."""
    whole = {"type": "agentMessage", "id": item_id, "text": text, "phase": phase}
    return {**whole, "memoryCitation": None, "delivery": None, "questions": None}


def delta(text: str, item_id: str = "item_3") -> Event:
    return event("item/agentMessage/delta", itemId=item_id, delta=text)


def command(status: str = "inProgress", **more: Any) -> dict[str, Any]:
    """A commandExecution."""
    return {
        "type": "commandExecution",
        "id": "call_1",
        "pluginId": None,
        "scriptPath": None,
        "command": "/bin/bash -lc \"cd sub && cat a.txt | head -3; echo 'it''s'; exit 3\"",
        "cwd": "/w/site",
        "processId": "3877",
        "source": "unifiedExecStartup",
        "status": status,
        "commandActions": [{"type": "unknown", "command": "cd sub && cat a.txt | head -3; echo 'it''s'; exit 3"}],
        "aggregatedOutput": None,
        "exitCode": None,
        "durationMs": None,
        **more,
    }


def mcp_call(status: str = "completed", **more: Any) -> dict[str, Any]:
    """An mcpToolCall."""
    return {
        "type": "mcpToolCall",
        "id": "call_1",
        "server": "usermcp",
        "tool": "echo",
        "status": status,
        "arguments": {"text": "hello"},
        "readOnlyHint": True,
        "result": {"content": [{"type": "text", "text": "ECHO hello"}], "structuredContent": {"t": 1}, "_meta": None},
        "error": None,
        "durationMs": 1,
        **more,
    }


def used(responses: int = 1) -> Event:
    """The usage of the last of so many upstream responses, which all cost the same."""
    total = {name: number * responses for name, number in TOKENS.items()}
    return event("thread/tokenUsage/updated", tokenUsage={"total": total, "last": TOKENS})


def failed(text: str, *, will_retry: bool) -> Event:
    return event("error", error={"message": text, "codexErrorInfo": "other"}, willRetry=will_retry)


def ended(status: str = "completed") -> Event:
    return event("turn/completed", turn={"id": TURN, "items": [], "status": status, "error": None})
