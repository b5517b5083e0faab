from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import ValidationError

from codex_rpc.wire.agent_items import (
    AgentItem,
    AgentMessage,
    AgentReasoning,
    Change,
    ChangeKind,
    CommandAction,
    CommandExecution,
    ContextCompaction,
    FileChange,
    ImageGeneration,
    ImageView,
    McpError,
    McpResult,
    McpToolCall,
    SearchAction,
    Sleep,
    SubAgentActivity,
    WebSearch,
)
from codex_rpc.wire.events import (
    CommandOutput,
    CompactionStarted,
    Event,
    ItemCompleted,
    ItemStarted,
    MessageDelta,
    PlanStep,
    PlanUpdated,
    TokenUsage,
    UsageUpdated,
)
from codex_rpc.wire.protocol import READ_OF_AGENTS, read_agent_event, read_event

ITEMS: list[tuple[dict[str, Any], AgentItem]] = [
    (
        {"type": "agentMessage", "id": "m", "text": "I look.", "phase": "commentary", "delivery": None},
        AgentMessage("m", "I look.", "commentary"),
    ),
    ({"type": "agentMessage", "id": "m", "text": "", "phase": None}, AgentMessage("m")),
    ({"type": "reasoning", "id": "r", "summary": ["**Why**"], "content": []}, AgentReasoning("r", ("**Why**",))),
    (
        {
            "type": "commandExecution",
            "id": "call_4",
            "command": "/bin/bash -lc 'ls -la'",
            "cwd": "/w/site",
            "processId": "60112",
            "source": "unifiedExecStartup",
            "status": "failed",
            "commandActions": [{"type": "listFiles", "command": "ls -la", "path": None}],
            "aggregatedOutput": "total 20\n",
            "exitCode": 3,
            "durationMs": 797,
        },
        CommandExecution(
            "call_4", "/bin/bash -lc 'ls -la'", "/w/site", "failed", (CommandAction("ls -la"),), "total 20\n", 3
        ),
    ),
    (
        {
            "type": "fileChange",
            "id": "call_6",
            "changes": [
                {"path": "/w/a", "kind": {"type": "update", "move_path": "/w/b"}, "diff": "@@ -1 +1 @@\n-a\n+b\n"},
                {"path": "/w/new.py", "kind": {"type": "add"}, "diff": "print('new')\n"},
            ],
            "status": "completed",
        },
        FileChange(
            "call_6",
            "completed",
            (
                Change("/w/a", ChangeKind("update", "/w/b"), "@@ -1 +1 @@\n-a\n+b\n"),
                Change("/w/new.py", ChangeKind("add"), "print('new')\n"),
            ),
        ),
    ),
    (
        {
            "type": "mcpToolCall",
            "id": "call_1",
            "server": "usermcp",
            "tool": "echo",
            "status": "completed",
            "arguments": {"text": "hello"},
            "readOnlyHint": True,
            "result": {"content": [{"type": "text", "text": "HI"}], "structuredContent": {"t": 1}, "_meta": None},
            "error": None,
            "durationMs": 1,
        },
        McpToolCall(
            "call_1",
            "usermcp",
            "echo",
            "completed",
            {"text": "hello"},
            McpResult(({"type": "text", "text": "HI"},), {"t": 1}),
        ),
    ),
    (
        {
            "type": "mcpToolCall",
            "id": "c",
            "server": "s",
            "tool": "t",
            "status": "failed",
            "arguments": None,
            "result": None,
            "error": {"message": "no"},
        },
        McpToolCall("c", "s", "t", "failed", None, None, McpError("no")),
    ),
    (
        {
            "type": "webSearch",
            "id": "ws_5",
            "query": "q",
            "action": {"type": "search", "query": "q", "queries": ["q"]},
            "results": None,
        },
        WebSearch("ws_5", "q", SearchAction("search", "q", ("q",))),
    ),
    ({"type": "webSearch", "id": "ws_5", "query": "", "action": None}, WebSearch("ws_5")),
    ({"type": "imageView", "id": "call_7", "path": "/w/site/dot.png"}, ImageView("call_7", "/w/site/dot.png")),
    (
        {
            "type": "imageGeneration",
            "id": "i",
            "status": "completed",
            "revisedPrompt": "a dot",
            "savedPath": "/w/d.png",
        },
        ImageGeneration("i", "completed", "a dot", "/w/d.png"),
    ),
    ({"type": "sleep", "id": "s", "durationMs": 1500}, Sleep("s", 1500)),
    ({"type": "contextCompaction", "id": "c"}, ContextCompaction("c")),
    (
        {"type": "subAgentActivity", "id": "a", "kind": "started", "agentThreadId": "t2", "agentPath": "/agents/look"},
        SubAgentActivity("a", "started", "/agents/look", "t2"),
    ),
]
TOKENS = {
    "totalTokens": 852,
    "inputTokens": 812,
    "cachedInputTokens": 768,
    "outputTokens": 40,
    "reasoningOutputTokens": 16,
}


