"""Client tools and continued conversations through the real codex CLI."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bridge.conversation import threads, turns
from bridge.conversation.translate import UNDECLARED_CALLS
from tests.harness.codex_home import write_home
from tests.harness.proxy import BOTH_KINDS, Proxy, proxy, user
from tests.harness.script import Call, Cut, Pause, Received, Reply, Text, Thought, Usage, reply
from tests.harness.script import plain_item as plain
from tests.harness.upstream import Upstream
from tests.integration.test_chat import tiny_png

pytestmark = BOTH_KINDS

BOTH_TRANSPORTS = pytest.mark.parametrize("transport", ["http", "websocket"])
"""Runs a test on each transport for each kind of model; the others run direct over HTTP, lite over WebSocket."""


def function(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {name: {"type": "string"} for name in properties or {"x": 0}}}
    return {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": parameters}}


TOOLS = [function("read_file"), function("write_file"), function("list_dir")]


def tool(call_id: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


async def whole(bridge: Proxy, messages: list[dict[str, Any]], **fields: Any) -> tuple[dict[str, Any], str]:
    """Send a non-streamed request; return the assistant message and the thread outcome."""
    response = await bridge.chat(*messages, **{"tools": TOOLS, **fields})
    assert response.status_code == 200, response.text
    [choice] = response.json()["choices"]
    return choice, response.headers["x-codex-proxy-thread"].partition(";")[0]


async def streamed(bridge: Proxy, messages: list[dict[str, Any]], **fields: Any) -> tuple[dict[str, Any], str]:
    """Send a streamed request; return the assembled assistant message and the thread outcome."""
    async with bridge.stream(*messages, **{"tools": TOOLS, **fields}) as stream:
        await stream.read()
    assert stream.done
    calls: dict[int, dict[str, Any]] = {}
    reason = None
    for chunk in stream.chunks:
        for choice in chunk["choices"]:
            reason = choice["finish_reason"] or reason
            for call in choice["delta"].get("tool_calls", ()):
                assert call["index"] not in calls
                calls[call.pop("index")] = call
    message = {"role": "assistant", "content": stream.text or None, "tool_calls": [*calls.values()] or None}
    return {"message": message, "finish_reason": reason}, stream.response.headers["x-codex-proxy-thread"].partition(
        ";"
    )[0]


Ask = Callable[..., Any]
BOTH_WAYS = pytest.mark.parametrize("ask", [whole, streamed])


@pytest.mark.parametrize(("ask", "transport"), [(whole, "http"), (streamed, "websocket")])
async def test_a_ten_step_agent_loop_runs_on_one_thread_with_the_exact_history(bridge: Proxy, ask: Ask) -> None:
    steps = [
        [Thought(f"thinking {step}", f"secret {step}"), Text((f"Step {step}.",))]
        + [
            Call(TOOLS[number]["function"]["name"], json.dumps({"x": str(number)}), f"call_{step}_{number}")
            for number in range(step % 3 + 1)
        ]
        for step in range(9)
    ]
    bridge.upstream.will_reply(*(reply(*step) for step in steps), reply("All done."))
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be an agent."}, user("Go.")]
    expected: list[dict[str, Any]] = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be an agent."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]},
    ]
    outcomes: list[str] = []
    for step in steps:
        choice, outcome = await ask(bridge, messages)
        outcomes.append(outcome)
        assert choice["finish_reason"] == "tool_calls"
        messages.append({name: choice["message"][name] for name in ("role", "content", "tool_calls")})
        calls = [output for output in step if isinstance(output, Call)]
        assert [(call["id"], call["function"]) for call in choice["message"]["tool_calls"]] == [
            (call.call_id, {"name": call.name, "arguments": call.arguments}) for call in calls
        ]
        expected += [plain(output.item("")) for output in step]
        for call in reversed(calls):
            messages.append(tool(call.call_id, f"result of {call.call_id}"))
        for call in calls:
            expected.append(
                {"type": "function_call_output", "call_id": call.call_id, "output": f"result of {call.call_id}"}
            )
    choice, outcome = await ask(bridge, messages)
    assert choice["finish_reason"] == "stop"
    assert [*outcomes, outcome] == ["new", *["resumed-tools"] * 9]
    assert len(bridge.upstream.requests) == 10
    assert len({request.body["prompt_cache_key"] for request in bridge.upstream.requests}) == 1
    assert bridge.upstream.conversation() == expected
    last = {"role": "assistant", "content": choice["message"]["content"]}
    choice, outcome = await ask(bridge, [*messages, last, user("Thanks.")])
    assert (choice["finish_reason"], outcome) == ("stop", "continued")
    assert len({request.body["prompt_cache_key"] for request in bridge.upstream.requests}) == 1


@BOTH_TRANSPORTS
async def test_killing_codex_between_two_steps_rebuilds_the_exact_input(bridge: Proxy) -> None:
    first = [
        Thought("hm", "secret"),
        Text(("Reading.",)),
        Call("read_file", '{"x": "a"}', "c1"),
        Call("list_dir", "{}", "c2"),
    ]
    bridge.upstream.will_reply(reply(*first), reply("Done."))
    messages: list[dict[str, Any]] = [user("Go.")]
    choice, _ = await whole(bridge, messages)
    messages += [choice["message"], tool("c1", "one"), tool("c2", "two")]
    bridge.kill_codex()
    choice, outcome = await whole(bridge, messages)
    assert (choice["message"]["content"], choice["finish_reason"], outcome) == ("Done.", "stop", "rebuilt")
    assert bridge.upstream.requests[-1].conversation == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]},
        *(plain(output.item("")) for output in first),
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": "two"},
    ]


async def test_long_tool_outputs_arrive_complete_on_live_and_rebuilt_threads(bridge: Proxy) -> None:
    bridge.upstream.will_reply(reply(Call("read_file", "{}", "c1")))
    choice, _ = await whole(bridge, [user("Read.")])
    long = "".join(f"line {number} of a very long file\n" for number in range(20_000))
    messages = [user("Read."), choice["message"], tool("c1", long)]
    outcomes = [(await whole(bridge, messages))[1] for _ in range(2)]
    assert outcomes == ["resumed-tools", "rebuilt"]
    assert [request.conversation[-1]["output"] == long for request in bridge.upstream.requests[1:]] == [True, True]


async def test_messages_next_to_tool_results_are_placed_after_them(bridge: Proxy) -> None:
    bridge.upstream.will_reply(reply(Call("read_file", "{}", "c1")), reply("Done."))
    choice, _ = await whole(bridge, [user("Go.")])
    _, outcome = await whole(bridge, [user("Go."), choice["message"], tool("c1", "one"), user("And hurry.")])
    assert outcome == "resumed-tools"
    assert bridge.upstream.requests[-1].conversation[-2:] == [
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And hurry."}]},
    ]


async def test_the_second_turn_of_a_conversation_continues_its_thread_and_keeps_the_reasoning(bridge: Proxy) -> None:
    bridge.upstream.will_reply(reply(Thought("hm", "secret"), Text(("Four.\n",))), reply("Six."))
    choice, outcome = await whole(bridge, [user("2+2?")])
    assert outcome == "new"
    echoed = {"role": "assistant", "content": choice["message"]["content"].rstrip()}
    _, outcome = await whole(bridge, [user("2+2?"), echoed, user("3+3?")])
    assert outcome == "continued"
    kinds = [item["type"] for item in bridge.upstream.requests[-1].conversation]
    assert kinds == ["message", "reasoning", "message", "message"]


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        pytest.param({0: {"role": "system", "content": "Other."}}, {}, id="system prompt"),
        pytest.param({1: user("Hello!")}, {}, id="edited message"),
        pytest.param({2: {"role": "assistant", "content": "Other."}}, {}, id="edited answer"),
        pytest.param({3: {"role": "assistant", "content": "More."}, 4: user("More.")}, {}, id="longer"),
        pytest.param({}, {"tools": TOOLS[:1]}, id="tools"),
        pytest.param({}, {"model": "2.5-tpg"}, id="model"),
        pytest.param({}, {"reasoning_effort": "high"}, id="effort"),
        pytest.param({}, {"tool_choice": "required"}, id="tool choice"),
    ],
)
async def test_a_thread_with_another_history_is_never_used(
    bridge: Proxy, changed: dict[int, dict[str, Any]], fields: dict[str, Any]
) -> None:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}, user("Hello.")]
    choice, _ = await whole(bridge, messages)
    following = dict(enumerate([*messages, choice["message"], user("More.")])) | changed
    _, outcome = await whole(bridge, [following[number] for number in sorted(following)], **fields)
    assert outcome == "rebuilt"
    first, second = bridge.upstream.requests
    assert first.body["prompt_cache_key"] != second.body["prompt_cache_key"]


async def test_two_conversations_that_begin_alike_do_not_mix(bridge: Proxy) -> None:
    bridge.upstream.will_reply(reply("Red."), reply("Blue."))
    red, _ = await whole(bridge, [user("A colour?")])
    blue, _ = await whole(bridge, [user("A colour?")])
    for choice in (red, blue):
        _, outcome = await whole(bridge, [user("A colour?"), choice["message"], user("Another?")])
        assert outcome == "continued"
    conversations = [
        [item["content"][0]["text"] for item in request.conversation] for request in bridge.upstream.requests[2:]
    ]
    assert conversations == [["A colour?", "Red.", "Another?"], ["A colour?", "Blue.", "Another?"]]


async def test_two_requests_at_once_on_one_conversation_get_a_thread_each(bridge: Proxy) -> None:
    choice, _ = await whole(bridge, [user("Hello.")])
    messages = [user("Hello."), choice["message"], user("More.")]
    outcomes: list[str] = []

    async def ask() -> None:
        _, outcome = await whole(bridge, messages)
        outcomes.append(outcome)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        tasks.start_soon(ask)
    assert sorted(outcomes) == ["continued", "rebuilt"]


async def test_results_may_be_parts_with_images(bridge: Proxy) -> None:
    bridge.upstream.will_reply(reply(Call("read_file", "{}", "c1")), reply("A red pixel."))
    choice, _ = await whole(bridge, [user("Look.")])
    parts = [{"type": "text", "text": "a picture"}, {"type": "image_url", "image_url": {"url": tiny_png()}}]
    await whole(bridge, [user("Look."), choice["message"], tool("c1", parts)])
    output = bridge.upstream.requests[-1].conversation[-1]["output"]
    assert [part.get("text") or part["image_url"] for part in output] == ["a picture", tiny_png()]


async def test_tool_names_that_codex_hides_or_refuses_are_mapped_and_mapped_back(bridge: Proxy) -> None:
    names = ["exec_command", "shell_command", "größe.messen", "x" * 200]
    tools = [function(name) for name in names]

    def respond(request: Received) -> Reply:
        declared = [tool["name"] for tool in request.tools]
        return reply(*(Call(name, "{}", f"c{number}") for number, name in enumerate(declared)))

    bridge.upstream.respond = respond
    choice, _ = await whole(bridge, [user("Go.")], tools=tools)
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == names
    bridge.upstream.respond = lambda _: reply("Done.")
    results = [tool(f"c{number}", "ok") for number in range(len(names))]
    _, outcome = await whole(bridge, [user("Go."), choice["message"], *results], tools=tools)
    assert outcome == "resumed-tools"


async def test_a_custom_tool_is_called_with_raw_text_and_its_history_comes_back(bridge: Proxy) -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
    tools = [{"type": "custom", "name": "ApplyPatch", "description": "Patches.", "format": grammar}, *TOOLS]
    raw = '*** Begin Patch\n+"quoted"\n*** End Patch'
    bridge.upstream.will_reply(reply(Call("ApplyPatch", json.dumps({"input": raw}), "c1")), reply("Done."))
    choice, _ = await whole(bridge, [user("Go.")], tools=tools)
    [call] = choice["message"]["tool_calls"]
    assert (call["type"], call["custom"]) == ("custom", {"name": "ApplyPatch", "input": raw})
    _, outcome = await whole(bridge, [user("Go."), choice["message"], tool("c1", "ok")], tools=tools)
    assert outcome == "resumed-tools"
    [declared, *_] = bridge.upstream.requests[0].tools
    assert "start: /.+/" in declared["description"]
    assert [*declared["parameters"]["properties"]] == ["input"]


async def test_calls_are_returned_one_at_a_time_when_the_client_requests_it(bridge: Proxy) -> None:
    bridge.upstream.will_reply(
        reply(Call("read_file", "{}", "c1"), Call("write_file", "{}", "c2"), Call("list_dir", "{}", "c3")),
        reply("Done."),
    )
    messages: list[dict[str, Any]] = [user("Go.")]
    for call_id in ("c1", "c2", "c3"):
        choice, _ = await whole(bridge, messages, parallel_tool_calls=False)
        assert [call["id"] for call in choice["message"]["tool_calls"]] == [call_id]
        messages += [choice["message"], tool(call_id, f"result of {call_id}")]
    choice, outcome = await whole(bridge, messages, parallel_tool_calls=False)
    assert (choice["message"]["content"], outcome) == ("Done.", "resumed-tools")
    outputs = [
        item["output"] for item in bridge.upstream.requests[-1].conversation if item["type"] == "function_call_output"
    ]
    assert outputs == ["result of c1", "result of c2", "result of c3"]
    assert len(bridge.upstream.requests) == 2


@pytest.mark.parametrize(
    ("choice", "names", "note"),
    [
        ("auto", ["read_file", "write_file", "list_dir"], None),
        ("none", [], None),
        ("required", ["read_file", "write_file", "list_dir"], "Call at least one tool before you answer."),
        (
            {"type": "function", "function": {"name": "list_dir"}},
            ["read_file", "write_file", "list_dir"],
            "Call the tool `list_dir` before you answer.",
        ),
    ],
)
async def test_tool_choice_determines_what_the_model_is_told(
    bridge: Proxy, choice: Any, names: list[str], note: str | None
) -> None:
    await whole(bridge, [user("Go.")], tool_choice=choice)
    [request] = bridge.upstream.requests
    assert [tool["name"] for tool in request.tools] == names
    texts = [item["content"][0]["text"] for item in request.conversation]
    assert texts == [*([note] if note else []), "Go."]


async def test_a_stream_cut_after_the_calls_still_gives_them_to_the_client(
    upstream: Upstream, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "CALLS_WITHOUT_END", 1.0)
    write_home(home, upstream.base_url, stream_retries=2)
    upstream.will_reply(Reply((*reply(Call("read_file", "{}", "c1")).actions[:-1], Cut())), reply("Done."))
    async with proxy(upstream, home) as bridge:
        response = await bridge.chat(user("Go."), tools=TOOLS)
        [choice] = response.json()["choices"]
        assert (choice["finish_reason"], choice["message"]["tool_calls"][0]["id"]) == ("tool_calls", "c1")
        assert response.json()["usage"]["prompt_tokens"] > 0 < response.json()["usage"]["completion_tokens"]
        choice, outcome = await whole(bridge, [user("Go."), choice["message"], tool("c1", "one")])
    assert (choice["message"]["content"], outcome) == ("Done.", "resumed-tools")


UNREADABLE = ['{"q": "unterm', '{"n":NaN}', "{'a':1}", '{"a":1}{"b":2}', "raw text", '{"q":"\\ud83d"}']
READABLE = ['{"x":1e400}', "[1]", '{"x":' * 100 + "1" + "}" * 100]


def as_upstream(said: Reply) -> Reply:
    """Return the reply with the pause of the real upstream between the last item and the end of the response."""
    return Reply((*said.actions[:-1], Pause(0.5), said.actions[-1]))


def call_and_output(request: Received) -> list[tuple[str, str]]:
    """Return the calls and outputs that the model sees: id and arguments, or id and output."""
    calls = [item for item in request.conversation if item["type"] in {"function_call", "function_call_output"}]
    return [(item["call_id"], item["output"] if "output" in item else item["arguments"]) for item in calls]


@pytest.mark.parametrize("arguments", UNREADABLE)
async def test_a_call_that_codex_cannot_parse_is_answered_by_the_client(bridge: Proxy, arguments: str) -> None:
    """A model that repeats the call is asked again only after the client's answer."""
    bridge.upstream.respond = lambda _: as_upstream(reply(Thought("hm", "secret"), Call("read_file", arguments, "c1")))
    choice, _ = await whole(bridge, [user("Go.")])
    [call] = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], call["function"]["arguments"]) == ("tool_calls", arguments)
    await bridge.upstream.wait_until_idle()
    assert len(bridge.upstream.requests) == 1
    bridge.upstream.respond = lambda _: reply("Done.")
    choice, outcome = await whole(bridge, [user("Go."), choice["message"], tool("c1", "not JSON")])
    assert (choice["message"]["content"], outcome) == ("Done.", "rebuilt")
    assert len(bridge.upstream.requests) == 2
    assert call_and_output(bridge.upstream.requests[1]) == [("c1", arguments), ("c1", "not JSON")]
    kinds = [item["type"] for item in bridge.upstream.requests[1].conversation]
    assert kinds == ["message", "reasoning", "function_call", "function_call_output"]


