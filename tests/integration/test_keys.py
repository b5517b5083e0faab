"""Named keys, with the real codex: what each may do and see, and how it ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import orjson
import pytest

from bridge.http import websocket as websocket_module
from bridge.keys.changes import add_key, revoke_key
from tests.harness.agents import AUTHORIZED, agent_proxy, needs_sandbox
from tests.harness.proxy import MODEL, Proxy, Stream, proxy, user
from tests.harness.script import Hold, Usage, begun, reply
from tests.harness.upstream import Upstream
from tests.harness.websocket import websocket

OWN = "sk-own"
CHAT: dict[str, Any] = {"model": MODEL, "messages": [user("Hi.")]}
RESPONSE: dict[str, Any] = {"model": MODEL, "input": "Hi."}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


@pytest.fixture
async def bridge(upstream: Upstream, home: Path, path: Path) -> AsyncGenerator[Proxy]:
    """The proxy with a key of its own, which the client sends unless a request has another one."""
    with anyio.fail_after(60):
        async with proxy(upstream, home, api_key=OWN, keys_file=str(path)) as running:
            running.client.headers["authorization"] = f"Bearer {OWN}"
            yield running


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def code_of(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def test_a_named_key_gets_answers_and_is_named_in_usage_metrics_and_log(
    bridge: Proxy, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    anna = add_key(path, "anna", tokens_per_day=5000)
    bridge.upstream.will_reply(reply("Hello.", usage=Usage(100, 20, 30, 5)))
    with caplog.at_level("INFO", "bridge.telemetry.logs"):
        assert (await bridge.client.post("/chat/completions", json=CHAT, headers=bearer(anna))).status_code == 200
    assert " key=anna model=" in caplog.text
    assert anna not in caplog.text
    await bridge.client.post("/chat/completions", json=CHAT)
    usage = (await bridge.client.get("/usage")).json()
    assert [entry["key"] for entry in usage["recent"]] == [None, "anna"]
    assert usage["keys"] == [
        {"name": "anna", "expires": None, "tokens_today": 130, "tokens_per_day": 5000, "models": [], "agents": []}
    ]
    own = (await bridge.client.get("/usage", headers=bearer(anna))).json()
    assert (own["key"], [entry["key"] for entry in own["recent"]]) == (usage["keys"][0], ["anna"])
    assert own.keys() == {"key", "running", "recent", "agents"}
    metrics = (await bridge.client.get("/metrics")).text
    assert 'codex_proxy_tokens_total{key="anna",kind="input"} 100.0' in metrics
    assert 'codex_proxy_tokens_total{kind="input"} 812.0' in metrics
    assert 'route="/chat/completions",status="200"} 1.0' in metrics
    assert 'codex_proxy_requests_total{key="anna",method="POST",route="/chat/completions",status="200"} 1.0' in metrics


@pytest.mark.parametrize("path_of_owner", ["/metrics", "/doctor", "/doctor/stream"])
async def test_a_named_key_does_not_see_the_account(bridge: Proxy, path: Path, path_of_owner: str) -> None:
    anna = add_key(path, "anna")
    assert code_of(await bridge.client.get(path_of_owner, headers=bearer(anna))) == (403, "key_not_allowed")


async def test_every_request_needs_a_key_once_there_is_a_named_one(upstream: Upstream, home: Path, path: Path) -> None:
    async with proxy(upstream, home, keys_file=str(path)) as bridge:
        assert (await bridge.client.get("/models")).status_code == 200
        anna = add_key(path, "anna")
        assert code_of(await bridge.client.get("/models")) == (401, "invalid_api_key")
        assert (await bridge.client.get("/models", headers=bearer(anna))).status_code == 200
        assert (await bridge.client.get("/models", headers={"api-key": anna})).status_code == 200
        revoke_key(path, "anna")
        for headers in ({}, bearer(anna), bearer("any")):
            assert code_of(await bridge.client.get("/models", headers=headers)) == (401, "invalid_api_key")


# ── revoking ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_revoking_a_key_ends_its_streams_with_an_error_and_no_other(bridge: Proxy, path: Path) -> None:
    anna, never = add_key(path, "anna"), anyio.Event()
    bridge.upstream.respond = lambda _: begun("Once").then(Hold(never))
    body = {**CHAT, "stream": True}
    async with (
        bridge.client.stream("POST", "/chat/completions", json=body, headers=bearer(anna)) as response,
        bridge.client.stream("POST", "/chat/completions", json=body) as other,
    ):
        stream, kept = Stream(response), Stream(other)
        parts = aiter(stream)
        for one, read in ((stream, parts), (kept, aiter(kept))):
            while one.text != "Once":
                await anext(read)
        revoke_key(path, "anna")
        async for _ in parts:
            pass
        assert stream.done
        assert stream.chunks[-1]["error"]["code"] == "key_revoked"
        assert "'anna' was revoked" in stream.chunks[-1]["error"]["message"]
        running = (await bridge.client.get("/usage")).json()["running"]
        assert [entry["key"] for entry in running] == [None]
    never.set()


async def test_revoking_a_key_ends_an_answer_that_has_not_begun_with_401(bridge: Proxy, path: Path) -> None:
    anna, never = add_key(path, "anna"), anyio.Event()
    bridge.upstream.will_reply(begun().then(Hold(never)))
    got: list[httpx2.Response] = []

    async def ask() -> None:
        got.append(await bridge.client.post("/responses", json=RESPONSE, headers=bearer(anna)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await bridge.upstream.wait_for_requests(1)
        revoke_key(path, "anna")
    assert code_of(got[0]) == (401, "key_revoked")
    never.set()


async def test_revoking_a_key_ends_its_background_responses(bridge: Proxy, path: Path) -> None:
    anna, never = add_key(path, "anna"), anyio.Event()
    bridge.upstream.will_reply(begun("Once").then(Hold(never)))
    body = {**RESPONSE, "background": True, "stream": True}
    async with bridge.client.stream("POST", "/responses", json=body, headers=bearer(anna)) as response:
        await bridge.upstream.wait_for_requests(1)
        revoke_key(path, "anna")
        lines = [line async for line in response.aiter_lines() if line.startswith("data: {")]
    failed = orjson.loads(lines[-1][6:])
    assert (failed["type"], failed["response"]["error"]["code"]) == ("response.failed", "key_revoked")
    never.set()


async def test_revoking_a_key_closes_its_websockets_idle_or_not(bridge: Proxy, path: Path) -> None:
    anna, never = add_key(path, "anna"), anyio.Event()
    bridge.upstream.will_reply(begun("Once").then(Hold(never)))
    app = bridge.service.app
    async with (
        websocket(app, headers=bearer(anna)) as busy,
        websocket(app, headers=bearer(anna)) as idle,
        websocket(app, headers=bearer(OWN)) as other,
    ):
        busy.send("response.create", **RESPONSE)
        busy.send("response.create", **RESPONSE)
        await bridge.upstream.wait_for_requests(1)
        revoke_key(path, "anna")
        assert (await busy.turn())[-1]["response"]["error"]["code"] == "key_revoked"
        for socket in (busy, idle):
            last = await socket.receive()
            assert (last["type"], last["status"], last["error"]["code"]) == ("error", 401, "key_revoked")
            await socket.ended.wait()
            assert socket.close_code == websocket_module.POLICY_VIOLATION
        assert len(bridge.upstream.requests) == 1
        assert (await other.create(**RESPONSE))["type"] == "response.completed"
    never.set()
    async with websocket(app, headers=bearer(anna)) as refused:
        assert refused.status == 401


# ── budgets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_that_has_used_its_tokens_is_refused_in_every_dialect(bridge: Proxy, path: Path) -> None:
    anna = add_key(path, "anna", tokens_per_day=130)
    bridge.upstream.will_reply(reply("Hello.", usage=Usage(100, 0, 29, 0)), reply("Hello.", usage=Usage(1, 0, 0, 0)))
    for _ in range(2):
        assert (await bridge.client.post("/responses", json=RESPONSE, headers=bearer(anna))).status_code == 200
    for route, body in (
        ("/chat/completions", CHAT),
        ("/chat/completions", {**CHAT, "stream": True}),
        ("/responses", RESPONSE),
        ("/responses", {**RESPONSE, "stream": True}),
        ("/responses", {**RESPONSE, "background": True}),
        ("/responses/compact", RESPONSE),
        (f"/openai/deployments/{MODEL}/chat/completions", CHAT),
    ):
        refused = await bridge.client.post(route, json=body, headers=bearer(anna))
        assert code_of(refused) == (429, "key_budget_exhausted")
        assert 0 < int(refused.headers["retry-after"]) <= 24 * 3600
        assert "130 tokens of today" in refused.json()["error"]["message"]
    async with websocket(bridge.service.app, headers=bearer(anna)) as socket:
        frame = await socket.create(**RESPONSE)
        assert (frame["status"], frame["error"]["code"]) == (429, "key_budget_exhausted")
        assert int(frame["headers"]["retry-after"]) > 0
    cursor = {**bearer(anna), "user-agent": "Cursor/1.0"}
    assert code_of(await bridge.client.post("/chat/completions", json=CHAT, headers=cursor)) == (
        400,
        "key_budget_exhausted",
    )
    assert len(bridge.upstream.requests) == 2
    assert (await bridge.client.post("/responses", json=RESPONSE)).status_code == 200
    assert (await bridge.client.get("/models", headers=bearer(anna))).status_code == 200


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_lists_and_uses_only_its_models(bridge: Proxy, path: Path) -> None:
    anna = add_key(path, "anna", models=("gpt-5.5",))
    listed = [one["id"] for one in (await bridge.client.get("/models", headers=bearer(anna))).json()["data"]]
    assert listed == ["5.5-tpg", "gpt-5.5"]
    described = (await bridge.client.get("/models?client_version=1", headers=bearer(anna))).json()["models"]
    assert {one["slug"] for one in described} == {"gpt-5.5", "5.5-tpg"}
    for name in ("gpt-5.5", "5.5-tpg", "gpt-5.5-high", "openai/gpt-5.5"):
        sent = await bridge.client.post("/responses", json={**RESPONSE, "model": name}, headers=bearer(anna))
        assert sent.status_code == 200
        assert bridge.upstream.requests[-1].body["model"] == "gpt-5.5"
    other = next(one["id"] for one in (await bridge.client.get("/models")).json()["data"] if "mini" in one["id"])
    for route, body in (("/chat/completions", CHAT), ("/responses", RESPONSE)):
        refused = await bridge.client.post(route, json={**body, "model": other}, headers=bearer(anna))
        assert code_of(refused) == (404, "model_not_found")
        assert "'anna' may not use the model" in refused.json()["error"]["message"]
        assert "5.5-tpg, gpt-5.5" in refused.json()["error"]["message"]
    assert code_of(await bridge.client.get(f"/models/{other}", headers=bearer(anna))) == (404, "model_not_found")
    assert (await bridge.client.get("/models/gpt-5.5", headers=bearer(anna))).status_code == 200


async def test_a_key_that_may_use_every_model_gets_the_same_refusal_of_an_unknown_one_as_no_key(
    bridge: Proxy, path: Path
) -> None:
    body = {**RESPONSE, "model": "gpt-7-nothing"}
    without = await bridge.client.post("/responses", json=body)
    with_key = await bridge.client.post("/responses", json=body, headers=bearer(add_key(path, "anna")))
    assert with_key.status_code == 404
    assert with_key.json() == without.json()


async def test_an_unknown_model_of_cursor_becomes_one_that_the_key_may_use(bridge: Proxy, path: Path) -> None:
    anna = {**bearer(add_key(path, "anna", models=("gpt-5.5",))), "user-agent": "Cursor/1.0"}
    sent = await bridge.client.post("/chat/completions", json={**CHAT, "model": "gpt-4o"}, headers=anna)
    assert sent.status_code == 200
    assert bridge.upstream.requests[-1].body["model"] == "gpt-5.5"


# ── what is stored ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_no_key_sees_the_responses_of_another_one(bridge: Proxy, path: Path) -> None:
    anna, ben = bearer(add_key(path, "anna")), bearer(add_key(path, "ben"))
    first = (await bridge.client.post("/responses", json=RESPONSE, headers=anna)).json()
    response_id, item_id = first["id"], first["output"][0]["id"]
    by_item = {**RESPONSE, "input": [{"type": "item_reference", "id": item_id}, user("More.")]}
    by_id = {**RESPONSE, "previous_response_id": response_id}
    # Anna's own request first: what was read for it must not be remembered for others.
    for body in (by_item, by_id):
        assert (await bridge.client.post("/responses", json=body, headers=anna)).status_code == 200
    for stranger in (ben, bearer(OWN)):
        for path_of in (f"/responses/{response_id}", f"/responses/{response_id}/input_items"):
            assert code_of(await bridge.client.get(path_of, headers=stranger)) == (404, "response_not_found")
        cancelled = await bridge.client.post(f"/responses/{response_id}/cancel", headers=stranger)
        assert code_of(cancelled) == (404, "response_not_found")
        deleted = await bridge.client.delete(f"/responses/{response_id}", headers=stranger)
        assert code_of(deleted) == (404, "response_not_found")
        refused = await bridge.client.post("/responses", json=by_item, headers=stranger)
        assert code_of(refused) == (400, "item_not_found")
        refused = await bridge.client.post("/responses", json=by_id, headers=stranger)
        assert code_of(refused) == (400, "previous_response_not_found")
    assert (await bridge.client.get(f"/responses/{response_id}", headers=anna)).json()["id"] == response_id
    assert (await bridge.client.get(f"/responses/{response_id}/input_items", headers=anna)).status_code == 200
    assert (await bridge.client.delete(f"/responses/{response_id}", headers=anna)).json()["id"] == response_id


async def test_no_key_sees_the_background_responses_of_another_one(bridge: Proxy, path: Path) -> None:
    anna, ben, gate = bearer(add_key(path, "anna")), bearer(add_key(path, "ben")), anyio.Event()
    bridge.upstream.will_reply(begun("Done.").then(Hold(gate)))
    body = {**RESPONSE, "background": True}
    response_id = (await bridge.client.post("/responses", json=body, headers=anna)).json()["id"]
    try:
        for query in ("", "?stream=true"):
            refused = await bridge.client.get(f"/responses/{response_id}{query}", headers=ben)
            assert code_of(refused) == (404, "response_not_found")
        assert code_of(await bridge.client.post(f"/responses/{response_id}/cancel", headers=ben))[0] == 404
        own = await bridge.client.post(f"/responses/{response_id}/cancel", headers=anna)
        assert own.json()["status"] == "cancelled"
        found = await bridge.client.get(f"/responses/{response_id}", headers=anna)
        assert found.json()["status"] == "cancelled"
    finally:
        gate.set()


async def test_no_key_sees_the_conversations_of_another_one(bridge: Proxy, path: Path) -> None:
    anna, ben = bearer(add_key(path, "anna")), bearer(add_key(path, "ben"))
    made = (await bridge.client.post("/conversations", json={"items": [user("Hi.")]}, headers=anna)).json()
    place = f"/conversations/{made['id']}"
    assert made["id"].startswith("conv_")
    body = {**RESPONSE, "conversation": made["id"]}
    assert (await bridge.client.post("/responses", json=body, headers=anna)).status_code == 200
    items = (await bridge.client.get(f"{place}/items", headers=anna)).json()["data"]
    assert len(items) == 3
    one = f"{place}/items/{items[0]['id']}"
    for method, where in (("GET", place), ("POST", place), ("GET", f"{place}/items"), ("GET", one), ("DELETE", one)):
        refused = await bridge.client.request(method, where, headers=ben, json={} if method == "POST" else None)
        assert code_of(refused) == (404, "conversation_not_found")
    assert code_of(await bridge.client.delete(place, headers=ben)) == (404, "conversation_not_found")
    assert (await bridge.client.post("/responses", json=body, headers=ben)).status_code == 404
    assert (await bridge.client.delete(place, headers=anna)).json()["id"] == made["id"]


async def test_a_conversation_is_continued_only_with_the_key_that_began_it(bridge: Proxy, path: Path) -> None:
    """Neither a thread nor the hidden reasoning of an answer may reach another key that sends the same history."""
    anna, ben = bearer(add_key(path, "anna")), bearer(add_key(path, "ben"))
    first = (await bridge.client.post("/chat/completions", json=CHAT, headers=anna)).json()
    answer = {"role": "assistant", "content": first["choices"][0]["message"]["content"]}
    body = {**CHAT, "messages": [*CHAT["messages"], answer, user("Go on.")]}
    outcomes = [
        (await bridge.client.post("/chat/completions", json=body, headers=headers)).headers["x-codex-proxy-thread"]
        for headers in (ben, bearer(OWN), anna)
    ]
    assert outcomes == [
        "rebuilt; reason=unknown-history",
        "rebuilt; reason=unknown-history",
        "continued; reason=same-history",
    ]


# ── agents ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@needs_sandbox
@pytest.mark.usefixtures("quick_agents")
async def test_a_key_has_no_agents_unless_it_says_so_and_models_do_not_limit_them(
    upstream: Upstream, home: Path, path: Path, tmp_path: Path
) -> None:
    anna = bearer(add_key(path, "anna"))
    ben = bearer(add_key(path, "ben", models=("gpt-5.5",), agents=("site",)))
    carl = bearer(add_key(path, "carl", agents=("all",)))
    async with agent_proxy(upstream, home, tmp_path / "site", settings={"keys_file": str(path)}) as bridge:
        for name in ("codex-agent", "tnega-xedoc", "codex-agent-site-high"):
            for route, body in (
                ("/chat/completions", CHAT),
                ("/responses", RESPONSE),
                ("/responses", {**RESPONSE, "generate": False}),
                ("/responses", {**RESPONSE, "stream": True}),
            ):
                refused = await bridge.client.post(route, json={**body, "model": name}, headers=anna)
                assert code_of(refused) == (404, "model_not_found")
        assert upstream.requests == []
        for headers, sees in ((anna, False), (ben, True), (carl, True)):
            listed = [one["id"] for one in (await bridge.client.get("/models", headers=headers)).json()["data"]]
            assert ("codex-agent-site" in listed) == sees
        answers = [
            await bridge.client.post("/chat/completions", json={**CHAT, "model": "codex-agent"}, headers=headers)
            for headers in (ben, carl)
        ]
        assert [answer.status_code for answer in answers] == [200, 200]
        more = [*CHAT["messages"], {"role": "assistant", "content": "ok"}, user("Go on.")]
        body = {"model": "codex-agent", "messages": more}
        for headers, outcome in ((AUTHORIZED, "new; reason=unknown-history"), (ben, "continued; reason=same-history")):
            answer = await bridge.client.post("/chat/completions", json=body, headers=headers)
            assert answer.headers["x-codex-proxy-thread"].startswith(outcome)