def params(**more: Any) -> dict[str, Any]:
    return {"threadId": "t", "turnId": "u", **more}


@pytest.mark.parametrize(("wire", "item"), ITEMS)
def test_an_item_of_an_agent_is_read_when_it_starts_and_when_it_is_completed(wire: dict[str, Any], item: AgentItem):
    assert read_agent_event("item/started", params(item=wire, startedAtMs=1)) == ItemStarted("t", "u", item)
    assert read_agent_event("item/completed", params(item=wire, completedAtMs=1)) == ItemCompleted("t", "u", item)


@pytest.mark.parametrize("kind", ["userMessage", "dynamicToolCall", "collabAgentToolCall", "somethingNew"])
def test_an_item_that_is_not_used_is_skipped(kind: str):
    assert read_agent_event("item/started", params(item={"type": kind, "id": "i"})) is None
    assert read_agent_event("item/completed", params(item={"type": kind, "id": "i"})) is None


@pytest.mark.parametrize(("wire", "item"), ITEMS)
def test_an_item_without_its_id_is_malformed(wire: dict[str, Any], item: AgentItem):
    del item
    rest = {name: value for name, value in wire.items() if name != "id"}

    with pytest.raises(ValidationError, match="id"):
        read_agent_event("item/started", params(item=rest))


@pytest.mark.parametrize(
    ("method", "more", "expected"),
    [
        (
            "item/commandExecution/outputDelta",
            {"itemId": "call_4", "delta": "tick 2\n"},
            CommandOutput("t", "u", "call_4", "tick 2\n"),
        ),
        (
            "turn/plan/updated",
            {"explanation": "a plan", "plan": [{"step": "Look", "status": "completed"}]},
            PlanUpdated("t", "u", (PlanStep("Look", "completed"),), "a plan"),
        ),
        ("turn/plan/updated", {"explanation": None, "plan": []}, PlanUpdated("t", "u", ())),
        (
            "thread/tokenUsage/updated",
            {"tokenUsage": {"total": {**TOKENS, "inputTokens": 9}, "last": TOKENS, "modelContextWindow": 258400}},
            UsageUpdated("t", "u", TokenUsage(812, 768, 40, 16), TokenUsage(9, 768, 40, 16)),
        ),
        ("item/agentMessage/delta", {"itemId": "m", "delta": "Hi"}, MessageDelta("t", "u", "m", "Hi")),
    ],
)
def test_other_notifications_of_an_agent_are_read(method: str, more: dict[str, Any], expected: Event):
    assert read_agent_event(method, params(**more)) == expected
    assert method in READ_OF_AGENTS


def test_chat_mode_reads_of_the_items_that_start_only_the_compaction():
    command, message, compaction = ITEMS[3][0], ITEMS[0][0], {"type": "contextCompaction", "id": "c"}

    assert read_event("item/started", params(item=command)) is None
    assert read_event("item/started", params(item=message)) is None
    assert read_event("item/started", params(item=compaction)) == CompactionStarted("t", "u")
    assert read_event("item/completed", params(item=command)) is None


def test_a_notification_that_an_agent_does_not_use_is_skipped():
    assert read_agent_event("turn/diff/updated", params(diff="")) is None
    assert read_agent_event("thread/started", None) is None


@pytest.mark.parametrize("item", [{}, {"id": "i"}, {"type": ["agentMessage"]}, {"type": None}, "agentMessage", None])
def test_an_item_without_a_type_is_malformed(item: Any):
    with pytest.raises(ValidationError):
        read_agent_event("item/completed", params(item=item))


@given(
    st.sampled_from(sorted(READ_OF_AGENTS)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["threadId", "turnId", "item", "type", "id", "plan", "delta", "tokenUsage", "last"]),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    ),
)
@settings(deadline=None)
def test_random_parameters_are_an_event_or_malformed(method: str, garbage: Any):
    try:
        read_agent_event(method, garbage)
    except ValidationError:
        return
