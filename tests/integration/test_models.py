"""Model names: the default model and aliases."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bridge.codex.models import NAMED, default_model, reverse
from codex_rpc.wire.calls import model_list
from tests.harness.proxy import BOTH_KINDS, Proxy, proxy, user
from tests.harness.upstream import Upstream


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
@pytest.mark.parametrize(
    ("name", "effort"),
    [
        ("codex", None),
        ("xedoc", None),
        (" OpenAI/Codex ", None),
        ("xedoc-high", "high"),
        ("quick", "low"),
        ("kciuq", "low"),
        ("gpt-4o", None),
        ("gpt-4o-high", "high"),
    ],
)
async def test_codex_and_aliases_mean_the_default_model(bridge: Proxy, name: str, effort: str | None) -> None:
    answer = await bridge.client.post("/chat/completions", json={"model": name, "messages": [user("hi")]})
    assert (answer.status_code, answer.json()["model"]) == (200, name)
    body = bridge.upstream.requests[0].body
    assert body["model"] == await default_of(bridge)
    assert body["model"] not in NAMED
    assert effort in {None, body["reasoning"]["effort"]}


async def test_the_list_begins_with_the_named_models_and_has_every_name_plain_too(bridge: Proxy) -> None:
    names = [model["id"] for model in (await bridge.client.get("/models")).json()["data"]]
    half = len(names) // 2
    assert names[:4] == [reverse(name) for name in NAMED]
    assert names[4:7] == ["xedoc", "kciuq", "o4-tpg"]
    assert names[half:] == [reverse(name) for name in names[:half]]
    assert await default_of(bridge) in names
