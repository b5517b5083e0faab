"""Faults around the real codex, and what the client gets. docs/reliability.md lists every fault."""

from __future__ import annotations

import errno
import re
import shutil
import socket
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import orjson
import pytest
from starlette.types import Message

from bridge.codex.launch import Launcher
from bridge.config import state_folder
from bridge.conversation import threads
from bridge.conversation.prompt import Item
from bridge.http import body as request_body
from bridge.http import stored_responses
from bridge.recordings.recorder import Recorder
from bridge.store.sqlite import SqliteStore
from codex_rpc import supervisor
from codex_rpc.process import process
from codex_rpc.wire import calls
from tests.bridge.http.exchange import Exchange, http_scope
from tests.harness.codex_home import write_home
from tests.harness.program import free_port, http_client, program
from tests.harness.proxy import BOTH_KINDS, LITE, MODEL, Proxy, Stream, proxy, user
from tests.harness.script import Call, Hold, Reply, Text, begun, failed, http_error, reply
from tests.harness.upstream import Upstream

# ── the upstream ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (http_error(401, {"error": {"message": "who?", "code": "invalid_api_key"}}), 401, "codex_not_logged_in"),
        (http_error(500, {"error": {"message": "broken"}}), 502, "upstream_error"),
        (failed("server_is_overloaded", "too busy"), 503, "codex_unavailable"),
        (failed("context_length_exceeded", "too long"), 400, "context_length_exceeded"),
        (failed("rate_limit_exceeded", "too fast"), 429, "rate_limit_exceeded"),
    ],
    ids=["401", "500", "overload", "context", "rate limit"],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_refusal_keeps_its_status_streamed_or_not(
    bridge: Proxy, said: Reply, status: int, code: str, *, stream: bool
) -> None:
    bridge.upstream.respond = lambda _: said
    with anyio.fail_after(60):
        refused = await bridge.chat(user("hi"), stream=stream)
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert ("retry-after" in refused.headers) == (status in {429, 503})


PERMANENT: dict[str, tuple[Reply, int, str]] = {
    "400": (http_error(400, {"detail": "That is not supported."}), 400, "That is not supported."),
    "403": (http_error(403, {"error": {"message": "Not in your country"}}), 403, "Not in your country."),
    "404": (http_error(404, {"detail": "Not Found"}), 404, "Not Found."),
    "422": (http_error(422, {"detail": [{"loc": ["body", "x"], "msg": "too odd"}]}), 422, "body.x: too odd."),
    "policy": (failed("invalid_prompt", "Invalid prompt: it was flagged."), 400, "Invalid prompt: it was flagged."),
}


@BOTH_KINDS
@pytest.mark.parametrize("said", PERMANENT)
async def test_a_permanent_refusal_keeps_its_status_in_both_dialects_and_is_not_repeated(
    bridge: Proxy, said: str
) -> None:
    refusal, status, words = PERMANENT[said]
    bridge.upstream.respond = lambda _: refusal
    with anyio.fail_after(60):
        refused = [await bridge.chat(user("hi"), stream=stream) for stream in (False, True)]
        for stream in (False, True):
            body = {"model": bridge.model, "input": "hi", "stream": stream}
            refused.append(await bridge.client.post("/responses", json=body))
    assert [one.status_code for one in refused] == [status] * 4
    for one in refused:
        message = one.json()["error"]["message"]
        assert words in message
        assert "://" not in message
        assert "{" not in message
    # Over WebSocket codex reports a refusal only when it has repeated the request once.
    assert len(bridge.upstream.requests) <= 8


@pytest.mark.parametrize("asked_model", [LITE], ids=["lite"])
async def test_a_refused_websocket_is_no_refusal_of_the_request(bridge: Proxy) -> None:
    bridge.upstream.refuse_websocket = 403
    with anyio.fail_after(60):
        answered = await bridge.chat(user("hi"))
    assert answered.json()["choices"][0]["message"]["content"] == "ok"


LIMITED = (("x-codex-primary-used-percent", "40"), ("x-codex-primary-reset-at", "4000000000"))
"""The headers of an upstream whose only window is far from used up."""


