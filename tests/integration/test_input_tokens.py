"""Counting input tokens through openai-python and raw HTTP."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio.to_thread
import openai

from tests.harness import proxy as harness
from tests.harness.program import program
from tests.harness.proxy import BOTH_KINDS, Proxy
from tests.integration.test_responses_clients import LOOK, strict_client

pytestmark = BOTH_KINDS


async def test_the_synchronous_client_counts_tokens(home: Path) -> None:
    def count(base_url: str) -> int:
        with openai.OpenAI(api_key="any", base_url=base_url, max_retries=0) as client:
            counted = client.responses.input_tokens.count(model=harness.asked, input="Hi there, how are you?")
            assert counted.object == "response.input_tokens"
            return counted.input_tokens

    async with program(TIKTOKEN_CACHE_DIR=str(home)) as server:
        assert 6 <= await anyio.to_thread.run_sync(partial(count, server.base_url)) <= 12


async def test_history_instructions_and_tools_count_and_the_header_names_the_estimate(bridge: Proxy) -> None:
    client = strict_client(bridge)
    first = await client.responses.create(model=bridge.model, input="Hi. " * 100)
    counts: list[int] = []
    for fields in (
        {"model": None, "input": None},
        {"input": "Hi."},
        {"input": "Hi.", "previous_response_id": first.id},
        {"input": "Hi.", "instructions": "Be brief. " * 40},
        {"input": "Hi.", "tools": [LOOK], "temperature": 0.5},
    ):
        response = await bridge.client.post("/responses/input_tokens", json=fields)
        assert response.status_code == 200, response.text
        assert response.headers["x-codex-proxy-estimate"] in {"text-size", "tiktoken/o200k_base"}
        counts.append(response.json()["input_tokens"])
    assert response.headers["x-codex-proxy-ignored"] == "temperature"
    nothing, short, long, instructed, with_tools = counts
    assert (nothing, short < 10) == (0, True)
    assert all(90 < count - short < 130 for count in (long, instructed))
    assert 10 < with_tools - short < 60
    assert len(bridge.upstream.requests) == 1
    body = {"input": [{"type": "message", "role": "user"}]}
    refused = await bridge.client.post("/responses/input_tokens", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input[0].content")