@pytest.mark.parametrize(
    ("order", "ask", "transport"),
    [
        ((0, 1), whole, "http"),
        ((0, 1), streamed, "websocket"),
        ((1, 0), whole, "websocket"),
        ((1, 0), streamed, "http"),
    ],
)
async def test_a_call_that_codex_cannot_parse_is_answered_along_with_a_good_one(
    bridge: Proxy, ask: Ask, order: tuple[int, int]
) -> None:
    calls = [Call("read_file", '{"q": "unterm', "bad"), Call("list_dir", "{}", "good")]
    bridge.upstream.will_reply(as_upstream(reply(*(calls[number] for number in order))), reply("Done."))
    choice, _ = await ask(bridge, [user("Go.")])
    ids = [call["id"] for call in choice["message"]["tool_calls"]]
    assert ids in ([calls[number].call_id for number in order], ["bad"])  # a later call may be lost by the interrupt
    choice, outcome = await ask(
        bridge, [user("Go."), choice["message"], *(tool(one, f"result of {one}") for one in ids)]
    )
    assert (choice["message"]["content"], outcome) == ("Done.", "rebuilt")
    assert len(bridge.upstream.requests) == 2
    outputs = [output for output in call_and_output(bridge.upstream.requests[1]) if output[1].startswith("result")]
    assert outputs == [(one, f"result of {one}") for one in ids]


