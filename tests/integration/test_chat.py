"""Chat requests through the real codex CLI: what client and upstream receive."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path
from typing import Any

import anyio
import httpx2
import openai
import pytest

from bridge.codex import backend
from tests.harness.asgi import asgi_client
from tests.harness.codex_home import log_in, write_home
from tests.harness.proxy import MODEL, Proxy, proxy, user
from tests.harness.script import Cut, Hold, Text, Thought, Usage, begun, http_error, reply
from tests.harness.upstream import Upstream

BOTH_TRANSPORTS = pytest.mark.parametrize("transport", ["http", "websocket"])


def tiny_png() -> str:
    """A red pixel as a data URL."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(png).decode()


@BOTH_TRANSPORTS
async def test_a_streamed_answer_has_the_requested_name_real_usage_and_an_end(bridge: Proxy) -> None:
    bridge.upstream.will_reply(reply(Thought("let me see"), Text(("Hel", "lo")), usage=Usage(100, 20, 30, 5)))
    async with bridge.stream(user("hi")) as stream:
        await stream.read()
    assert stream.done
    assert stream.text == "Hello"
    assert {chunk["model"] for chunk in stream.chunks} == {MODEL}
    assert len({(chunk["id"], chunk["created"]) for chunk in stream.chunks}) == 1
    assert stream.chunks[0]["id"].startswith("chatcmpl-codex-")
    assert stream.chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [
        chunk["choices"][0]["finish_reason"] for chunk in stream.chunks if chunk["choices"][0]["finish_reason"]
    ] == ["stop"]
    assert stream.chunks[-1]["usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 30,
        "total_tokens": 130,
        "prompt_tokens_details": {"cached_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    assert [request.body["model"] for request in bridge.upstream.requests] == ["gpt-5.2-codex"]


async def test_a_complete_answer_has_exactly_the_documented_fields(bridge: Proxy) -> None:
    bridge.upstream.will_reply(reply("...", usage=Usage(812, 768, 40, 16)))
    response = await bridge.chat(user("hi"), temperature=0.2)
    body = response.json()
    assert body.pop("id").startswith("chatcmpl-codex-")
    assert isinstance(body.pop("created"), int)
    assert body == {
        "object": "chat.completion",
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "...", "refusal": None, "tool_calls": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 812,
            "completion_tokens": 40,
            "total_tokens": 852,
            "prompt_tokens_details": {"cached_tokens": 768},
            "completion_tokens_details": {"reasoning_tokens": 16},
        },
    }
    assert response.headers["x-codex-proxy-ignored"] == "temperature"
    assert response.headers["content-length"] == str(len(response.content))


async def test_openai_python_strictly_validates_streamed_and_complete_answers(bridge: Proxy) -> None:
    bridge.upstream.respond = lambda _: reply(Text(("Hel", "lo")), usage=Usage(100, 20, 30, 5))
    client: Any = openai.AsyncOpenAI(
        api_key="any",
        base_url="http://testserver/v1",
        http_client=bridge.client,
        max_retries=0,
        _strict_response_validation=True,
    )
    asked: dict[str, Any] = {"model": MODEL, "messages": [user("hi")]}
    whole = await client.chat.completions.create(**asked)
    assert whole.choices[0].message.content == "Hello"
    assert whole.usage is not None
    assert whole.usage.total_tokens == 130

    for options in ({}, {"stream_options": {"include_usage": True}}):
        text = ""
        usages: list[int] = []
        async for chunk in await client.chat.completions.create(**asked, stream=True, **options):
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
            usages += [chunk.usage.total_tokens] if chunk.usage else []
        assert (text, usages) == ("Hello", [130])

    models = [model.id async for model in client.models.list()]
    assert models[:4] == ["xedoc-2.5-tpg", "xam-xedoc-1.5-tpg", "inim-xedoc-1.5-tpg", "2.5-tpg"]
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(model="no-such-model", messages=asked["messages"])
    assert caught.value.code == "model_not_found"


@BOTH_TRANSPORTS
async def test_a_history_of_all_roles_reaches_the_model_in_order(bridge: Proxy) -> None:
    picture = tiny_png()
    response = await bridge.chat(
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Use metric units."}]},
        user("How tall?"),
        {"role": "assistant", "content": "Two metres."},
        user([{"type": "text", "text": "And this?"}, {"type": "image_url", "image_url": {"url": picture}}]),
        user("Two in a row."),
    )
    assert response.status_code == 200
    [request] = bridge.upstream.requests
    messages = [(item["role"], [_said(part) for part in item["content"]]) for item in request.input]
    assert messages == [
        ("developer", [("input_text", "Be brief.")]),
        ("developer", [("input_text", "Use metric units.")]),
        ("user", [("input_text", "How tall?")]),
        ("assistant", [("output_text", "Two metres.")]),
        ("user", [("input_text", "And this?"), ("input_image", picture)]),
        ("user", [("input_text", "Two in a row.")]),
    ]


def _said(part: dict[str, Any]) -> tuple[str, str]:
    return part["type"], part.get("text") or part["image_url"]


@pytest.mark.parametrize(
    ("name", "slug", "effort", "tier"),
    [
        ("gpt-5.5", "gpt-5.5", "medium", None),
        ("5.5-tpg", "gpt-5.5", "medium", None),
        ("hgih-5.5-tpg", "gpt-5.5", "high", None),
        ("5.5-tpg-low-fast", "gpt-5.5", "low", "priority"),
    ],
)
async def test_the_model_name_selects_model_effort_and_tier(
    bridge: Proxy, name: str, slug: str, effort: str, tier: str | None
) -> None:
    response = await bridge.chat(user("hi"), model=name)
    assert response.json()["model"] == name
    [request] = bridge.upstream.requests
    assert (request.body["model"], request.body["reasoning"]["effort"]) == (slug, effort)
    assert request.body.get("service_tier") == tier


async def test_an_effort_in_the_request_overrides_the_one_in_the_name(bridge: Proxy) -> None:
    await bridge.chat(user("hi"), model="gpt-5.5-high", reasoning_effort="low")
    assert bridge.upstream.requests[0].body["reasoning"]["effort"] == "low"


@pytest.mark.parametrize("path", ["/models", "//v1/models", "/v1/models/", "/v1//models"])
async def test_every_form_of_the_base_url_leads_to_the_models(bridge: Proxy, path: str) -> None:
    response = await bridge.client.get(f"http://testserver{path}")
    assert response.status_code == 200
    assert response.json()["data"][0] == response.json()["data"][0] | {
        "id": "xedoc-2.5-tpg",
        "object": "model",
        "owned_by": "codex",
    }


async def test_a_model_is_found_by_any_of_its_names_and_an_unknown_one_is_not(bridge: Proxy) -> None:
    await bridge.chat(user("hi"))
    for name in ("xedoc-2.5-tpg", "gpt-5.2-codex", "gpt-5.2-codex-high"):
        assert (await bridge.client.get(f"/models/{name}")).json()["id"] == name
    unknown = await bridge.client.get("/models/no-such-model")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


BAD_BODIES: list[tuple[Any, int, str | None, str | None]] = [
    (b"nonsense", 400, None, "invalid_json"),
    (b"", 400, None, "invalid_json"),
    (b"[1, 2]", 400, "body", "invalid_type"),
    (b'"text"', 400, "body", "invalid_type"),
    (b"[" * 100_000, 400, None, "invalid_json"),
    ({}, 400, "model", "missing_parameter"),
    ({"model": MODEL}, 400, "messages", "missing_parameter"),
    ({"model": 7, "messages": [user("hi")]}, 400, "model", "invalid_type"),
    ({"model": MODEL, "messages": "hi"}, 400, "messages", "invalid_type"),
    ({"model": MODEL, "messages": []}, 400, "messages", "empty_array"),
    ({"model": MODEL, "messages": ["hi"]}, 400, "messages[0]", "invalid_type"),
    ({"model": MODEL, "messages": [{"content": "hi"}]}, 400, "messages[0].role", "missing_parameter"),
    ({"model": MODEL, "messages": [{"role": "wizard", "content": "hi"}]}, 400, "messages[0].role", "invalid_value"),
    ({"model": MODEL, "messages": [user(7)]}, 400, "messages[0].content", "invalid_type"),
    ({"model": MODEL, "messages": [user([{"type": "text"}])]}, 400, "messages[0].content[0].text", "missing_parameter"),
    ({"model": MODEL, "messages": [user("hi")], "stream": "yes"}, 400, "stream", "invalid_type"),
    ({"model": MODEL, "messages": [user("hi")], "n": 5}, 400, "n", "unsupported_value"),
    ({"model": MODEL, "messages": [user("hi")], "logprobs": True}, 400, "logprobs", "unsupported_value"),
    ({"model": "no-such-model", "messages": [user("hi")]}, 404, "model", "model_not_found"),
]


@pytest.mark.parametrize("stream", [False, True])
async def test_bad_bodies_get_clear_errors_and_the_server_stays_up(bridge: Proxy, *, stream: bool) -> None:
    for body, status, param, code in BAD_BODIES:
        sent: Any = {"content": body} if isinstance(body, bytes) else {"json": {"stream": stream, **body}}
        response = await bridge.client.post("/chat/completions", **sent)
        error = response.json()["error"]
        assert (response.status_code, error["param"], error["code"]) == (status, param, code), body
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert response.headers["access-control-allow-origin"] == "*"
    assert (await bridge.chat(user("still there?"))).status_code == 200
    assert len(bridge.upstream.requests) == 1


async def test_unknown_routes_and_wrong_methods_are_named(bridge: Proxy) -> None:
    unknown = await bridge.client.get("/nowhere")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    for method, path in (
        ("GET", "/v1/v1/nowhere"),
        ("POST", "/responses/compacted"),
        ("DELETE", "/v1/responses/nothing"),
        ("POST", "/api/embeddings"),
    ):
        unknown = await bridge.client.request(
            method, f"{bridge.client.base_url}".rstrip("/").removesuffix("/v1") + path
        )
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
        assert f" {path}. " in unknown.json()["error"]["message"]
    wrong = await bridge.client.get("/chat/completions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.json()["error"]["code"] == "method_not_allowed"
    assert wrong.headers["access-control-allow-origin"] == "*"


async def test_a_body_over_the_limit_is_refused(upstream: Upstream, home: Path) -> None:
    async with proxy(upstream, home, max_body=2048) as bridge:
        response = await bridge.chat(user("x" * 4096))
        assert (response.status_code, response.json()["error"]["code"]) == (413, "request_too_large")
        assert (await bridge.chat(user("x"))).status_code == 200


async def test_without_a_login_models_are_listed_and_a_later_login_is_noticed(
    upstream: Upstream, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "RESTART_PAUSE", 0)
    write_home(home, upstream.base_url, "websocket", logged_in=False)
    async with proxy(upstream, home) as bridge:
        assert (await bridge.client.get("/models")).status_code == 200
        refused = await bridge.chat(user("hi"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "codex_not_logged_in")
        assert "codex login" in refused.json()["error"]["message"]
        log_in(home)
        response = await bridge.chat(user("hi"))
        assert response.json()["choices"][0]["message"]["content"] == "ok"


@BOTH_TRANSPORTS
async def test_upstream_refusals_keep_their_meaning(bridge: Proxy) -> None:
    bad = {"error": {"message": "no such thing", "type": "invalid_request_error", "param": "text", "code": "nope"}}
    quota = {"error": {"type": "usage_limit_reached", "message": "limit", "plan_type": "plus", "resets_in_seconds": 60}}
    bridge.upstream.will_reply(http_error(400, bad), http_error(429, quota))
    first = await bridge.chat(user("hi"))
    assert (first.status_code, first.json()["error"]["message"]) == (
        400,
        "no such thing. Change the request before you repeat it.",
    )
    async with bridge.stream(user("hi")) as stream:
        assert stream.response.status_code == 429
        await stream.response.aread()
        assert stream.response.json()["error"]["code"] == "usage_limit_reached"


async def test_a_failure_after_the_first_byte_ends_the_stream_with_an_error(bridge: Proxy) -> None:
    bridge.upstream.will_reply(begun(Text(("half of", " it"))).then(Cut()))
    async with bridge.stream(user("hi")) as stream:
        await stream.read()
    assert stream.response.status_code == 200
    assert stream.text == "half of it"
    assert stream.chunks[-1]["error"]["code"] == "upstream_error"
    assert stream.done


async def test_a_stream_cut_upstream_and_retried_by_codex_is_neither_doubled_nor_lost(
    upstream: Upstream, home: Path
) -> None:
    write_home(home, upstream.base_url, stream_retries=2)
    upstream.will_reply(begun(Text(("one ", "two "))).then(Cut()), reply(Text(("one two th", "ree"))))
    async with proxy(upstream, home) as bridge, bridge.stream(user("count")) as stream:
        await stream.read()
    assert len(upstream.requests) == 2
    assert stream.text == "one two three"
    assert stream.chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_a_repeated_stream_with_another_text_is_an_error_and_not_a_mixture(
    upstream: Upstream, home: Path
) -> None:
    write_home(home, upstream.base_url, stream_retries=2)
    upstream.will_reply(begun(Text(("one ", "two "))).then(Cut()), reply(Text(("uno dos ", "tres"))))
    async with proxy(upstream, home) as bridge, bridge.stream(user("count")) as stream:
        await stream.read()
    assert stream.text == "one two "
    assert stream.chunks[-1]["error"]["code"] == "upstream_error"


@BOTH_TRANSPORTS
async def test_a_client_that_leaves_mid_stream_ends_the_turn_upstream(bridge: Proxy) -> None:
    never = anyio.Event()
    bridge.upstream.will_reply(begun("Once upon").then(Hold(never)))
    with anyio.fail_after(10):
        async with bridge.stream(user("tell me a story")) as stream:
            async for _ in stream:
                break
        await bridge.upstream.wait_until_idle()
        assert (await bridge.chat(user("hi"))).status_code == 200


async def test_a_client_that_leaves_before_the_first_byte_ends_the_turn_upstream(bridge: Proxy) -> None:
    never = anyio.Event()
    bridge.upstream.will_reply(begun().then(Hold(never)))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bridge.chat, user("hi"))
            await bridge.upstream.wait_for_requests(1)
            tasks.cancel_scope.cancel()
        await bridge.upstream.wait_until_idle()


async def test_a_silent_stream_begins_after_the_patience_and_is_kept_alive(upstream: Upstream, home: Path) -> None:
    gate = anyio.Event()
    upstream.will_reply(begun().then(Hold(gate), *reply("at last").actions[1:]))
    async with proxy(upstream, home, head_patience=0.1, keep_alive=0.05) as bridge:
        with anyio.fail_after(10):
            async with bridge.client.stream(
                "POST", "/chat/completions", json={"model": MODEL, "stream": True, "messages": [user("hi")]}
            ) as response:
                lines = response.aiter_lines()
                assert [await anext(lines) for _ in range(3)] == [": keep-alive"] * 3
                gate.set()
                rest = "".join([line async for line in lines])
    assert "at last" in rest
    assert rest.endswith("data: [DONE]")


async def test_a_model_that_sends_nothing_gives_a_timeout(upstream: Upstream, home: Path) -> None:
    upstream.will_reply(begun().then(Hold(anyio.Event())))
    async with proxy(upstream, home, idle_timeout=0.3) as bridge:
        response = await bridge.chat(user("hi"))
        assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout")


async def test_twenty_thousand_deltas_arrive_complete(bridge: Proxy) -> None:
    pieces = tuple(f"w{number} " for number in range(20_000))
    bridge.upstream.will_reply(reply(Text(pieces)))
    async with bridge.stream(user("count")) as stream:
        await stream.read()
    assert stream.text == "".join(pieces)
    assert stream.done


async def test_streams_that_run_at_once_do_not_mix(bridge: Proxy) -> None:
    def respond(request: Any) -> Any:
        number = request.input[0]["content"][0]["text"]
        return reply(Text(tuple(f"{number}-{piece} " for piece in range(50))))

    bridge.upstream.respond = respond
    answers: dict[str, str] = {}

    async def ask(number: str) -> None:
        async with bridge.stream(user(number)) as stream:
            answers[number] = (await stream.read()).text

    async with anyio.create_task_group() as tasks:
        for number in map(str, range(20)):
            tasks.start_soon(ask, number)
    assert answers == {str(n): "".join(f"{n}-{piece} " for piece in range(50)) for n in range(20)}


async def test_codex_that_dies_mid_stream_gives_an_error_and_comes_back(bridge: Proxy) -> None:
    bridge.upstream.will_reply(begun("Once upon").then(Hold(anyio.Event())))
    with anyio.fail_after(20):
        async with bridge.stream(user("tell me a story")) as stream:
            async for _ in stream:
                bridge.kill_codex()
        assert stream.text == "Once upon"
        assert stream.chunks[-1]["error"]["code"] == "codex_unavailable"
        assert (await bridge.chat(user("hi"))).status_code == 200


async def test_a_peer_from_elsewhere_needs_a_key_even_for_the_models(upstream: Upstream, home: Path) -> None:
    async with proxy(upstream, home) as bridge, asgi_client(bridge.service.app, peer="192.0.2.7") as stranger:
        response = await stranger.get("/models")
        assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
        assert "CODEX_OPENAI_PROXY_API_KEY" in response.json()["error"]["message"]
        assert (await stranger.get("/healthz")).status_code == 200
        preflight: httpx2.Response = await stranger.options("/chat/completions")
        assert preflight.status_code == 204
