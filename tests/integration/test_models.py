"""Model names: the default model, aliases, and models that the upstream refuses."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bridge.codex.models import NAMED, default_model, reverse
from codex_rpc.wire.calls import model_list
from tests.harness.proxy import BOTH_KINDS, Proxy, proxy, user
from tests.harness.script import Reply, failed, http_error
from tests.harness.upstream import Upstream

NOT_SUPPORTED = "The 'gpt-5.2-codex' model is not supported when using Codex with a ChatGPT account."
NOT_THERE = "The model `gpt-5.2-codex` does not exist or you do not have access to it."


@pytest.fixture
async def bridge(upstream: Upstream, home: Path) -> AsyncGenerator[Proxy]:
    """The running proxy with aliases."""
    async with proxy(upstream, home, aliases={"quick": "codex-low", "gpt-4o": "codex"}) as running:
        yield running


async def default_of(bridge: Proxy) -> str:
    """Return codex's own name of the default model."""
    await bridge.client.get("/models")
    client = await bridge.service.supervisor.client(5)
    default = default_model(await client.call(model_list()))
    assert default is not None
    return default.slug


@BOTH_KINDS
async def test_codex_and_aliases_mean_the_default_model(bridge: Proxy) -> None:
    for name, effort in (
        ("codex", None),
        ("xedoc", None),
        (" OpenAI/Codex ", None),
        ("xedoc-high", "high"),
        ("quick", "low"),
        ("kciuq", "low"),
        ("gpt-4o", None),
        ("gpt-4o-high", "high"),
    ):
        answer = await bridge.client.post("/chat/completions", json={"model": name, "messages": [user("hi")]})
        assert (answer.status_code, answer.json()["model"]) == (200, name)
        body = bridge.upstream.requests[-1].body
        assert body["model"] == await default_of(bridge), name
        assert body["model"] not in NAMED
        assert effort in {None, body["reasoning"]["effort"]}, name


async def test_the_list_begins_with_the_named_models_and_has_every_name_plain_too(bridge: Proxy) -> None:
    names = [model["id"] for model in (await bridge.client.get("/models")).json()["data"]]
    half = len(names) // 2
    assert names[:4] == [reverse(name) for name in NAMED]
    assert names[4:7] == ["xedoc", "kciuq", "o4-tpg"]
    assert names[half:] == [reverse(name) for name in names[:half]]
    assert await default_of(bridge) in names


@BOTH_KINDS
@pytest.mark.parametrize(
    "refusal",
    [
        http_error(400, {"detail": NOT_SUPPORTED}),
        http_error(404, {"error": {"message": NOT_THERE, "code": "model_not_found"}}),
        failed("model_not_found", NOT_THERE),
    ],
    ids=["detail", "error", "in the stream"],
)
async def test_a_model_that_the_upstream_refuses_is_not_found_and_others_are_named(
    bridge: Proxy, refusal: Reply
) -> None:
    bridge.upstream.respond = lambda _: refusal
    for path, fields in (("/chat/completions", {"messages": [user("hi")]}), ("/responses", {"input": "hi"})):
        for stream in (False, True):
            answer = await bridge.client.post(path, json={"model": bridge.model, "stream": stream, **fields})
            assert answer.status_code == 404, answer.text
            error = answer.json()["error"]
            assert (error["code"], error["param"]) == ("model_not_found", "model")
            assert bridge.model in error["message"]
            assert f"It has: codex, quick, gpt-4o, {await default_of(bridge)}, " in error["message"]


async def test_cursor_can_read_that_a_model_is_refused(bridge: Proxy) -> None:
    bridge.upstream.respond = lambda _: http_error(400, {"detail": NOT_SUPPORTED})
    body = {"model": bridge.model, "messages": [user("hi")]}
    answer = await bridge.client.post("/chat/completions", json=body, headers={"user-agent": "Cursor/1.0"})
    assert answer.status_code == 400
    assert "It has: codex, " in answer.json()["error"]["message"]