@pytest.mark.parametrize("arguments", ["", "  "])
async def test_a_call_without_arguments_has_an_empty_object(bridge: Proxy, arguments: str) -> None:
    bridge.upstream.will_reply(as_upstream(reply(Call("read_file", arguments, "c1"))), reply("Done."))
    choice, _ = await whole(bridge, [user("Go.")])
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == "{}"
    choice, _ = await whole(bridge, [user("Go."), choice["message"], tool("c1", "one")])
    assert choice["message"]["content"] == "Done."
    assert call_and_output(bridge.upstream.requests[1]) == [("c1", "{}"), ("c1", "one")]


@pytest.mark.parametrize("arguments", READABLE)
async def test_arguments_that_codex_parses_keep_the_thread_whatever_they_are(bridge: Proxy, arguments: str) -> None:
    bridge.upstream.will_reply(reply(Call("read_file", arguments, "c1")), reply("Done."))
    choice, _ = await whole(bridge, [user("Go.")])
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == arguments
    choice, outcome = await whole(bridge, [user("Go."), choice["message"], tool("c1", "one")])
    assert (choice["message"]["content"], outcome, len(bridge.upstream.requests)) == ("Done.", "resumed-tools", 2)


async def test_a_custom_tool_called_with_raw_text_is_called_with_it(bridge: Proxy) -> None:
    tools = [{"type": "custom", "name": "ApplyPatch", "description": "Patches."}]
    bridge.upstream.will_reply(as_upstream(reply(Call("ApplyPatch", "*** Begin Patch", "c1"))), reply("Done."))
    choice, _ = await whole(bridge, [user("Go.")], tools=tools)
    assert choice["message"]["tool_calls"][0]["custom"]["input"] == "*** Begin Patch"
    choice, _ = await whole(bridge, [user("Go."), choice["message"], tool("c1", "patched")], tools=tools)
    assert choice["message"]["content"] == "Done."
    assert len(bridge.upstream.requests) == 2
    assert call_and_output(bridge.upstream.requests[1])[-1] == ("c1", "patched")


