"""What the status page shows of agents, and its buttons, with the real codex."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.keys.changes import add_key
from tests.harness.agents import (
    BOTH_MODES,
    DIRECT,
    KEY,
    PATIENCE,
    WITH_AGENTS,
    Said,
    agent_proxy,
    runs,
    sleepers,
    tool_outputs,
    until,
)
from tests.harness.approvals import answers, expired, respond, text_of, writes
from tests.harness.proxy import Proxy, user
from tests.harness.script import reply
from tests.harness.upstream import Upstream

pytestmark = WITH_AGENTS


async def turns(proxy: Proxy, **headers: str) -> list[dict[str, Any]]:
    return (await proxy.client.get("/usage", headers=headers)).json()["agents"]


async def stop(proxy: Proxy, turn_id: str, **headers: str) -> Any:
    return await proxy.client.post("/agents/stop", json={"turn": turn_id}, headers=headers)


async def answer(proxy: Proxy, question: str, approve: Any, **headers: str) -> Any:
    return await proxy.client.post("/agents/answer", json={"approval": question, "approve": approve}, headers=headers)


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def stop_when_it_works(proxy: Proxy, command: str, folder: Path) -> None:
    """Stop the only turn when it runs a command that writes a file, and look at what is shown of it."""
    turn: dict[str, Any] = {"doing": []}
    with anyio.fail_after(PATIENCE):
        while not turn["doing"] or not (folder / "begun").exists():
            turn = next(iter(await turns(proxy)), turn)
    assert (turn["agent"], turn["folder"], turn["key"], turn["state"]) == ("site", str(folder), None, "running")
    assert turn["doing"] == [command]
    assert code_of(await stop(proxy, "another turn")) == (404, "turn_not_found")
    assert (await stop(proxy, turn["turn"])).status_code == 200
    (folder / "begun").unlink()


@BOTH_MODES
async def test_a_turn_that_is_stopped_leaves_nothing_running(
    agent_model: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    folder, marker = tmp_path.resolve() / "site", f"sleep 300.{os.getpid()}"
    command = f"setsid {marker} & touch begun; {marker}"
    got: list[Any] = []
    async with agent_proxy(upstream, home, folder, agent_model, write=True) as proxy:
        for path, body in (
            ("/chat/completions", {"messages": [user("Wait.")]}),
            ("/responses", {"input": "Wait."}),
        ):
            upstream.will_reply(runs(agent_model, command, yield_time_ms=30000))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stop_when_it_works, proxy, command, folder)
                got.append(await proxy.client.post(path, json={"model": "codex-agent", **body}))
            assert code_of(got[-1]) == (409, "agent_stopped")
            assert got[-1].headers["x-should-retry"] == "false"
            await until(lambda: not sleepers(marker))
            assert await turns(proxy) == []
        assert len(upstream.requests) == 2
        recent = (await proxy.client.get("/usage")).json()["recent"]
        assert [one["error"] for one in recent] == ["agent_stopped", "agent_stopped"]


@pytest.mark.parametrize("said", [(True, None), (True, True), (False, None), (True, False), (False, True)])
async def test_an_approval_on_the_page_goes_on_with_the_next_request_of_the_client(
    said: tuple[bool, bool | None], upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "outside"
    (page, client), is_done = said, False not in said
    upstream.will_reply(writes(DIRECT, out), reply(Said("Done.", "final_answer")))
    async with agent_proxy(upstream, home, tmp_path / "site", ask="client") as proxy:
        first = await respond(proxy, "1")
        [turn] = await turns(proxy)
        [question] = turn["questions"]
        assert (turn["state"], turn["doing"], question["approved"]) == ("waiting", [], None)
        assert (question["action"], question["command"]) == ("run a command", f"echo written > {out}")
        assert (question["cwd"], question["reason"]) == (".", "May I?")
        assert turn["began"] <= turn["since"]
        assert (await answer(proxy, question["id"], page)).status_code == 200
        [turn] = await turns(proxy)
        assert turn["questions"][0]["approved"] is page
        # No request would receive the rest, so nothing runs yet.
        assert not out.exists()
        assert len(upstream.requests) == 1
        given = [] if client is None else answers(first, client)
        second = await respond(proxy, given, previous_response_id=first.json()["id"])
        assert second.headers["x-codex-proxy-thread"].startswith("resumed; reason=answers-came")
        assert text_of(second) == "Done."
        assert out.exists() == is_done
        assert ("rejected by user" in tool_outputs(upstream)) != is_done
        assert await turns(proxy) == []
        assert expired(await answer(proxy, question["id"], approve=True))
        assert expired(await respond(proxy, answers(first, True), previous_response_id=first.json()["id"]))
    assert len(upstream.requests) == 2


async def test_a_turn_that_waits_is_stopped_and_a_late_answer_does_nothing(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "outside"
    upstream.will_reply(writes(DIRECT, out), reply("Again."))
    async with agent_proxy(upstream, home, tmp_path / "site", ask="client") as proxy:
        first = await respond(proxy, "1")
        [turn] = await turns(proxy)
        assert (await answer(proxy, turn["questions"][0]["id"], approve=True)).status_code == 200
        assert (await stop(proxy, turn["turn"])).status_code == 200
        assert await turns(proxy) == []
        assert expired(await respond(proxy, answers(first, True), previous_response_id=first.json()["id"]))
        assert not out.exists()
        assert text_of(await respond(proxy, "1")) == "Again."


async def test_only_who_has_the_key_sees_and_presses_the_buttons_and_no_other_web_page(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    out, keys = tmp_path / "outside", tmp_path / "keys.toml"
    anna, ben = ({"authorization": f"Bearer {add_key(keys, name, agents=('all',))}"} for name in ("anna", "ben"))
    upstream.will_reply(writes(DIRECT, out), reply("Done."))
    settings = {"keys_file": str(keys)}
    async with agent_proxy(upstream, home, tmp_path / "site", ask="client", settings=settings) as proxy:
        own = dict(proxy.client.headers)
        proxy.client.headers.update(anna)
        first = await respond(proxy, "1")
        [turn] = await turns(proxy)
        question = turn["questions"][0]["id"]
        assert turn["key"] == "anna"
        assert await turns(proxy, **ben) == []
        assert [one["key"] for one in await turns(proxy, authorization=own["authorization"])] == ["anna"]
        assert expired(await answer(proxy, question, True, **ben))
        assert code_of(await stop(proxy, turn["turn"], **ben)) == (404, "turn_not_found")
        for headers in (
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ):
            assert (await answer(proxy, question, True, **headers)).status_code == 403
            assert (await stop(proxy, turn["turn"], **headers)).status_code == 403
        for headers in ({"authorization": ""}, {"authorization": "Bearer wrong"}):
            for path in ("/agents/answer", "/agents/stop", f"/agents/stop?key={KEY}"):
                sent = await proxy.client.post(path, json={"turn": turn["turn"]}, headers=headers)
                assert code_of(sent) == (401, "invalid_api_key")
        for path in ("/agents/answer", "/agents/stop"):
            assert (await proxy.client.get(path)).status_code == 405
            assert "access-control-allow-origin" not in (await proxy.client.post(path, json={})).headers
        for approve in ("true", 1, None):
            assert (await answer(proxy, question, approve)).status_code == 400
        [turn] = await turns(proxy)
        assert turn["questions"][0]["approved"] is None
        assert (await answer(proxy, question, True, origin="http://localhost")).status_code == 200
        second = await respond(proxy, "Go on.", previous_response_id=first.json()["id"])
        assert text_of(second) == "Done."
    assert out.exists()
