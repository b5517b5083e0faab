"""The usage of many days: `GET /usage?days=`, the command `usage`, and what codex knows of the account."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import AsyncGenerator
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

import httpx2
import pytest

from tests.harness.account_server import AccountServer, account_server
from tests.harness.codex_home import write_home
from tests.harness.program import Program, program, run_here
from tests.harness.proxy import Proxy
from tests.harness.script import Usage, http_error, reply
from tests.harness.upstream import Upstream

TODAY = time.strftime("%Y-%m-%d")
YESTERDAY = (date.fromisoformat(TODAY) - timedelta(days=1)).isoformat()


@pytest.fixture
async def accounts(
    upstream: Upstream, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[AccountServer]:
    """An account whose backend knows the tokens of two days; a store that restarts keep."""
    monkeypatch.setenv("CODEX_OPENAI_PROXY_STORE", str(tmp_path / "store.sqlite3"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with account_server() as accounts:
        write_home(home, upstream.base_url, "websocket", logged_in=False)
        accounts.write_config(home)
        accounts.log_in(home)
        accounts.daily_tokens = {YESTERDAY: 5000, TODAY: 7000}
        yield accounts


async def chat(server: Program, model: str) -> int:
    async with httpx2.AsyncClient(timeout=60) as client:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        return (await client.post(f"{server.base_url}/chat/completions", json=body)).status_code


async def test_usage_survives_a_restart_and_is_shown_as_table_json_and_csv(
    accounts: AccountServer, upstream: Upstream
) -> None:
    del accounts
    upstream.will_reply(reply("Hi.", usage=Usage(1000, 750, 20, 5)))
    async with program() as server:
        assert await chat(server, "xedoc") == 200
    upstream.will_reply(reply("Hi.", usage=Usage(100, 0, 10, 0)))
    upstream.respond = lambda _: http_error(400, {"error": {"message": "no such thing"}})
    async with program() as server:
        where = ("usage", "--addr", f"127.0.0.1:{server.port}")
        assert await chat(server, "xedoc") == 200
        assert await chat(server, "codex") == 400
        by_model = json.loads((await run_here(*where, "--days", "1", "--by", "model", "--json")).stdout)
        table = (await run_here(*where)).stdout.splitlines()
        (head, *rows) = csv.reader(StringIO((await run_here(*where, "--csv")).stdout))
        of_anna = (await run_here(*where, "--key", "anna")).stdout
        assert (await run_here(*where, "--csv", "--json")).status == 2
    assert (by_model["from"], by_model["to"]) == (TODAY, TODAY)
    used, failed = by_model["rows"]
    assert (used["model"], used["requests"], used["errors"]) == ("xedoc", 2, 0)
    assert (used["input_tokens"], used["cached_input_tokens"], used["output_tokens"]) == (1100, 750, 30)
    assert used["reasoning_output_tokens"] == 5
    assert used["first_token_seconds"]["median"] > 0
    assert (failed["model"], failed["requests"], failed["errors"]) == ("codex", 1, 1)
    assert table[1].split()[:2] == [YESTERDAY, "-"]
    assert table[2].split()[:6] == [TODAY, "3", "1", "1.1k", "68%", "30"]
    assert [line.split()[8 if line.startswith(TODAY) else 7] for line in table[1:3]] == ["5.0k", "7.0k"]
    assert table[-1] == "3 requests, 1,100 tokens in, 30 out"
    today = dict(zip(head, rows[-1], strict=True))
    assert (today["day"], today["input_tokens"], today["account_tokens"]) == (TODAY, "1100", "7000")
    assert of_anna.startswith("No requests from ")


async def test_a_request_for_impossible_days_is_refused(bridge: Proxy) -> None:
    for query in ("days=0", "days=x", "days=3661", "days=", "days=1&by=hour"):
        refused = await bridge.client.get(f"/usage?{query}")
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == ("by" if "by" in query else "days")
    assert "history" not in (await bridge.client.get("/usage")).json()