async def test_a_parallel_call_that_takes_long_to_write_is_in_the_same_answer(bridge: Proxy) -> None:
    """Codex asks for the first call while the second is being written."""
    one, two = (list(reply(Call(name, "{}", name)).actions) for name in ("read_file", "list_dir"))
    slowly = Reply((*one[:-1], Pause(2.5), *two[1:-1], reply(Call("read_file"), Call("list_dir")).actions[-1]))
    bridge.upstream.will_reply(slowly, reply("Done."))
    choice, _ = await whole(bridge, [user("Go.")])
    assert [call["id"] for call in choice["message"]["tool_calls"]] == ["read_file", "list_dir"]
    results = [tool("read_file", "one"), tool("list_dir", "two")]
    choice, outcome = await whole(bridge, [user("Go."), choice["message"], *results])
    assert (choice["message"]["content"], outcome, len(bridge.upstream.requests)) == ("Done.", "resumed-tools", 2)


async def test_a_model_that_reuses_call_ids_in_each_step_is_answered_step_by_step(bridge: Proxy) -> None:
    bridge.upstream.will_reply(
        *(reply(Call("read_file", f'{{"x": "{n}"}}', "call_0")) for n in range(3)), reply("Done.")
    )
    messages: list[dict[str, Any]] = [user("Go.")]
    for step in range(3):
        choice, _ = await whole(bridge, messages)
        [call] = choice["message"]["tool_calls"]
        assert (call["id"], call["function"]["arguments"]) == ("call_0", f'{{"x": "{step}"}}')
        messages += [choice["message"], tool("call_0", f"result {step}")]
    choice, outcome = await whole(bridge, messages)
    assert (choice["message"]["content"], outcome, len(bridge.upstream.requests)) == ("Done.", "resumed-tools", 4)