@BOTH_KINDS
@pytest.mark.parametrize(
    "error",
    [{"type": "usage_limit_reached", "message": "limit", "plan_type": "plus"}, {"message": "slow down"}],
    ids=["quota", "rate"],
)
async def test_a_429_that_names_no_time_says_a_minute(bridge: Proxy, error: dict[str, Any]) -> None:
    bridge.upstream.respond = lambda _: replace(http_error(429, {"error": error}), headers=LIMITED)
    with anyio.fail_after(60):
        refused = await bridge.client.post("/responses", json={"model": bridge.model, "input": "hi", "stream": True})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")


async def test_the_time_that_the_upstream_names_is_in_the_retry_after(bridge: Proxy) -> None:
    """Over WebSocket, codex itself waits for this time and tries again."""
    bridge.upstream.respond = lambda _: failed("rate_limit_exceeded", "Rate limit reached. Please try again in 41.2s.")
    refused = await bridge.chat(user("hi"))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "42")


@BOTH_KINDS
async def test_the_time_at_which_a_used_up_quota_resets_is_in_the_retry_after(bridge: Proxy) -> None:
    quota = {
        "type": "usage_limit_reached",
        "message": "limit",
        "plan_type": "plus",
        "resets_at": int(time.time()) + 9000,
    }
    bridge.upstream.respond = lambda _: http_error(429, {"error": quota})
    refused = await bridge.chat(user("hi"))
    assert refused.status_code == 429
    assert 8900 < int(refused.headers["retry-after"]) <= 9000  # codex names the minute
    assert refused.json()["error"]["message"].startswith("You\u2019ve hit your usage limit. Try again at ")


