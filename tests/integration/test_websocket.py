"""The Responses API over a WebSocket: real codex, scripted upstream, and a client in this process."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from itertools import groupby
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from bridge.http import websocket as websocket_module
from tests.harness.open_responses import check_stream
from tests.harness.proxy import BOTH_KINDS, Proxy, proxy
from tests.harness.script import Call, Hold, Reply, Text, begun, reply
from tests.harness.upstream import Upstream
from tests.harness.websocket import WebSocket, websocket

pytestmark = BOTH_KINDS

FAILED = {"id": "resp_f", "status": "failed", "error": {"code": "invalid_prompt", "message": "No."}}
LOOK: Any = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture
async def socket(bridge: Proxy) -> AsyncGenerator[WebSocket]:
    with anyio.fail_after(60):
        async with websocket(bridge.service.app) as one:
            yield one


def texts(items: list[dict[str, Any]]) -> list[str]:
    return [part["text"] for item in items for part in item.get("content", ())]


def one_thread(bridge: Proxy) -> bool:
    return len({request.body["prompt_cache_key"] for request in bridge.upstream.requests}) == 1


async def test_the_events_are_those_of_the_stream_over_http(bridge: Proxy, socket: WebSocket) -> None:
    said = reply(Text(("Hel", "lo.")), Call("look", "{}", "c1"))
    bridge.upstream.respond = lambda _: said
    body = {"model": bridge.model, "input": "Hi.", "tools": [LOOK]}
    socket.send("response.create", stream=True, client_metadata={"a": "b"}, **body)
    events = await socket.turn()
    response = await bridge.client.post("/responses", json={"stream": True, **body})
    streamed = [orjson.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]

    def forms(stream: list[dict[str, Any]]) -> list[Any]:
        """The types and fields of the events; deltas that arrive together may be joined."""
        return [form for form, _ in groupby((event["type"], sorted(event)) for event in stream)]

    assert forms(events) == forms(streamed)
    check_stream(events)
    check_stream(streamed)
    assert events[-1]["type"] == "response.completed"


async def test_an_unstored_response_is_continued_on_its_thread_with_only_what_is_new(
    bridge: Proxy, socket: WebSocket
) -> None:
    bridge.upstream.will_reply(reply(Call("look", "{}", "c1")), reply("Done."), reply("Bye."))
    common = {"model": bridge.model, "tools": [LOOK], "store": False}
    first = (await socket.create(input="Hi.", **common))["response"]
    output = {"type": "function_call_output", "call_id": "c1", "output": "seen"}
    second = (await socket.create(input=[output], previous_response_id=first["id"], **common))["response"]
    third = await socket.create(input="Go on.", previous_response_id=second["id"], **common)
    assert third["type"] == "response.completed"
    assert texts(bridge.upstream.conversation()) == ["Hi.", "Done.", "Go on."]
    assert one_thread(bridge)
    assert (await bridge.client.get(f"/responses/{third['response']['id']}")).status_code == 404


async def test_a_stored_response_is_continued_on_another_socket_and_over_http(bridge: Proxy, socket: WebSocket) -> None:
    first = (await socket.create(model=bridge.model, input="One."))["response"]
    async with websocket(bridge.service.app) as other:
        second = (await other.create(model=bridge.model, input="Two.", previous_response_id=first["id"]))["response"]
    body = {"model": bridge.model, "input": "Three.", "previous_response_id": second["id"]}
    assert (await bridge.client.post("/responses", json=body)).status_code == 200
    assert texts(bridge.upstream.conversation()) == ["One.", "ok", "Two.", "ok", "Three."]
    assert one_thread(bridge)


async def test_an_unstored_response_is_unknown_on_another_socket_which_stays_open(
    bridge: Proxy, socket: WebSocket
) -> None:
    first = (await socket.create(model=bridge.model, input="Hi.", store=False))["response"]
    async with websocket(bridge.service.app) as other:
        refused = await other.create(
            model=bridge.model, input="Go on.", store=False, previous_response_id=first["id"], stream_id="a"
        )
        assert (
            refused["error"].items()
            >= {
                "type": "invalid_request_error",
                "code": "previous_response_not_found",
                "param": "previous_response_id",
            }.items()
        )
        assert (refused["type"], refused["status"], refused["stream_id"]) == ("error", 400, "a")
        assert (await other.create(model=bridge.model, input="Hi."))["type"] == "response.completed"


async def test_a_failed_continuation_forgets_the_response_that_it_continued(bridge: Proxy, socket: WebSocket) -> None:
    common = {"model": bridge.model, "store": False}
    orphan = {"type": "function_call_output", "call_id": "nowhere", "output": "x"}
    for spoil, fails in (([orphan], "error"), ("Fail.", "response.failed")):
        bridge.upstream.will_reply(reply("ok"))
        first = (await socket.create(input="Hi.", **common))["response"]["id"]
        if fails == "response.failed":
            bridge.upstream.will_reply(begun(Text(("Hel",))).then({"type": "response.failed", "response": FAILED}))
        failed = await socket.create(input=spoil, previous_response_id=first, **common)
        assert failed["type"] == fails
        again = await socket.create(input="Go on.", previous_response_id=first, **common)
        assert again["error"]["code"] == "previous_response_not_found"


async def test_requests_that_arrive_during_an_answer_are_answered_in_their_order(
    bridge: Proxy, socket: WebSocket
) -> None:
    gate = anyio.Event()
    bridge.upstream.will_reply(reply(Text(("Hel", "lo."), Hold(gate))), reply("two"), reply("three"))
    for number in range(3):
        socket.send("response.create", model=bridge.model, input=f"{number}?", stream_id=f"lane {number}")
    while (event := await socket.receive())["type"] != "response.output_text.delta":
        assert event["stream_id"] == "lane 0"
    await bridge.upstream.wait_for_requests(1)
    assert len(bridge.upstream.requests) == 1
    gate.set()
    rest = [*await socket.turn(), *await socket.turn(), *await socket.turn()]
    assert [event["stream_id"] for event in rest if event["type"] in {"response.completed", "response.failed"}] == [
        "lane 0",
        "lane 1",
        "lane 2",
    ]


async def test_a_thousand_requests_at_once_each_get_an_answer_or_an_error(bridge: Proxy, socket: WebSocket) -> None:
    for number in range(1000):
        socket.send("response.create", model=bridge.model, input=str(number), store=False)
    ends = [(await socket.turn())[-1] for _ in range(1000)]
    answered = [end for end in ends if end["type"] == "response.completed"]
    refused = [end for end in ends if end["type"] == "error"]
    assert len(answered) >= 32
    assert {(end["status"], end["error"]["code"]) for end in refused} == {(429, "too_many_requests")}
    assert refused[0]["headers"]["retry-after"] == "5"
    assert ends[: len(answered)] == answered


async def test_a_running_response_is_found_and_cancelled_over_http(bridge: Proxy, socket: WebSocket) -> None:
    bridge.upstream.will_reply(reply(Text(("Hel", "lo."), Hold(anyio.Event()))))
    socket.send("response.create", model=bridge.model, input="Hi.")
    response_id = await created(socket)
    assert (await bridge.client.get(f"/responses/{response_id}")).json()["status"] == "in_progress"
    assert (await bridge.client.post(f"/responses/{response_id}/cancel")).json()["status"] == "cancelled"
    assert (await socket.turn())[-1]["type"] == "response.incomplete"
    assert (await socket.create(model=bridge.model, input="Hi."))["type"] == "response.completed"


async def test_a_client_that_leaves_interrupts_the_turn(bridge: Proxy) -> None:
    bridge.upstream.will_reply(reply(Text(("Hel", "lo."), Hold(anyio.Event()))))
    with anyio.fail_after(30):
        async with websocket(bridge.service.app) as socket:
            socket.send("response.create", model=bridge.model, input="Hi.")
            while (await socket.receive())["type"] != "response.output_text.delta":
                pass
        await bridge.upstream.wait_until_idle()
    assert bridge.service.threads.states()["running"] == 0


async def test_a_client_that_does_not_read_loses_its_socket_and_its_turn(
    bridge: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(websocket_module, "SEND_PATIENCE", 0.05)
    bridge.upstream.will_reply(reply(Text(("Hel", "lo."), Hold(anyio.Event()))))
    with anyio.fail_after(30):
        async with websocket(bridge.service.app) as socket:
            socket.stop_reading()
            socket.send("response.create", model=bridge.model, input="Hi.")
            await socket.ended.wait()
        await bridge.upstream.wait_until_idle()
    assert "did not take a frame" in caplog.text


async def test_silence_is_bridged_by_events(upstream: Upstream, home: Path) -> None:
    gate = anyio.Event()
    upstream.will_reply(Reply((Hold(gate), *reply("Hello.").actions)))
    async with (
        proxy(upstream, home, head_patience=0.1, keep_alive=0.01) as bridge,
        websocket(bridge.service.app) as socket,
    ):
        socket.send("response.create", model=bridge.model, input="Hi.")
        with anyio.fail_after(30):
            silent = [await socket.receive() for _ in range(4)]
            gate.set()
            events = [*silent, *await socket.turn()]
    assert [event["type"] for event in silent] == ["response.created", *["response.in_progress"] * 3]
    assert events[-1]["type"] == "response.completed"
    check_stream(events)


# ── Warming up ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("over", ["websocket", "http"])
async def test_a_warm_up_asks_no_model_and_prepares_the_thread_of_the_next_request(
    bridge: Proxy, socket: WebSocket, over: str
) -> None:
    common = {"model": bridge.model, "tools": [LOOK]}
    prompt = [{"type": "message", "role": "developer", "content": "Be."}]
    if over == "websocket":
        done = (await socket.create(generate=False, input=prompt, **common))["response"]
    else:
        done = (await bridge.client.post("/responses", json={"generate": False, "input": prompt, **common})).json()
    assert (done["status"], done["output"], done["usage"]["total_tokens"]) == ("completed", [], 0)
    assert bridge.upstream.requests == []
    assert bridge.service.threads.spares == 1
    await socket.create(input="Hi.", previous_response_id=done["id"], **common)
    assert texts(bridge.upstream.conversation()) == ["Be.", "Hi."]
    assert bridge.service.threads.spares == 0


async def test_a_warm_up_without_input_and_tools_prepares_nothing_and_can_be_continued(
    bridge: Proxy, socket: WebSocket
) -> None:
    done = (await socket.create(model=bridge.model, generate=False, input=[], store=False))["response"]
    assert bridge.service.threads.spares == 0
    refused = await socket.create(model=bridge.model, input=[], store=False)
    assert (refused["error"]["code"], refused["error"]["param"]) == ("empty_array", "input")
    await socket.create(model=bridge.model, input="Hi.", store=False, previous_response_id=done["id"])
    assert texts(bridge.upstream.conversation()) == ["Hi."]


# ── Steering ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def created(socket: WebSocket) -> str:
    """Return the id of the next response once the model writes it."""
    response_id = ""
    while (event := await socket.receive())["type"] != "response.output_text.delta":
        if event["type"] == "response.created":
            response_id = event["response"]["id"]
    return response_id


async def test_steering_input_is_answered_by_a_successor_on_the_same_thread(bridge: Proxy, socket: WebSocket) -> None:
    gate = anyio.Event()
    bridge.upstream.will_reply(reply(Text(("Hel", "lo."), Hold(gate))), reply("Bonjour."))
    socket.send("response.create", model=bridge.model, input="Hi.", store=False, stream_id="a")
    response_id = await created(socket)
    socket.send("response.steer", previous_response_id=response_id, input="In French.")
    accepted = await socket.receive()
    assert (accepted["type"], accepted["stream_id"]) == ("response.steer.accepted", "a")
    assert accepted["steer"]["previous_response_id"] == response_id
    gate.set()
    assert (await socket.turn())[-1]["response"]["id"] == response_id
    successor = (await socket.turn())[-1]
    assert (successor["type"], successor["stream_id"]) == ("response.completed", "a")
    assert successor["response"]["previous_response_id"] == response_id
    assert texts(bridge.upstream.conversation()) == ["Hi.", "Hello.", "In French."]
    assert one_thread(bridge)


async def test_steering_input_waits_for_the_results_of_calls(bridge: Proxy, socket: WebSocket) -> None:
    gate = anyio.Event()
    bridge.upstream.will_reply(reply(Text(("H", "m."), Hold(gate)), Call("look", "{}", "c1")), reply("Done."))
    common = {"model": bridge.model, "tools": [LOOK], "store": False}
    socket.send("response.create", input="Hi.", **common)
    response_id = await created(socket)
    socket.send("response.steer", previous_response_id=response_id, input="In French.")
    assert (await socket.receive())["type"] == "response.steer.accepted"
    gate.set()
    assert (await socket.turn())[-1]["type"] == "response.completed"
    pending = await socket.receive()
    assert (pending["type"], pending["required_input"]) == (
        "response.steer.pending",
        [{"type": "function_call_output", "call_id": "c1", "name": "look"}],
    )
    output = {"type": "function_call_output", "call_id": "c1", "output": "seen"}
    assert (await socket.create(input=[output], previous_response_id=response_id, **common))["type"] == (
        "response.completed"
    )
    assert [item["type"] for item in bridge.upstream.conversation()[-2:]] == ["function_call_output", "message"]
    assert one_thread(bridge)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"previous_response_id": "resp_other", "input": "x"}, "response_not_active"),
        ({"input": [{"type": "message", "role": "assistant", "content": "x"}]}, "invalid_input"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "invalid_input"),
        ({"input": 7}, "invalid_input"),
    ],
)
async def test_steering_input_that_cannot_be_taken_is_given_back(
    bridge: Proxy, socket: WebSocket, given: dict[str, Any], code: str
) -> None:
    gate = anyio.Event()
    bridge.upstream.will_reply(reply(Text(("Hel", "lo."), Hold(gate))))
    socket.send("response.create", model=bridge.model, input="Hi.")
    response_id = await created(socket)
    socket.send("response.steer", **{"previous_response_id": response_id, **given})
    failed = await socket.receive()
    assert (failed["type"], failed["error"]["code"]) == ("response.steer.failed", code)
    assert failed["steer"]["input"] == given["input"]
    gate.set()
    assert (await socket.turn())[-1]["type"] == "response.completed"


# ── The connection ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_frame_that_is_no_request_gets_an_error_and_the_socket_stays_open(
    bridge: Proxy, socket: WebSocket
) -> None:
    for text, code in (
        ("{", "invalid_json"),
        ("[]", "invalid_type"),
        ("{}", "missing_parameter"),
        ('{"type": "response.delete"}', "invalid_value"),
        ('{"type": "response.create"}', "missing_parameter"),
        ('{"type": "response.create", "model": "nothing", "input": "x"}', "model_not_found"),
        ('{"type": "response.steer"}', "missing_parameter"),
        ('{"type": "response.steer", "previous_response_id": "r", "input": ' + "[" * 500 + "]" * 500 + "}", "too_deep"),
        ('{"type": "response.create", "model": "m", "input": ' + "[" * 500 + "]" * 500 + "}", "too_deep"),
    ):
        socket.send_text(text)
        error = (await socket.turn())[-1]
        assert (error["type"], error["error"]["code"]) == ("error", code)
        assert error["status"] == (404 if code == "model_not_found" else 400)
        assert (await socket.create(model=bridge.model, input="Hi."))["type"] == "response.completed"


async def test_a_socket_that_is_too_old_says_so_and_is_closed(bridge: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_module, "LONGEST_LIFE", 0.0)
    with anyio.fail_after(10):
        async with websocket(bridge.service.app) as socket:
            error = await socket.receive()
            await socket.ended.wait()
    assert error["error"]["code"] == "websocket_connection_limit_reached"
    assert socket.close_code == 1001


async def test_a_stopping_server_lets_an_answer_end_and_closes_its_sockets(bridge: Proxy, socket: WebSocket) -> None:
    gate = anyio.Event()
    bridge.upstream.will_reply(reply(Text(("Hel", "lo."), Hold(gate))))
    async with anyio.create_task_group() as tasks, websocket(bridge.service.app) as idle:
        socket.send("response.create", model=bridge.model, input="Hi.")
        await created(socket)
        tasks.start_soon(bridge.service.admission.stop, 30)
        await idle.ended.wait()
        assert idle.close_code == 1001
        socket.send("response.create", model=bridge.model, input="More.")
        gate.set()
        assert (await socket.turn())[-1]["type"] == "response.completed"
        refused = (await socket.turn())[-1]
        assert (refused["status"], refused["error"]["code"]) == (503, "codex_unavailable")
        await socket.ended.wait()
        assert socket.close_code == 1001


async def test_each_request_is_logged_and_counted_like_one_over_http(
    bridge: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bridge")
    async with websocket(bridge.service.app, headers={"user-agent": "test"}) as socket:
        assert socket.headers["x-codex-websocket-max-message-bytes"] == str(16 * 1024 * 1024)
        assert socket.headers["x-request-id"].startswith("req_")
        await socket.create(model=bridge.model, input="Hi.")
        await socket.create(model="nothing", input="Hi.")
    lines = [record.getMessage() for record in caplog.records if record.name == "bridge.telemetry.logs"]
    assert [line.split()[:3] for line in lines] == [
        ["WS", "/responses", "200"],
        ["WS", "/responses", "404"],
        ["GET", "/responses", "101"],
    ]
    assert f"model={bridge.model}" in lines[0]
    metrics = (await bridge.client.get("http://localhost/metrics")).text
    assert 'codex_proxy_requests_total{method="WS",route="/responses",status="200"} 1' in metrics
    assert 'codex_proxy_requests_total{method="GET",route="/responses",status="101"} 1' in metrics


@pytest.mark.parametrize(
    ("path", "headers", "peer", "refusal"),
    [
        ("/responses", {"origin": "https://evil.example"}, "127.0.0.1", (403, "foreign_page")),
        ("/responses", {}, "203.0.113.9", (401, "invalid_api_key")),
        ("/chat/completions", {}, "127.0.0.1", (426, "no_websocket")),
        ("/nowhere", {}, "127.0.0.1", (426, "no_websocket")),
    ],
)
async def test_a_handshake_is_refused_like_a_request(
    upstream: Upstream, home: Path, path: str, *, headers: dict[str, str], peer: str, refusal: tuple[int, str]
) -> None:
    async with proxy(upstream, home) as bridge, websocket(bridge.service.app, path, headers, peer) as socket:
        assert (socket.status, orjson.loads(socket.refusal)["error"]["code"]) == refusal


@pytest.mark.parametrize("prefix", ["", "/v1", "/v1/v1", "/openai/v1", "/api/v1"])
async def test_sockets_are_found_under_each_form_of_the_base_url(bridge: Proxy, prefix: str) -> None:
    async with websocket(bridge.service.app, f"{prefix}/responses") as socket:
        assert (await socket.create(model=bridge.model, input="Hi."))["type"] == "response.completed"


async def test_a_server_with_a_key_accepts_only_sockets_with_it(upstream: Upstream, home: Path) -> None:
    async with proxy(upstream, home, api_key="secret") as bridge:
        async with websocket(bridge.service.app) as socket:
            assert socket.status == 401
        key = {"authorization": "Bearer secret", "origin": "https://elsewhere.example"}
        async with websocket(bridge.service.app, headers=key, peer="203.0.113.9") as socket:
            assert (await socket.create(model=bridge.model, input="Hi."))["type"] == "response.completed"


@pytest.mark.parametrize("setting", ["no_websocket", "record"])
async def test_a_server_without_sockets_sends_clients_to_http(
    upstream: Upstream, home: Path, tmp_path: Path, setting: str
) -> None:
    value = {"no_websocket": True, "record": str(tmp_path / "cases")}[setting]
    async with proxy(upstream, home, **{setting: value}) as bridge, websocket(bridge.service.app) as socket:
        assert (socket.status, orjson.loads(socket.refusal)["error"]["code"]) == (426, "no_websocket")
        response = await bridge.client.get("/responses")
        assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_a_large_frame_beyond_the_limit_for_bodies_is_refused(upstream: Upstream, home: Path) -> None:
    async with proxy(upstream, home, max_body=2048) as bridge, websocket(bridge.service.app) as socket:
        assert socket.headers["x-codex-websocket-max-message-bytes"] == "2048"
        error = await socket.create(model=bridge.model, input="x" * 2048)
        assert (error["status"], error["error"]["code"]) == (413, "request_too_large")
