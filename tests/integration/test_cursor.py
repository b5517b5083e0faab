"""Requests as Cursor's servers send them: one test for each peculiarity."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from bridge.codex.models import NAMED, reverse
from tests.harness.proxy import BOTH_KINDS, Proxy, Stream, user
from tests.harness.script import Call, Cut, Received, Reply, Text, Usage, begun, failed, http_error, reply

pytestmark = BOTH_KINDS

BODIES = Path(__file__).parent / "cursor"
CURSOR = {"user-agent": "Cursor/1.0"}
VERIFY = {"origin": "vscode-file://vscode-app"}
LONG_ID = "toolu_vrtx_01AbCdEfGhIjKlMnOpQrStUvWxYz0123456789abcdefghijklmnopqrstuv"


def body(name: str) -> dict[str, Any]:
    return json.loads((BODIES / f"{name}.json").read_text())


async def send(bridge: Proxy, sent: dict[str, Any], path: str = "/v1/chat/completions") -> Stream:
    """Send a request like Cursor's and read the whole stream."""
    async with bridge.client.stream("POST", f"http://testserver{path}", json=sent, headers=CURSOR) as response:
        stream = Stream(response)
        await stream.read()
    assert response.status_code == 200
    assert stream.done
    return stream


def texts(request: Received) -> list[str]:
    return [item["content"][0]["text"] for item in request.conversation if item["type"] == "message"]


async def test_an_agent_request_in_the_chat_dialect_with_all_its_oddities_is_answered(bridge: Proxy) -> None:
    patch = "*** Begin Patch\n*** End Patch"
    bridge.upstream.will_reply(reply(Text(("Patching.",)), Call("ApplyPatch", json.dumps({"input": patch}), "c9")))
    stream = await send(bridge, body("agent_chat"))
    assert stream.text == "Patching."
    [call] = [call for chunk in stream.chunks for c in chunk["choices"] for call in c["delta"].get("tool_calls", ())]
    assert call == {"index": 0, "id": "c9", "type": "function", "function": {"name": "ApplyPatch", "arguments": patch}}
    reasons = [c["finish_reason"] for chunk in stream.chunks for c in chunk["choices"]]
    assert [reason for reason in reasons if reason] == ["tool_calls"]
    assert stream.chunks[-1]["usage"]["prompt_tokens"] == 812
    [request] = bridge.upstream.requests
    assert texts(request) == [
        "You are an AI coding assistant, powered by GPT.",
        "<user_info>\nOS: darwin 25\n</user_info>",
        "<user_query>\nList the files.\n</user_query>",
        "<user_query>\nNow patch it.\n</user_query>",
    ]
    assert [tool["name"] for tool in request.tools] == ["list_dir", "read_file", "ApplyPatch"]
    ignored = stream.response.headers["x-codex-proxy-ignored"].split(", ")
    assert ignored == ["metadata", "some_future_field", "store", "temperature", "user"]


async def test_a_call_id_that_is_too_long_for_the_upstream_is_shortened_alike_in_call_and_result(bridge: Proxy) -> None:
    await send(bridge, body("agent_chat"))
    [call, output] = [item for item in bridge.upstream.requests[0].conversation if item["type"] != "message"]
    assert call["call_id"] == output["call_id"]
    assert len(call["call_id"]) <= 64 < len(LONG_ID)


async def test_an_agent_request_in_the_responses_dialect_is_answered_with_chat_chunks(bridge: Proxy) -> None:
    stream = await send(bridge, body("agent_responses"))
    assert {chunk["object"] for chunk in stream.chunks} == {"chat.completion.chunk"}
    assert stream.text == "ok"
    [request] = bridge.upstream.requests
    assert request.body["reasoning"]["effort"] == "high"
    assert request.conversation == [
        _message("developer", "You are an AI coding assistant, powered by GPT."),
        _message("user", "List the files."),
        {"type": "function_call", "call_id": "call_1", "name": "list_dir", "arguments": '{"target_directory": "."}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "README.md\nsrc/"},
        _message("user", "Now patch it."),
    ]


def _message(role: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


@pytest.mark.parametrize("messages", [None, []])
async def test_an_empty_messages_field_next_to_an_input_is_ignored(bridge: Proxy, messages: Any) -> None:
    stream = await send(bridge, {**body("agent_responses"), "messages": messages})
    assert stream.text == "ok"


async def test_both_dialects_continue_the_same_thread(bridge: Proxy) -> None:
    tools = body("agent_responses")["tools"]
    first = {"model": "xedoc-2.5-tpg", "stream": True, "messages": [user("Hi.")], "tools": tools}
    await send(bridge, first)
    echoed = {"role": "assistant", "content": [{"type": "output_text", "text": "ok"}]}
    second = {"model": "xedoc-2.5-tpg", "stream": True, "input": [user("Hi."), echoed, user("More.")], "tools": tools}
    stream = await send(bridge, second)
    assert stream.response.headers["x-codex-proxy-thread"].startswith("continued")


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/v1/chat/completions",
        "//chat/completions",
        "/v1//chat/completions",
        "/v1/chat/completions/",
    ],
)
async def test_every_form_of_the_base_url_leads_to_the_chat(bridge: Proxy, path: str) -> None:
    assert (await send(bridge, body("agent_chat"), path)).text == "ok"


