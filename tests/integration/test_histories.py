"""Any history reaches the model unchanged, in both dialects; a turn on a live thread sends only new items."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_rpc.process.process import CodexProcess
from tests.harness.proxy import BOTH_KINDS, Proxy, user
from tests.harness.script import plain_item as plain
from tests.integration.test_chat import tiny_png

pytestmark = BOTH_KINDS

ROLES = {"system": "developer", "developer": "developer", "user": "user"}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PICTURE = tiny_png()

Step = tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]
"""Chat messages, Responses items, and the items that the model should see."""


def item(role: str, parts: list[Any]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": parts}


@st.composite
def spoken(draw: st.DrawFn) -> Step:
    role = draw(st.sampled_from([*ROLES, "assistant"]))
    kind = "output_text" if role == "assistant" else "input_text"
    content = draw(TEXTS | st.lists(TEXTS, min_size=1, max_size=3))
    texts = [content] if isinstance(content, str) else content
    parts: list[dict[str, Any]] = [{"type": kind, "text": text} for text in texts]
    chat: Any = content if isinstance(content, str) else [{"type": "text", "text": text} for text in texts]
    if role == "user" and draw(st.booleans()):
        chat = [*([{"type": "text", "text": chat}] if isinstance(chat, str) else chat)]
        chat.append({"type": "image_url", "image_url": {"url": PICTURE, "detail": "high"}})
        parts.append({"type": "input_image", "image_url": PICTURE})
    sent = [{**part, "detail": "high"} if part["type"] == "input_image" else part for part in parts]
    responses = {"role": role, "content": content if isinstance(content, str) and len(parts) == 1 else sent}
    return [{"role": role, "content": chat}], [responses], [item(ROLES.get(role, role), parts)]


@st.composite
def called(draw: st.DrawFn) -> Step:
    """An assistant message with optional text and parallel calls, and their results in any order."""
    text = draw(st.none() | st.just("") | TEXTS.filter(bool))
    calls = [
        {"name": draw(st.sampled_from(["f", "exec_command", "größe"])), "arguments": f'{{"n": {number}}}'}
        for number in range(draw(st.integers(1, 3)))
    ]
    ids = [f"call_{number}" for number in itertools.islice(_numbers, len(calls))]
    outputs = [draw(TEXTS) for _ in calls]
    order = draw(st.permutations(range(len(calls))))
    wire = [{"id": i, "type": "function", "function": call} for i, call in zip(ids, calls, strict=True)]
    chat: list[dict[str, Any]] = [{"role": "assistant", "content": text, "tool_calls": wire}]
    chat += [{"role": "tool", "tool_call_id": ids[n], "content": outputs[n]} for n in order]
    items: list[dict[str, Any]] = [item("assistant", [{"type": "output_text", "text": text}])] if text else []
    items += [{"type": "function_call", "call_id": i, **call} for i, call in zip(ids, calls, strict=True)]
    items += [{"type": "function_call_output", "call_id": ids[n], "output": outputs[n]} for n in order]
    return chat, items, items


_numbers = itertools.count()
HISTORIES = st.lists(spoken() | called(), min_size=1, max_size=6)


def without_names_and_detail(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return items without mapped tool names and image details, which codex changes."""
    out = [plain(one) for one in items if one["type"] != "additional_tools"]
    for one in out:
        if one["type"] == "function_call":
            del one["name"]
        for part in one.get("content", ()):
            part.pop("detail", None)
    return out


@pytest.mark.parametrize("dialect", ["chat", "responses"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES)
async def test_random_histories_reach_the_model_unchanged(bridge: Proxy, dialect: str, history: list[Step]) -> None:
    which = 0 if dialect == "chat" else 1
    sent = {"messages" if dialect == "chat" else "input": [one for step in history for one in step[which]]}
    response = await bridge.client.post("/chat/completions", json={"model": bridge.model, **sent})
    assert response.status_code == 200, response.text
    expected = without_names_and_detail([one for step in history for one in step[2]])
    assert without_names_and_detail(bridge.upstream.requests[-1].input) == expected


@pytest.mark.parametrize("transport", ["http", "websocket"])
async def test_a_second_turn_sends_only_new_items_however_long_the_conversation_is(
    bridge: Proxy, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    long = "x" * 500_000
    first = await bridge.chat(user(long))
    written: list[bytes] = []
    send = CodexProcess.send

    async def record(self: CodexProcess, data: bytes) -> None:
        written.append(data)
        await send(self, data)

    monkeypatch.setattr(CodexProcess, "send", record)
    answer = first.json()["choices"][0]["message"]
    second = await bridge.chat(user(long), answer, user("short"))
    assert second.headers["x-codex-proxy-thread"].startswith("continued")
    assert len(b"".join(written)) < 1_000
    if transport == "websocket":
        assert [part["text"] for one in bridge.upstream.requests[-1].input for part in one["content"]] == ["short"]
