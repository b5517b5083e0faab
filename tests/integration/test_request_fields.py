"""What fields of a request do, through the real codex CLI: what the model has, is told, and what is named as lost."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.harness.proxy import MODEL, Proxy, user
from tests.harness.script import Call, reply


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": f"Does {name}.", **more}}


TOOLS = [function("read_file"), function("list_dir")]
READ = {"type": "function", "function": {"name": "read_file"}}


def allowed(mode: str = "auto") -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [READ]}}


async def test_fields_without_effect_are_named_in_a_header(bridge: Proxy) -> None:
    tools = [function("read_file", strict=True, new=1)]
    response = await bridge.chat({**user("Go."), "name": "Ann"}, tools=tools, moderation={"mode": "x"}, seed=None)
    assert response.status_code == 200, response.text
    names = "messages[].name, moderation, tools[].function.new, tools[].function.strict"
    assert response.headers["x-codex-proxy-ignored"] == names


@pytest.mark.parametrize("key", ["input_schema", "inputSchema"])
async def test_the_model_sees_a_schema_whatever_its_field_is_called(bridge: Proxy, key: str) -> None:
    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    await bridge.chat(user("Go."), tools=[{"name": "read_file", key: schema}])
    [request] = bridge.upstream.requests
    [tool] = request.tools
    assert tool["parameters"]["properties"] == schema["properties"]


async def test_only_allowed_tools_are_declared_and_a_conversation_that_changes_them_goes_on(bridge: Proxy) -> None:
    bridge.upstream.will_reply(reply(Call("read_file", "{}", "c1")), reply("Read."))
    asked = [user("Go.")]
    first = (await bridge.chat(*asked, tools=TOOLS, tool_choice=allowed("required"))).json()["choices"][0]
    assert first["finish_reason"] == "tool_calls"
    asked += [first["message"], {"role": "tool", "tool_call_id": "c1", "content": "It."}]
    second = await bridge.chat(*asked, tools=TOOLS)
    assert second.json()["choices"][0]["message"]["content"] == "Read."
    assert second.headers["x-codex-proxy-thread"].startswith("rebuilt")
    assert [[tool["name"] for tool in request.tools] for request in bridge.upstream.requests] == [
        ["read_file"],
        ["read_file", "list_dir"],
    ]


async def test_a_tool_that_is_allowed_but_not_declared_is_refused(bridge: Proxy) -> None:
    response = await bridge.chat(user("Go."), tools=TOOLS[1:], tool_choice=allowed())
    assert (response.status_code, response.json()["error"]["param"]) == (400, "tool_choice.allowed_tools.tools[0]")
    assert bridge.upstream.requests == []


@pytest.mark.parametrize("form", ["strict", "by instruction"])
async def test_only_a_schema_that_strict_mode_takes_is_sent_as_strict(bridge: Proxy, form: str) -> None:
    at = {"type": "string", **({"format": "uri"} if form == "by instruction" else {})}
    schema = {"type": "object", "properties": {"at": at}, "required": ["at"], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "description": "A place.", "schema": schema}}
    response = await bridge.chat(user("Go."), response_format=wanted)
    assert response.status_code == 200, response.text
    [request] = bridge.upstream.requests
    sent = request.body.get("text", {}).get("format")
    texts = [item["content"][0]["text"] for item in request.input if item["type"] == "message"]
    if form == "strict":
        assert (sent["strict"], sent["schema"]) == (True, {**schema, "description": "A place."})
        assert texts == ["Go."]
    else:
        assert sent is None
        assert texts[0].startswith("A place.\n\n")
        assert '"format":"uri"' in texts[0]


async def test_a_client_of_the_time_before_tools_runs_a_loop(bridge: Proxy) -> None:
    calls = reply(Call("add", '{"a": 2, "b": 3}', "c1"), Call("add", '{"a": 1, "b": 1}', "c2"))
    bridge.upstream.will_reply(calls, reply("It is 5."))
    client: Any = openai.AsyncOpenAI(
        api_key="any",
        base_url="http://testserver/v1",
        http_client=bridge.client,
        max_retries=0,
        _strict_response_validation=True,
    )
    asked: dict[str, Any] = {"model": MODEL, "functions": [{"name": "add", "parameters": {"type": "object"}}]}
    messages: list[Any] = [user("2 + 3?")]
    first = (await client.chat.completions.create(messages=messages, **asked)).choices[0]
    assert (first.finish_reason, first.message.function_call.arguments) == ("function_call", '{"a": 2, "b": 3}')
    messages += [first.message.model_dump(), {"role": "function", "name": "add", "content": "5"}]
    stream = await client.chat.completions.create(messages=messages, stream=True, **asked)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "It is 5."
    items = [item for item in bridge.upstream.requests[-1].input if item["type"].startswith("function_call")]
    assert [item.get("output") for item in items] == [None, "5"]


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/chat/completions", {"messages": [user("Go.")], "reasoning_effort": "banana"}, "reasoning_effort"),
        ("/chat/completions", {"input": "Go.", "reasoning": {"effort": "off"}}, "reasoning.effort"),
        ("/responses", {"input": "Go.", "reasoning": {"effort": "HIGH"}}, "reasoning.effort"),
        ("/responses", {"input": "Go.", "stream": True, "reasoning": {"effort": "banana"}}, "reasoning.effort"),
    ],
    ids=str,
)
async def test_an_effort_that_the_model_does_not_have_is_refused(
    bridge: Proxy, path: str, fields: dict[str, Any], param: str
) -> None:
    response = await bridge.client.post(path, json={"model": MODEL, **fields})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert (error["param"], error["code"]) == (param, "unsupported_value")
    assert "low, medium, high" in error["message"]
    assert bridge.upstream.requests == []


@pytest.mark.parametrize("again", ["It.", "Other."])
async def test_a_result_that_comes_twice_reaches_the_model_once(bridge: Proxy, again: str) -> None:
    bridge.upstream.will_reply(reply(Call("read_file", "{}", "c1")), reply("Read."), reply("Yes."))
    asked = [user("Go.")]
    first = (await bridge.chat(*asked, tools=TOOLS)).json()["choices"][0]["message"]
    asked += [first, *({"role": "tool", "tool_call_id": "c1", "content": text} for text in ("It.", again))]
    second = await bridge.chat(*asked, tools=TOOLS)
    assert second.headers["x-codex-proxy-thread"].startswith("resumed-tools")
    asked += [second.json()["choices"][0]["message"], user("Sure?")]
    third = await bridge.chat(*asked, tools=TOOLS)
    assert third.headers["x-codex-proxy-thread"].startswith("continued")
    assert third.headers.get("x-codex-proxy-ignored") == (None if again == "It." else "messages[].content")
    outputs = [item["output"] for item in bridge.upstream.requests[-1].input if item["type"] == "function_call_output"]
    assert outputs == ["It."]


async def test_a_response_takes_an_assistant_item_without_content(bridge: Proxy) -> None:
    said: dict[str, Any] = {"type": "message", "role": "assistant", "status": "incomplete", "content": []}
    response = await bridge.client.post(
        "/responses", json={"model": MODEL, "input": [user("One."), said, user("Two.")]}
    )
    assert response.status_code == 200, response.text
    [request] = bridge.upstream.requests
    assert [item["content"][0]["text"] for item in request.input if item["type"] == "message"] == ["One.", "Two."]