async def test_the_azure_form_names_the_model_in_the_path(bridge: Proxy) -> None:
    sent = {"stream": True, "messages": [user("Hi.")]}
    path = "/openai/deployments/5.5-tpg/chat/completions?api-version=2025-01-01"
    stream = await send(bridge, sent, path)
    assert {chunk["model"] for chunk in stream.chunks} == {"5.5-tpg"}
    assert bridge.upstream.requests[0].body["model"] == "gpt-5.5"


async def test_verify_and_side_requests_with_names_of_cursors_own_get_the_default_model(bridge: Proxy) -> None:
    names = ("gpt-3.5-turbo", "gpt-4o", "claude-4.5-sonnet-thinking-high")
    for headers, name in itertools.product((CURSOR, VERIFY), names):
        sent = {"model": name, "messages": [user("Testing. Just say hi and nothing else.")]}
        response = await bridge.client.post("/chat/completions", json=sent, headers=headers)
        assert (response.status_code, response.json()["model"]) == (200, name)
        model = bridge.upstream.requests[-1].body["model"]
        assert response.headers["x-codex-proxy-model"] == reverse(model)
        assert model not in NAMED
        assert (await bridge.client.get("/models", headers=headers)).status_code == 200


async def test_cursors_window_may_send_requests_from_its_own_origin(bridge: Proxy) -> None:
    asked = {
        **VERIFY,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    preflight = await bridge.client.options("/chat/completions", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-headers"] == "authorization,content-type"


@pytest.mark.parametrize("stream", [False, True])
async def test_failures_reach_cursor_as_a_400_whose_text_it_shows(bridge: Proxy, *, stream: bool) -> None:
    quota = {"error": {"type": "usage_limit_reached", "message": "limit", "plan_type": "plus", "resets_in_seconds": 60}}
    bridge.upstream.respond = lambda _: http_error(429, quota)
    sent = {"model": "xedoc-2.5-tpg", "stream": stream, "messages": [user("Hi.")]}
    response = await bridge.client.post("/chat/completions", json=sent, headers=CURSOR)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "usage_limit_reached")
    assert response.json()["error"]["message"]


TOO_LONG = "Your input exceeds the context window of this model."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "refusal",
    [
        failed("context_length_exceeded", TOO_LONG),
        http_error(400, {"error": {"code": "context_length_exceeded", "message": TOO_LONG}}),
    ],
    ids=["in the stream", "as a status"],
)
async def test_a_conversation_that_is_too_long_makes_cursor_compact_it(
    bridge: Proxy, refusal: Reply, *, stream: bool
) -> None:
    bridge.upstream.respond = lambda _: refusal
    sent = {"model": "xedoc-2.5-tpg", "stream": stream, "messages": [user("Hi.")]}
    response = await bridge.client.post("/chat/completions", json=sent, headers=CURSOR)
    assert response.status_code == 200
    last = json.loads(response.text.split("data: ")[-2]) if stream else response.json()
    assert last["usage"]["prompt_tokens"] == 1_000_000
    assert last["choices"][0]["finish_reason"] == "stop"
    other = await bridge.client.post("/chat/completions", json=sent)
    assert (other.status_code, other.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_a_failure_after_the_first_byte_reaches_cursor_as_text(bridge: Proxy) -> None:
    bridge.upstream.will_reply(begun(Text(("Half ", "of it"))).then(Cut()))
    stream = await send(bridge, body("agent_chat"))
    assert stream.text.startswith("Half of it\n\n")
    assert all(set(chunk) <= {"id", "object", "created", "model", "choices", "usage"} for chunk in stream.chunks)
    reasons = [c["finish_reason"] for chunk in stream.chunks for c in chunk["choices"]]
    assert reasons[-1] == "stop"


async def test_usage_is_in_the_stream_whether_requested_or_not(bridge: Proxy) -> None:
    bridge.upstream.respond = lambda _: reply("hi", usage=Usage(100, 20, 30, 5))
    sent = body("agent_chat")
    for options in (None, {"include_usage": True}, {"include_usage": False}):
        stream = await send(bridge, {**sent, "stream_options": options})
        assert stream.chunks[-1]["usage"]["total_tokens"] == 130


async def test_tool_choice_may_be_a_string_or_an_object(bridge: Proxy) -> None:
    for choice in (
        "auto",
        "none",
        {"type": "function", "name": "list_dir"},
        {"type": "function", "function": {"name": "list_dir"}},
        {"type": "auto"},
    ):
        assert (await send(bridge, {**body("agent_chat"), "tool_choice": choice})).text == "ok", choice


async def test_tools_may_be_null_and_content_may_be_null_with_calls(bridge: Proxy) -> None:
    sent = body("agent_chat")
    sent["tools"] = None
    sent["messages"][3]["content"] = None
    assert (await send(bridge, sent)).text == "ok"