@BOTH_KINDS
async def test_silence_in_a_streamed_response_is_bridged_by_events_as_well_as_comments(
    upstream: Upstream, home: Path
) -> None:
    gate = anyio.Event()
    upstream.will_reply(begun().then(Hold(gate), *reply("at last").actions[1:]))
    async with proxy(upstream, home, head_patience=0.05, keep_alive=0.02) as bridge:
        body = {"model": bridge.model, "input": "hi", "stream": True}
        lines: list[str] = []
        with anyio.fail_after(20):
            async with bridge.client.stream("POST", "/responses", json=body) as response:
                async for line in response.aiter_lines():
                    lines.append(line)
                    if lines.count("event: response.in_progress") == 3:
                        gate.set()
    comments = "".join(":" if line.startswith(":") else "!" if line.endswith(".in_progress") else "" for line in lines)
    assert "!:::::::!:::::::!" in comments
    events = [orjson.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert [event["sequence_number"] for event in events] == [*range(len(events))]
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "at last"


async def test_a_model_that_answers_for_another_one_is_named(bridge: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    bridge.upstream.will_reply(replace(reply("ok"), headers=(("openai-model", "gpt-9"),)))
    answered = await bridge.chat(user("hi"))
    assert (answered.status_code, answered.headers["x-codex-proxy-rerouted-model"]) == (200, "9-tpg")
    assert caplog.text.count("the upstream answers with the model 'gpt-9'") == 1


async def test_a_silent_upstream_is_bridged_by_comments_until_the_limit(upstream: Upstream, home: Path) -> None:
    upstream.will_reply(begun(Text(("Once ", "upon"))).then(Hold(anyio.Event())))
    async with (
        proxy(upstream, home, head_patience=0.1, keep_alive=0.1, idle_timeout=1) as bridge,
        bridge.stream(user("hi")) as stream,
    ):
        await stream.read()
    assert stream.comments > 1
    assert stream.text == "Once upon"
    assert stream.chunks[-1]["error"]["code"] == "upstream_timeout"
    assert stream.done


async def test_without_a_network_the_client_gets_an_error_in_time(upstream: Upstream, home: Path) -> None:
    """Codex itself waits for the network indefinitely."""
    write_home(home, f"http://127.0.0.1:{free_port()}/v1", "websocket")
    async with proxy(upstream, home, idle_timeout=1) as bridge:
        with anyio.fail_after(30):
            refused = await bridge.chat(user("hi"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (504, "upstream_timeout")


# ── codex ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_codex_that_dies_while_idle_is_back_for_the_next_request(bridge: Proxy) -> None:
    first = await bridge.chat(user("one?"))
    bridge.kill_codex()
    answer = first.json()["choices"][0]["message"]
    second = await bridge.chat(user("one?"), answer, user("two?"))
    assert second.status_code == 200
    assert bridge.service.supervisor.starts == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_when_codex_dies_before_the_first_byte_the_next_one_answers(bridge: Proxy, *, stream: bool) -> None:
    bridge.upstream.will_reply(begun().then(Hold(anyio.Event())), reply("from the second"))
    answers: list[httpx2.Response] = []

    async def ask() -> None:
        answers.append(await bridge.chat(user("hi"), stream=stream))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await bridge.upstream.wait_for_requests(1)
            bridge.kill_codex()
    assert answers[0].status_code == 200
    assert answers[0].text.count("from the second") == 1
    assert len(bridge.upstream.requests) == 2


async def test_a_codex_newer_than_the_tested_ones_is_logged_and_served(
    upstream: Upstream, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "NEWEST_TESTED", (0, 1, 0))
    with caplog.at_level("INFO", "bridge.codex.launch"):
        async with proxy(upstream, home) as bridge:
            assert (await bridge.chat(user("hi"))).status_code == 200
    assert caplog.text.count("is newer than 0.1.0, the newest version that this program was tested with") == 1


async def test_a_server_whose_codex_crashes_in_a_loop_is_alive_but_not_ready_and_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "codex"
    broken.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        "--version) echo codex-cli 0.163.0;;\n"
        """debug) echo '{"models": [{"slug": "gpt-5.5"}]}';;\n"""
        "*) echo out of luck >&2; exit 7;;\n"
        "esac\n"
    )
    broken.chmod(0o755)
    log = tmp_path / "log"
    arguments = ("--start-patience", "0.1", "--codex", str(broken))
    async with program(*arguments, log=log) as running, http_client(base_url=running.base_url) as client:
        not_ready = await client.get("/readyz")
        with anyio.fail_after(20):
            while log.read_text().count("starting codex again in") < 3:
                not_ready = await client.get("/readyz")
        assert (await client.get("/healthz")).status_code == 200
    assert not_ready.status_code == 503
    assert "the codex process ended" in not_ready.json()["reason"]
    assert int(not_ready.headers["retry-after"]) >= 1
    assert "starting codex again in 0.25 s" in log.read_text()
    assert "starting codex again in 1 s" in log.read_text()
    assert "Traceback" not in log.read_text()


async def test_while_codex_is_down_for_longer_than_a_request_waits_the_request_fails_at_once(
    upstream: Upstream, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 3600.0)
    async with proxy(upstream, home, start_patience=600) as bridge:
        await bridge.chat(user("one?"))
        bridge.kill_codex()
        with anyio.fail_after(20):
            refused = await bridge.chat(user("two?"))
            not_ready = await bridge.client.get("/readyz")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "codex_unavailable")
    for answer in (refused, not_ready):
        assert 3500 < int(answer.headers["retry-after"]) <= 3600


# ── clients ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def request_bytes(text: str) -> bytes:
    body = httpx2.Request("POST", "http://x", json={"model": MODEL, "stream": True, "messages": [user(text)]}).content
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_a_client_that_does_not_read_delays_no_other_and_gets_everything_later(
    upstream: Upstream, home: Path
) -> None:
    del home
    long = Text(tuple(f"{number:07} " for number in range(50_000)))
    upstream.respond = lambda request: reply(long if "all" in str(request.input) else "quick")
    with anyio.fail_after(60), socket.socket() as slow:
        async with program() as running, http_client(base_url=running.base_url) as client:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(running.address)
            slow.sendall(request_bytes("all of it"))
            await upstream.wait_for_requests(1)
            for _ in range(5):
                body = {"model": MODEL, "messages": [user("hi")]}
                assert "quick" in (await client.post("/chat/completions", json=body)).text
            received = await anyio.to_thread.run_sync(_read_all, slow)
    assert b'"content":"0000000 ' in received
    assert b"0049999 " in received
    assert received.rstrip().endswith(b"data: [DONE]\n\n\r\n0")


async def test_a_client_that_stops_reading_holds_its_answer_for_a_limited_time(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    del home
    long = Text(("x" * 100_000,) * 100)  # more than any buffer of the system takes
    upstream.respond = lambda request: reply(long if "all" in str(request.input) else "quick")
    with anyio.fail_after(60), socket.socket() as unread:
        async with (
            program("--answers", "1", "--idle-timeout", "4", log=tmp_path / "log") as running,
            http_client(base_url=running.base_url) as client,
        ):
            unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            unread.connect(running.address)
            unread.sendall(request_bytes("all of it"))
            await upstream.wait_for_requests(1)
            body = {"model": MODEL, "messages": [user("hi")]}
            assert "quick" in (await client.post("/chat/completions", json=body)).text
    assert "the client took nothing for 4 seconds" in (tmp_path / "log").read_text()


async def test_a_response_whose_client_does_not_read_can_be_cancelled(
    upstream: Upstream, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_responses, "CANCEL_PATIENCE", 0.1)
    gate = anyio.Event()
    upstream.will_reply(begun(Text(("one ", "two "), between=Hold(gate))).then(Hold(anyio.Event())))
    body = orjson.dumps({"model": MODEL, "stream": True, "input": "count"})
    async with proxy(upstream, home, answers=1) as bridge, anyio.create_task_group() as tasks:
        with anyio.fail_after(20):
            exchange = Exchange(body)
            scope = http_scope("/v1/responses", "POST", {"content-type": "application/json"})

            async def answer() -> None:
                await bridge.service.app(scope, exchange.receive, exchange.send)

            tasks.start_soon(answer)
            await exchange.until(lambda: b"one " in exchange.body)
            exchange.stop_reading()
            gate.set()
            await exchange.until_something_is_held_up()
            response_id = re.findall(rb'"id":"(resp_\w+)"', exchange.body)[0].decode()
            cancelled = await bridge.client.post(f"/responses/{response_id}/cancel")
            assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
            assert (await bridge.client.get(f"/responses/{response_id}")).json() == cancelled.json()
            assert bridge.service.admission.states()["running"] == 0


def _read_all(connection: socket.socket) -> bytes:
    received = bytearray()
    while data := connection.recv(1 << 20):
        received += data
    return bytes(received)


async def test_excess_requests_wait_for_their_turn_and_are_finally_refused(upstream: Upstream, home: Path) -> None:
    gate = anyio.Event()
    upstream.will_reply(reply(Text(("one ", "two"), between=Hold(gate))))
    async with proxy(upstream, home, answers=1, queue_patience=0.2) as bridge:
        with anyio.fail_after(20):
            async with bridge.stream(user("hi")) as stream:
                chunks = aiter(stream)
                await anext(chunks)
                refused = await bridge.chat(user("too early"))
                gate.set()
                rest = [chunk async for chunk in chunks]
        assert rest[-1]["choices"][0]["finish_reason"] == "stop"
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_requests")
        assert int(refused.headers["retry-after"]) >= 1
        assert len(upstream.requests) == 1
        assert (await bridge.chat(user("now"))).status_code == 200


async def test_a_client_that_leaves_while_it_waits_for_its_turn_is_forgotten(upstream: Upstream, home: Path) -> None:
    gate = anyio.Event()
    upstream.will_reply(reply(Text(("one ", "two"), between=Hold(gate))))
    async with proxy(upstream, home, answers=1) as bridge:
        with anyio.fail_after(20):
            async with bridge.stream(user("hi")) as stream:
                chunks = aiter(stream)
                await anext(chunks)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(bridge.chat, user("never mind"))
                    while bridge.service.admission.states()["waiting"] == 0:
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
                while bridge.service.admission.states()["waiting"]:
                    await anyio.lowlevel.checkpoint()
                gate.set()
                rest = [chunk async for chunk in chunks]
        assert rest[-1]["choices"][0]["finish_reason"] == "stop"
        assert (await bridge.chat(user("next"))).status_code == 200
    assert [str(request.input).count("never mind") for request in upstream.requests] == [0, 0]


async def test_a_body_that_stalls_is_refused_after_a_time(
    upstream: Upstream, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "BODY_PATIENCE", 0.05)
    exchange = Exchange()

    async def receive() -> Message:
        if exchange.status is None:
            await anyio.sleep_forever()
        return {"type": "http.disconnect"}

    async with proxy(upstream, home) as bridge:
        with anyio.fail_after(10):
            await bridge.service.app(http_scope("/v1/chat/completions", "POST"), receive, exchange.send)
    assert (exchange.status, orjson.loads(exchange.body)["error"]["code"]) == (408, "request_timeout")


async def test_headers_beyond_the_bound_are_refused(upstream: Upstream, home: Path) -> None:
    del upstream, home
    async with program() as running:
        for many in (b"a: b\r\n" * 10_000, b"a: " + b"b" * 40_000 + b"\r\n"):
            received = await anyio.to_thread.run_sync(
                _answer_to, running.address, b"GET /v1/models HTTP/1.1\r\nhost: x\r\n" + many
            )
            assert received.startswith(b"HTTP/1.1 431")


def _answer_to(address: tuple[str, int], sent: bytes) -> bytes:
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(sent)
        return connection.recv(1000)


async def test_a_turn_that_began_after_refused_items_is_undone_and_not_shown(
    bridge: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request causes this, because invalid items are refused earlier."""

    def inject_worse(thread_id: str, items: Sequence[Item]) -> calls.Call[None]:
        return calls.thread_inject_items(thread_id, [*items, {"type": 5}])

    history = [user("one?"), {"role": "assistant", "content": "ok"}, user("two?")]
    await bridge.chat(user("one?"))
    with monkeypatch.context() as broken:
        broken.setattr(threads, "thread_inject_items", inject_worse)
        refused = await bridge.chat(*history)
    assert refused.status_code == 400
    assert "is not a valid response item" in refused.json()["error"]["message"]
    with anyio.fail_after(10):
        await bridge.upstream.wait_until_idle()
    assert (await bridge.client.get("/usage")).json()["threads"] == {"running": 0, "idle": 0, "suspended": 0}

    bridge.upstream.respond = lambda _: reply("right")
    answered = await bridge.chat(*history)
    assert answered.json()["choices"][0]["message"]["content"] == "right"
    assert answered.headers["x-codex-proxy-thread"] == "rebuilt; reason=thread-refused"
    assert [item["content"][0]["text"] for item in bridge.upstream.requests[-1].input] == ["one?", "ok", "two?"]


# ── the machine ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_clock_that_jumps_harms_no_answer_and_no_live_thread(
    upstream: Upstream, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = anyio.Event()
    upstream.will_reply(reply(Text(("one ", "two"), between=Hold(gate))))
    real, ahead = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    async with proxy(upstream, home, idle_timeout=20, thread_age=20) as bridge:
        async with bridge.stream(user("count")) as stream:
            async for _ in stream:
                ahead = 86_400 * 400
                gate.set()
        ahead = -86_400 * 400
        answer = {"role": "assistant", "content": stream.text}
        second = await bridge.chat(user("count"), answer, user("more"))
        assert second.headers["x-codex-proxy-thread"] == "continued; reason=same-history"
        recent = (await bridge.client.get("/usage")).json()["recent"]
    assert stream.text == "one two"
    assert all(0 <= entry["first_token_seconds"] <= entry["seconds"] < 60 for entry in recent)


async def test_a_disk_that_is_full_costs_a_response_its_record_and_not_its_answer(
    bridge: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(SqliteStore, "_put", full)
    answered = await bridge.client.post("/responses", json={"model": MODEL, "input": "hi"})
    assert (answered.status_code, answered.json()["status"]) == (200, "completed")
    assert "is not stored: the store of responses failed: database or disk is full" in caplog.text
    assert (await bridge.client.get(f"/responses/{answered.json()['id']}")).status_code == 404


async def test_a_disk_that_is_full_costs_a_recording_and_not_the_answer(
    upstream: Upstream, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Recorder, "_write", full)
    async with proxy(upstream, home, record=str(tmp_path / "cases")) as bridge:
        for _ in range(2):
            answered = await bridge.chat(user("hi"))
            assert answered.json()["choices"][0]["message"]["content"] == "ok"
    assert "No space left on device" in caplog.text


# ── strangers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def item_reply(item: dict[str, Any]) -> Reply:
    """Return a response whose only output is this item."""
    model = reply()
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    return replace(model, actions=(model.actions[0], done, *model.actions[1:]))


@pytest.mark.parametrize("name", ["shell", "exec_command", "shell_command", "unified_exec", "apply_patch", "mcp__x__y"])
async def test_a_model_that_asks_for_a_tool_of_codex_gets_nothing_run(bridge: Proxy, home: Path, name: str) -> None:
    evidence = home / "evidence"
    patch = f"*** Begin Patch\n*** Add File: {evidence}\n+x\n*** End Patch\n"
    arguments = httpx2.Request(
        "POST",
        "http://x",
        json={"command": ["touch", str(evidence)], "cmd": f"touch {evidence}", "input": patch},
    ).content.decode()
    bridge.upstream.will_reply(reply(Call(name, arguments)), reply("I could not."))
    response = await bridge.chat(user("run it"))
    assert response.json()["choices"][0]["message"]["content"] == "I could not."
    [output] = [one for one in bridge.upstream.requests[1].input if one["type"] == "function_call_output"]
    assert "unsupported" in str(output["output"])
    assert not evidence.exists()


@pytest.mark.parametrize("kind", ["local_shell_call", "custom_tool_call"])
async def test_a_model_that_uses_codexs_own_kinds_of_call_gets_nothing_run(
    bridge: Proxy, home: Path, kind: str
) -> None:
    evidence = home / "evidence"
    patch = f"*** Begin Patch\n*** Add File: {evidence}\n+x\n*** End Patch\n"
    action: dict[str, Any] = {"type": "exec", "command": ["touch", str(evidence)], "env": {}, "timeout_ms": 1000}
    item: dict[str, Any] = {"type": kind, "id": "i1", "call_id": "c1", "status": "completed"}
    item |= {"action": action} if kind == "local_shell_call" else {"name": "apply_patch", "input": patch}
    bridge.upstream.will_reply(item_reply(item), reply("I could not."))
    with anyio.fail_after(20):
        await bridge.chat(user("run it"))
    assert not evidence.exists()


async def test_a_stream_under_a_key_never_shows_the_key(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    del upstream, home
    log, key = tmp_path / "log", "sk-very-secret"
    (tmp_path / "key").write_text(f"{key}\n")
    (tmp_path / "key").chmod(0o600)
    arguments = ("--api-key-file", str(tmp_path / "key"), "--log-level", "debug", "--log-format", "json")
    async with program(*arguments, log=log) as running:
        for sent in (key, "sk-wrong-one"):
            headers = {"authorization": f"Bearer {sent}"}
            async with http_client(base_url=running.base_url, headers=headers) as client:
                body = {"model": MODEL, "stream": True, "messages": [user("my very own text")]}
                async with client.stream("POST", "/chat/completions", json=body) as response:
                    stream = await Stream(response).read()
                    assert response.status_code == (200 if sent == key else 401)
        assert not stream.done
    written = log.read_text()
    assert "chat/completions 200" in written
    for secret in (key, "sk-wrong-one", "my very own text"):
        assert secret not in written


# ── files that vanish ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("what", ["everything", "home", "cwd", "catalogue"])
async def test_the_files_of_codex_are_made_again_whenever_they_vanish(bridge: Proxy, what: str) -> None:
    """A cleaner of old files, or the user, may delete any of them while the server runs."""
    launcher = Launcher()
    folder = launcher.cwd.parent
    targets = {"everything": [state_folder()], "home": [folder / "home"], "cwd": [launcher.cwd]}
    with anyio.fail_after(60):
        history = [user("one?")]
        for question in ("two?", "three?"):
            answer = await bridge.chat(*history)
            assert answer.status_code == 200, answer.text
            history += [answer.json()["choices"][0]["message"], user(question)]
            for path in targets.get(what, folder.glob("models-*.json")):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            other = await bridge.chat(user(f"not {question}"))
            assert other.status_code == 200, other.text


async def test_a_store_that_is_deleted_is_made_again(upstream: Upstream, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    async with proxy(upstream, home, store=str(folder / "responses.sqlite3")) as bridge:
        first = (await bridge.client.post("/responses", json={"model": MODEL, "input": "one?"})).json()
        shutil.rmtree(folder)
        assert (await bridge.client.get(f"/responses/{first['id']}")).status_code == 404
        second = (await bridge.client.post("/responses", json={"model": MODEL, "input": "two?"})).json()
        assert (await bridge.client.get(f"/responses/{second['id']}")).json() == second
        assert (folder / "responses.sqlite3").stat().st_mode & 0o777 == 0o600


async def test_a_folder_of_recordings_that_is_deleted_is_made_again(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cases"
    async with proxy(upstream, home, record=str(folder)) as bridge:
        first = await bridge.chat(user("one?"))
        shutil.rmtree(folder)
        message = first.json()["choices"][0]["message"]
        assert (await bridge.chat(user("one?"), message, user("two?"))).status_code == 200
    (case,) = folder.iterdir()
    assert len(list(case.glob("request-*.json"))) == 2