async def test_a_model_that_keeps_calling_a_tool_that_does_not_exist_is_stopped(bridge: Proxy) -> None:
    bridge.upstream.respond = lambda _: reply(Call("no_such_tool", "{}", f"c{len(bridge.upstream.requests)}"))
    response = await bridge.chat(user("Go."), tools=TOOLS)
    assert response.status_code == 502
    assert response.json()["error"]["message"] == "The model keeps calling tools that do not exist: no_such_tool."
    # Over WebSocket codex may have sent one more request before the interrupt arrives.
    assert len(bridge.upstream.requests) <= UNDECLARED_CALLS + 2


async def test_a_call_of_an_undeclared_tool_is_left_to_codex(bridge: Proxy) -> None:
    bridge.upstream.will_reply(reply(Call("no_such_tool", "{}", "c1")), reply("Sorry."))
    choice, _ = await whole(bridge, [user("Go.")])
    assert (choice["finish_reason"], choice["message"]["content"]) == ("stop", "Sorry.")
    assert choice["message"]["tool_calls"] is None


async def test_a_suspended_thread_that_is_not_resumed_is_dropped_and_rebuilt_later(
    upstream: Upstream, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "LOOK_AROUND", 0.01)
    upstream.will_reply(reply(Call("read_file", "{}", "c1")), reply("Done."))
    async with proxy(upstream, home, thread_age=0.01) as bridge:
        choice, _ = await whole(bridge, [user("Go.")])
        with anyio.fail_after(10):
            while bridge.service.threads.waiting:
                await anyio.lowlevel.checkpoint()
        choice, outcome = await whole(bridge, [user("Go."), choice["message"], tool("c1", "one")])
    assert (choice["message"]["content"], outcome) == ("Done.", "rebuilt")


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([user("Go."), tool("c1", "one")], "no open tool call with the id 'c1'"),
        (
            [
                user("Go."),
                {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]},
                user("Well?"),
            ],
            "Tool calls without a result: 'c1'",
        ),
    ],
)
async def test_a_history_that_codex_would_silently_repair_is_refused(
    bridge: Proxy, messages: list[dict[str, Any]], said: str
) -> None:
    response = await bridge.chat(*messages)
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]
    assert not bridge.upstream.requests


