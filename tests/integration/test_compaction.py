"""Compaction through openai-python and through raw HTTP, with the real codex."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
import openai
from openai.types.responses import CompactedResponse

from bridge.openai.responses.compaction import INSTRUCTION, PREFACE
from tests.harness import proxy as harness
from tests.harness.open_responses import check_stream
from tests.harness.proxy import BOTH_KINDS, Proxy, proxy, served
from tests.harness.script import Call, Hold, Text, Thought, begun, failed, reply
from tests.harness.upstream import Upstream
from tests.harness.websocket import websocket
from tests.integration.test_responses_clients import LOOK, strict_client

pytestmark = BOTH_KINDS

TRIGGER: Any = {"type": "compaction_trigger"}


def user(text: str) -> Any:
    return {"type": "message", "role": "user", "content": text}


def texts(items: list[dict[str, Any]]) -> list[str]:
    """Return what the model saw: the texts of messages, and the types of other items."""
    return [item["content"][0]["text"] if item["type"] == "message" else item["type"] for item in items]


async def refused(bridge: Proxy, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    response = await bridge.client.post(path, json={"model": bridge.model, **body})
    return response.status_code, response.json()["error"]


async def test_the_synchronous_client_continues_from_a_compacted_conversation(upstream: Upstream, home: Path) -> None:
    def converse(base_url: str) -> CompactedResponse:
        with openai.OpenAI(api_key="any", base_url=base_url, max_retries=0) as client:
            given = [user("The word is slate."), {"type": "message", "role": "assistant", "content": "Noted."}]
            compacted = client.responses.compact(
                model=harness.asked, input=cast("Any", given), instructions="Be brief."
            )
            window = [item.model_dump(mode="json", exclude_unset=True) for item in compacted.output]
            response = client.responses.create(model=harness.asked, input=[*cast("Any", window), user("Which word?")])
            assert response.output_text == "Slate."
            return compacted

    upstream.will_reply(reply(Thought("Hm."), "They chose the word slate."), reply("Slate."))
    async with served() as server:
        compacted = await anyio.to_thread.run_sync(partial(converse, server.base_url))
    assert (compacted.object, compacted.usage.input_tokens, compacted.usage.output_tokens) == (
        "response.compaction",
        812,
        40,
    )
    assert [item.type for item in compacted.output] == ["compaction"]
    summarised, continued = upstream.requests
    assert texts(summarised.conversation) == ["Be brief.", "The word is slate.", "Noted.", INSTRUCTION]
    assert summarised.tools == []
    assert texts(continued.conversation) == [
        "The word is slate.",
        f"{PREFACE}They chose the word slate.",
        "Which word?",
    ]


async def test_a_stored_chain_with_tools_is_compacted_by_its_id(bridge: Proxy) -> None:
    client = strict_client(bridge)
    bridge.upstream.will_reply(
        reply(Thought("Hm.", "secret"), Call("look", "{}", "c1")), reply("Seen."), reply("It was seen."), reply("Yes.")
    )
    first = await client.responses.create(model=bridge.model, input="Look.", tools=[LOOK])
    output: Any = {"type": "function_call_output", "call_id": "c1", "output": "a cat"}
    second = await client.responses.create(
        model=bridge.model, input=[output], tools=[LOOK], previous_response_id=first.id
    )
    compacted = await client.responses.compact(model=bridge.model, previous_response_id=second.id)
    seen = texts(bridge.upstream.requests[2].conversation)
    assert seen == ["Look.", "reasoning", "function_call", "function_call_output", "Seen.", INSTRUCTION]
    window = cast("Any", compacted.output)
    await client.responses.create(model=bridge.model, input=[*window, user("Was it?")])
    assert texts(bridge.upstream.conversation()) == ["Look.", f"{PREFACE}It was seen.", "Was it?"]


async def test_a_trigger_gives_a_response_with_a_compaction_that_stands_for_its_chain(bridge: Proxy) -> None:
    client = strict_client(bridge)
    bridge.upstream.will_reply(reply("Noted."), reply(Thought("Hm."), Text(("They chose ", "slate."))), reply("Slate."))
    first = await client.responses.create(
        model=bridge.model, input=[{"role": "developer", "content": "Be."}, user("The word is slate.")]
    )
    async with client.responses.stream(model=bridge.model, input=[TRIGGER], previous_response_id=first.id) as stream:
        events = [event async for event in stream]
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.completed",
    ]
    second = await stream.get_final_response()
    [item] = second.output
    assert item.type == "compaction"
    assert (second.status, second.usage and second.usage.output_tokens) == ("completed", 40)
    assert texts(bridge.upstream.conversation()) == ["Be.", "The word is slate.", "Noted.", INSTRUCTION]

    # By the stored chain, and by the item alone.
    seen = ["Be.", "The word is slate.", f"{PREFACE}They chose slate.", "Which word?"]
    await client.responses.create(model=bridge.model, input=[user("Which word?")], previous_response_id=second.id)
    assert texts(bridge.upstream.conversation()) == seen
    alone: Any = [item.model_dump(mode="json", exclude_unset=True), user("Which word?")]
    await client.responses.create(model=bridge.model, input=alone, store=False)
    assert texts(bridge.upstream.conversation()) == seen


async def test_a_conversation_over_the_threshold_is_compacted_before_it_is_answered(bridge: Proxy) -> None:
    client = strict_client(bridge)
    management: Any = [{"type": "compaction", "compact_threshold": 1000}]
    bridge.upstream.will_reply(reply("Noted. " * 700), reply("All noted."), reply("Two."), reply("Three."))
    previous: str | None = None
    kinds: list[list[str]] = []
    for question in ("one?", "two?", "three?"):
        response = await client.responses.create(
            model=bridge.model, input=question, previous_response_id=previous, context_management=management
        )
        kinds.append([item.type for item in response.output])
        previous = response.id
        assert response.usage is not None
        assert response.usage.input_tokens == 812 * (2 if question == "two?" else 1)
    assert kinds == [["message"], ["compaction", "message"], ["message"]]
    assert texts(bridge.upstream.requests[1].conversation)[-1] == INSTRUCTION
    seen = ["one?", "two?", f"{PREFACE}All noted."]
    assert texts(bridge.upstream.requests[2].conversation) == seen
    assert texts(bridge.upstream.conversation()) == [*seen, "Two.", "three?"]
    thread, last = bridge.upstream.requests[2:]
    assert thread.body["prompt_cache_key"] == last.body["prompt_cache_key"]


async def test_a_compaction_is_opened_after_a_restart_and_not_with_another_store(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    body: dict[str, Any] = {"input": [user("Hi."), {"type": "message", "role": "assistant", "content": "Hello."}]}
    window: list[Any] = []
    for name, status in (("one", 200), ("one", 200), ("two", 400)):
        async with proxy(upstream, home, store=str(tmp_path / name / "responses.sqlite3")) as bridge:
            if not window:
                compacted = await bridge.client.post("/responses/compact", json={"model": bridge.model, **body})
                window = compacted.json()["output"]
            asked = {"model": bridge.model, "input": [*window, user("More.")]}
            response = await bridge.client.post("/responses", json=asked)
            assert response.status_code == status, response.text
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("invalid_encrypted_content", "input[0].encrypted_content")


async def test_a_compaction_that_fails_says_so_with_the_status_of_an_answer(bridge: Proxy) -> None:
    asked = {"input": "Hi."}
    assert (await refused(bridge, "/responses/compact", model=None, **asked))[0] == 400
    assert (await refused(bridge, "/responses/compact", model="none", **asked))[1]["code"] == "model_not_found"
    bridge.upstream.will_reply(failed("insufficient_quota", "No more."))
    assert (await refused(bridge, "/responses/compact", **asked))[0] == 429
    bridge.upstream.will_reply(reply(Thought("Hm.")))
    status, error = await refused(bridge, "/responses/compact", **asked)
    assert (status, error["code"]) == (502, "upstream_error")
    bridge.upstream.will_reply(reply(Thought("Hm.")))
    assert (await refused(bridge, "/responses", input=[user("Hi."), TRIGGER]))[0] == 502


async def test_a_client_that_leaves_ends_the_turn_that_summarises(bridge: Proxy) -> None:
    gate = anyio.Event()
    bridge.upstream.will_reply(begun("They").then(Hold(gate)))
    body = {"model": bridge.model, "input": "Hi."}
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(bridge.client.post, "/responses/compact", json=body))
            await bridge.upstream.wait_for_requests(1)
            tasks.cancel_scope.cancel()
        await bridge.upstream.wait_until_idle()


async def test_a_compacted_conversation_continues_over_a_websocket(bridge: Proxy) -> None:
    given = [user("Remember the word slate."), {"type": "message", "role": "assistant", "content": "Noted."}]
    bridge.upstream.will_reply(reply("The word is slate."), reply("Slate."), reply("It was slate."), reply("Yes."))
    body = {"model": bridge.model, "prompt_cache_key": "a", "input": given}
    window = (await bridge.client.post("/responses/compact", json=body)).json()["output"]
    with anyio.fail_after(60):
        async with websocket(bridge.service.app) as socket:
            asked: dict[str, Any] = {"model": bridge.model, "store": False, "tools": []}
            socket.send("response.create", input=[*window, user("Which word?")], **asked)
            events = await socket.turn()
            check_stream(events)
            first = events[-1]["response"]
            socket.send("response.create", input=[TRIGGER], previous_response_id=first["id"], **asked)
            events = await socket.turn()
            check_stream(events)
            second = events[-1]["response"]
            assert [item["type"] for item in second["output"]] == ["compaction"]
            await socket.create(input="Sure?", previous_response_id=second["id"], **asked)
    assert texts(bridge.upstream.requests[1].conversation) == [
        "Remember the word slate.",
        f"{PREFACE}The word is slate.",
        "Which word?",
    ]
    assert texts(bridge.upstream.conversation()) == [
        "Remember the word slate.",
        "Which word?",
        f"{PREFACE}It was slate.",
        "Sure?",
    ]
