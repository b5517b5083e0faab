"""The status routes of the server, with the real codex."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.codex import backend
from tests.harness.codex_home import write_home
from tests.harness.proxy import MODEL, Proxy, proxy, user
from tests.harness.script import Call, Text, Usage, http_error, reply
from tests.harness.upstream import Upstream


def quota_headers(used: int, resets_at: int) -> tuple[tuple[str, str], ...]:
    """The five-hour limit that the upstream reports with each answer."""
    return (
        ("x-codex-primary-used-percent", str(used)),
        ("x-codex-primary-window-minutes", "300"),
        ("x-codex-primary-reset-at", str(resets_at)),
    )


async def test_usage_lists_requests_and_their_cost(bridge: Proxy) -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    bridge.upstream.will_reply(
        reply(Text(("Hel", "lo")), usage=Usage(100, 20, 30, 5)), reply(Call("add"), usage=Usage(10, 0, 3, 0))
    )
    await bridge.chat(user("hi"))
    await bridge.chat(user("add"), tools=[tool])
    told = (await bridge.client.get("/usage")).json()
    assert told["account"] == {"type": None, "plan": None, "ready": True}
    assert told["codex"]["state"] == "up"
    assert told["threads"] == {"running": 0, "idle": 1, "suspended": 1}
    assert told["answers"] == {"running": 0, "waiting": 0, "limit": 200}
    assert told["running"] == []
    assert told["today"] == {
        "date": time.strftime("%Y-%m-%d"),
        "requests": 2,
        "failed": 0,
        "input_tokens": 110,
        "cached_input_tokens": 20,
        "output_tokens": 33,
        "reasoning_output_tokens": 5,
        "cache_share": 0.1818,
    }
    newest, oldest = told["recent"]
    assert (newest["input_tokens"], newest["deltas"]) == (10, 0)
    assert oldest["model"] == MODEL
    assert oldest["thread"] == "new; reason=first-request"
    assert (oldest["status"], oldest["error"], oldest["deltas"], oldest["cache_share"]) == (200, None, 2, 0.2)
    assert 0 < oldest["first_token_seconds"] <= oldest["seconds"]


async def test_metrics_count_requests_tokens_and_threads(bridge: Proxy) -> None:
    bridge.upstream.will_reply(reply("hi", usage=Usage(100, 20, 30, 5)))
    await bridge.chat(user("hi"))
    await bridge.client.get("/no/such/route")
    response = await bridge.client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = response.text.splitlines()
    for line in (
        'codex_proxy_requests_total{method="POST",route="/chat/completions",status="200"} 1.0',
        'codex_proxy_requests_total{method="GET",route="",status="404"} 1.0',
        'codex_proxy_tokens_total{kind="cached_input"} 20.0',
        "codex_proxy_deltas_total 1.0",
        "codex_proxy_first_token_seconds_count 1.0",
        'codex_proxy_threads{state="idle"} 1.0',
        "codex_proxy_codex_up 1.0",
        "codex_proxy_codex_starts 1.0",
        "codex_proxy_cache_share_today 0.2",
    ):
        assert line in lines


async def test_the_quota_that_the_upstream_reports_is_passed_on_with_every_later_answer(bridge: Proxy) -> None:
    resets_at = int(time.time()) + 3600
    bridge.upstream.will_reply(replace(reply("one"), headers=quota_headers(42, resets_at)))
    await bridge.chat(user("hi"))
    headers = (await bridge.chat(user("hi"))).headers
    assert headers["x-codex-primary-used-percent"] == "42"
    assert headers["x-codex-primary-window-minutes"] == "300"
    assert headers["x-codex-primary-reset-at"] == str(resets_at)
    assert headers["x-ratelimit-remaining-primary"] == "58"
    [limit] = (await bridge.client.get("/usage")).json()["quota"]
    assert limit["primary"] == {"used_percent": 42, "window_minutes": 300, "resets_at": resets_at}
    assert 'codex_proxy_quota_used_percent{window="codex-primary"} 42.0' in (await bridge.client.get("/metrics")).text


async def test_a_used_up_quota_says_when_to_try_again(bridge: Proxy) -> None:
    resets_at = int(time.time()) + 3600
    body = {"error": {"type": "usage_limit_reached", "message": "limit", "plan_type": "plus", "resets_at": resets_at}}
    bridge.upstream.will_reply(replace(http_error(429, body), headers=quota_headers(100, resets_at)))
    refused = await bridge.chat(user("hi"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "usage_limit_reached")
    assert 3500 < int(refused.headers["retry-after"]) <= 3600
    assert refused.headers["x-codex-primary-used-percent"] == "100"


async def test_the_server_is_ready_when_codex_is_up_and_logged_in(
    upstream: Upstream, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "RESTART_PAUSE", 3600)
    async with proxy(upstream, home) as bridge:
        await bridge.client.get("/models")
        assert (await bridge.client.get("/readyz")).json() == {"status": "ready"}
    write_home(home, upstream.base_url, "websocket", logged_in=False)
    async with proxy(upstream, home) as bridge:
        await bridge.client.get("/models")
        not_ready = await bridge.client.get("/readyz")
        assert (not_ready.status_code, not_ready.json()["reason"]) == (503, "codex is not logged in")
        assert int(not_ready.headers["retry-after"]) >= 1
        assert (await bridge.client.get("/healthz")).status_code == 200