# ── Parameters ────────────────────────────────────────────────────────────────────────────────────────────────────────


@BOTH_WAYS
async def test_an_answer_ends_at_its_limit_also_across_deltas(bridge: Proxy, ask: Ask) -> None:
    for fields, text, reason in (
        ({"stop": "EN"}, "one two ", "stop"),
        ({"stop": ["never", "two END"]}, "one ", "stop"),
        ({"stop": "never"}, "one two END three", "stop"),
        ({"max_tokens": 2}, "one t", "length"),
        ({"max_completion_tokens": 1}, "one", "length"),
    ):
        bridge.upstream.will_reply(reply(Text(("one", " t", "wo E", "ND", " three"))))
        choice, _ = await ask(bridge, [user("Count.")], **fields)
        assert (choice["message"]["content"], choice["finish_reason"]) == (text, reason), fields
        choice, _ = await ask(bridge, [user("Still there?")])
        assert choice["message"]["content"] == "ok", fields


async def test_a_strict_schema_goes_to_codex_and_any_other_by_instruction(bridge: Proxy) -> None:
    strict = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    loose = {"type": "object", "properties": {"a": {"type": "string"}}}
    for schema in (strict, loose):
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        await whole(bridge, [user("Go.")], response_format=wanted)
    await whole(bridge, [user("Go.")], response_format={"type": "json_object"})
    first, second, third = bridge.upstream.requests
    assert first.body["text"]["format"]["schema"] == strict
    assert len(first.conversation) == 1
    assert "format" not in second.body.get("text", {})
    assert json.dumps(loose, separators=(",", ":")) in second.conversation[0]["content"][0]["text"]
    assert third.conversation[0]["content"][0]["text"] == "Answer with one valid JSON object and nothing else."


async def test_a_schema_holds_for_one_answer_and_not_for_the_next_on_the_same_thread(bridge: Proxy) -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    choice, _ = await whole(bridge, [user("Go.")], response_format=wanted)
    _, outcome = await whole(bridge, [user("Go."), choice["message"], user("And freely?")])
    assert outcome == "continued"
    first, second = bridge.upstream.requests
    assert first.body["text"]["format"]["schema"] == schema
    assert "format" not in second.body.get("text", {})


async def test_several_choices_are_several_answers(bridge: Proxy) -> None:
    numbers = itertools.count()
    bridge.upstream.respond = lambda _: reply(f"answer {next(numbers)}", usage=Usage(10, 0, 5, 0))
    response = await bridge.chat(user("Go."), n=3)
    choices = response.json()["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert sorted(choice["message"]["content"] for choice in choices) == ["answer 0", "answer 1", "answer 2"]
    assert response.json()["usage"]["total_tokens"] == 45
    async with bridge.stream(user("Go."), n=2) as stream:
        await stream.read()
    ends = [(c["index"], c["finish_reason"]) for chunk in stream.chunks for c in chunk["choices"] if c["finish_reason"]]
    assert sorted(ends) == [(0, "stop"), (1, "stop")]
    assert stream.chunks[-1]["usage"]["total_tokens"] == 30


@pytest.mark.parametrize("display", ["reasoning_content", "think", "details"])
async def test_reasoning_is_shown_as_configured_and_removed_from_the_history(
    upstream: Upstream, home: Path, display: str
) -> None:
    upstream.will_reply(reply(Thought("Two and two."), Text(("Fo", "ur."))), reply("Six."))
    async with proxy(upstream, home, reasoning=display) as bridge:
        choice, _ = await streamed(bridge, [user("2+2?")])
        shown = choice["message"]["content"]
        if display == "reasoning_content":
            assert shown == "Four."
        else:
            assert "Two and two." in shown
            assert shown.endswith("Four.")
        _, outcome = await whole(bridge, [user("2+2?"), {"role": "assistant", "content": shown}, user("3+3?")])
    assert outcome == "continued"
