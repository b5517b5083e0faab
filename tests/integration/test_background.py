"""Background responses: polling, cancelling, following, and what happens to them when the server stops."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx2
import openai
import orjson
import pytest
from openai.types.responses import Response

from bridge.http import background
from tests.harness import proxy as harness
from tests.harness.program import program
from tests.harness.proxy import BOTH_KINDS, Proxy, proxy, served
from tests.harness.script import Hold, Reply, Text, Thought, begun, failed, reply
from tests.harness.upstream import Upstream
from tests.harness.websocket import websocket
from tests.integration.test_responses_clients import strict_client

pytestmark = BOTH_KINDS


@pytest.fixture
def client(bridge: Proxy) -> openai.AsyncOpenAI:
    return strict_client(bridge)


async def until(client: openai.AsyncOpenAI, response_id: str, *statuses: str | None) -> Response:
    """Poll a response until it has one of these states."""
    response = await client.responses.retrieve(response_id)
    while response.status not in statuses:
        response = await client.responses.retrieve(response_id)
    return response


async def ended(client: openai.AsyncOpenAI, response_id: str) -> Response:
    return await until(client, response_id, "completed", "failed", "incomplete", "cancelled")


def held(gate: anyio.Event, *pieces: str) -> Reply:
    """A reply that stops after its first piece until the gate is set."""
    return reply(Text(pieces or ("Hel", "lo."), Hold(gate)))


async def test_the_synchronous_client_polls_a_background_response(upstream: Upstream, home: Path) -> None:
    def poll(base_url: str) -> list[Response]:
        with openai.OpenAI(api_key="any", base_url=base_url, max_retries=0) as client:
            states = [client.responses.create(model=harness.asked, input="Hi.", background=True)]
            while states[-1].status in {"queued", "in_progress"}:
                states.append(client.responses.retrieve(states[0].id))
            with client.responses.create(model=harness.asked, input="Hi.", background=True, stream=True) as stream:
                events = [event.type for event in stream]
            assert events[:3] == ["response.created", "response.queued", "response.in_progress"]
            assert events[-1] == "response.completed"
            return states

    upstream.will_reply(reply(Thought("Hm."), Text(("Hel", "lo."))), reply("Again."))
    async with served() as server:
        first, *_, last = await anyio.to_thread.run_sync(partial(poll, server.base_url))
    assert (first.status, first.background, first.output, first.usage) == ("queued", True, [], None)
    assert (last.status, last.background, last.output_text) == ("completed", True, "Hello.")


async def test_a_background_response_survives_its_client_and_continues_a_chain(
    bridge: Proxy, client: openai.AsyncOpenAI
) -> None:
    gate = anyio.Event()
    bridge.upstream.will_reply(held(gate), reply("More."))
    with anyio.fail_after(20):
        stream = await client.responses.create(model=bridge.model, input="Hi.", background=True, stream=True)
        response_id = ""
        async for event in stream:
            if event.type == "response.created":
                response_id = event.response.id
            if event.type == "response.output_text.delta":
                break
        await stream.close()
        assert (await client.responses.retrieve(response_id)).status == "in_progress"
        gate.set()
        response = await ended(client, response_id)
        assert (response.status, response.output_text) == ("completed", "Hello.")
        await client.responses.create(model=bridge.model, input="Go on.", previous_response_id=response_id)
    texts = [item["content"][0]["text"] for item in bridge.upstream.conversation()]
    assert texts == ["Hi.", "Hello.", "Go on."]


async def followed(client: openai.AsyncOpenAI, response_id: str, after: int | None = None) -> list[dict[str, Any]]:
    """Return the events of a response to its end."""
    position = openai.omit if after is None else after
    stream = await client.responses.retrieve(response_id, stream=True, starting_after=position)
    return [event.to_dict() async for event in stream]


async def test_events_are_replayed_from_any_number_and_then_followed(bridge: Proxy, client: openai.AsyncOpenAI) -> None:
    gate = anyio.Event()
    bridge.upstream.will_reply(held(gate, "a", "b", "c"))
    with anyio.fail_after(20):
        response = await client.responses.create(model=bridge.model, input="Hi.", background=True)
        read: list[dict[str, Any]] = []
        stream = await client.responses.retrieve(response.id, stream=True)
        async for event in stream:
            read.append(event.to_dict())
            if event.type == "response.output_text.delta" and event.delta == "a":
                gate.set()
        assert [event["sequence_number"] for event in read] == [*range(len(read))]
        assert read[-1]["type"] == "response.completed"
        for after in (0, 3, len(read) - 2, len(read) - 1, 10**6):
            assert await followed(client, response.id, after) == read[after + 1 :]
        assert await followed(client, response.id) == read
    assert (await client.responses.retrieve(response.id)).to_dict() == read[-1]["response"]


async def refusal(bridge: Proxy, method: str, path: str, **json: Any) -> tuple[int, str, str]:
    body = {"model": bridge.model, "input": "Hi.", **json} if method == "POST" else None
    response = await bridge.client.request(method, path, json=body)
    error = response.json()["error"]
    return response.status_code, error["param"], error["code"]


async def test_events_that_are_not_kept_are_refused(
    bridge: Proxy, client: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = await client.responses.create(model=bridge.model, input="Hi.")
    url = f"/responses/{plain.id}?stream=true"
    assert await refusal(bridge, "GET", url) == (400, "stream", "events_not_kept")
    for wrong in ("-2", "x", "1.5", "", "1" * 30):
        assert await refusal(bridge, "GET", f"{url}&starting_after={wrong}") == (
            400,
            "starting_after",
            "invalid_value",
        )
    assert (await refusal(bridge, "GET", "/responses/resp_none?stream=true"))[0] == 404
    monkeypatch.setattr(background, "ROOM", 0)
    other = await client.responses.create(model=bridge.model, input="Hi.", background=True)
    with anyio.fail_after(20):
        await ended(client, other.id)
        while bridge.service.background.find(other.id) is not None:
            await anyio.lowlevel.checkpoint()
    assert (await refusal(bridge, "GET", f"/responses/{other.id}?stream=true"))[2] == "events_not_kept"


async def test_a_deleted_response_has_no_events(bridge: Proxy, client: openai.AsyncOpenAI) -> None:
    response = await client.responses.create(model=bridge.model, input="Hi.", background=True)
    with anyio.fail_after(20):
        assert len(await followed(client, response.id)) > 5
    await client.responses.delete(response.id)
    assert (await refusal(bridge, "GET", f"/responses/{response.id}?stream=true"))[0] == 404


async def test_a_running_and_a_waiting_response_are_cancelled_and_cancelling_twice_is_no_error(
    upstream: Upstream, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = anyio.Event()
    monkeypatch.setattr(background, "MOST", 1)
    monkeypatch.setattr(background.Background.__init__, "__defaults__", (1,))
    upstream.will_reply(begun(Text(("Hel", "lo."), Hold(gate))))
    async with proxy(upstream, home) as bridge:
        client = strict_client(bridge)
        with anyio.fail_after(20):
            first = await client.responses.create(model=bridge.model, input="one", background=True)
            stream = await client.responses.retrieve(first.id, stream=True)
            async for event in stream:
                if event.type == "response.output_text.delta":
                    break
            second = await client.responses.create(model=bridge.model, input="two", background=True)
            third = await client.responses.create(model=bridge.model, input="three", background=True)
            assert (await client.responses.retrieve(second.id)).status == "queued"
            waiting = await client.responses.cancel(second.id)
            assert (waiting.status, waiting.output) == ("cancelled", [])
            running = await client.responses.cancel(first.id)
            assert (running.status, running.output_text) == ("cancelled", "Hel")
            for response in (waiting, running):
                assert (await client.responses.retrieve(response.id)).to_dict() == response.to_dict()
                assert (await client.responses.cancel(response.id)).to_dict() == response.to_dict()
            assert (await ended(client, third.id)).status == "completed"
            with pytest.raises(openai.BadRequestError):
                await client.responses.cancel(third.id)
            assert (await followed(client, second.id))[-1]["response"] == waiting.to_dict()
    assert [item["content"][0]["text"] for item in upstream.conversation()] == ["three"]
    gate.set()


async def test_responses_beyond_the_bound_wait_and_then_run(
    upstream: Upstream, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = [anyio.Event() for _ in range(3)]
    monkeypatch.setattr(background.Background.__init__, "__defaults__", (2,))
    upstream.will_reply(*(held(gate) for gate in gates))
    async with proxy(upstream, home, answers=1, queue_patience=0.1) as bridge:
        client = strict_client(bridge)
        with anyio.fail_after(20):
            created = [
                await client.responses.create(model=bridge.model, input=str(number), background=True)
                for number in range(3)
            ]
            await upstream.wait_for_requests(2)
            await until(client, created[1].id, "in_progress")
            assert (await client.responses.retrieve(created[2].id)).status == "queued"
            for gate in gates:
                gate.set()
            for response in created:
                assert (await ended(client, response.id)).output_text == "Hello."


async def test_a_background_response_that_fails_says_why(bridge: Proxy, client: openai.AsyncOpenAI) -> None:
    assert await refusal(bridge, "POST", "/responses", background=True, store=False) == (
        400,
        "store",
        "invalid_value",
    )
    bridge.upstream.will_reply(failed("insufficient_quota", "No more."))
    with anyio.fail_after(20):
        for model, code, word in (
            (bridge.model, "rate_limit_exceeded", ""),
            ("none", "server_error", "does not exist"),
        ):
            created = await client.responses.create(model=model, input="Hi.", background=True)
            response = await ended(client, created.id)
            assert response.status == "failed"
            assert response.error is not None
            assert response.error.code == code
            assert word in response.error.message
            assert (await followed(client, created.id))[-1]["response"] == response.to_dict()


async def test_codex_that_dies_before_the_first_byte_is_replaced_without_repeated_events(
    bridge: Proxy, client: openai.AsyncOpenAI
) -> None:
    bridge.upstream.will_reply(begun().then(Hold(anyio.Event())), reply("Hello."))
    with anyio.fail_after(40):
        created = await client.responses.create(model=bridge.model, input="Hi.", background=True)
        await bridge.upstream.wait_for_requests(1)
        bridge.kill_codex()
        response = await ended(client, created.id)
        assert (response.status, response.output_text) == ("completed", "Hello.")
        kinds = [event["type"] for event in await followed(client, created.id)]
    for kind in ("created", "queued", "in_progress", "completed"):
        assert kinds.count(f"response.{kind}") == 1


@asynccontextmanager
async def stopped(
    upstream: Upstream, home: Path, store: Path, monkeypatch: pytest.MonkeyPatch, *, by_serve: bool
) -> AsyncGenerator[tuple[openai.AsyncOpenAI, list[Response]]]:
    """Stop a server with a running and a waiting response; yield a client of the next one."""
    monkeypatch.setattr(background.Background.__init__, "__defaults__", (1,))
    upstream.will_reply(begun(Text(("Hel", "lo."), Hold(anyio.Event()))))
    created: list[Response] = []
    async with proxy(upstream, home, store=str(store)) as bridge:
        client = strict_client(bridge)
        created.append(await client.responses.create(model=bridge.model, input="one", background=True))
        stream = await client.responses.retrieve(created[0].id, stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                break
        created.append(await client.responses.create(model=bridge.model, input="two", background=True))
        if by_serve:
            await bridge.service.stop(0)
            with pytest.raises(openai.InternalServerError):
                await client.responses.create(model=bridge.model, input="three", background=True)
            rest = [event async for event in stream]
            assert rest[-1].type == "response.incomplete"
    async with proxy(upstream, home, store=str(store)) as bridge:
        yield strict_client(bridge), created


@pytest.mark.parametrize("by_serve", [True, False], ids=["drained", "lifespan"])
async def test_a_server_that_stops_keeps_its_background_responses_as_incomplete_and_says_why(
    upstream: Upstream, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, by_serve: bool
) -> None:
    with anyio.fail_after(40):
        async with stopped(upstream, home, tmp_path / "s.sqlite3", monkeypatch, by_serve=by_serve) as (client, created):
            running, waiting = [await client.responses.retrieve(one.id) for one in created]
    for response, text in ((running, "Hel"), (waiting, "")):
        assert (response.status, response.output_text) == ("incomplete", text)
        assert response.error is not None
        assert response.error.code == "server_error"
        assert "stop" in response.error.message


async def test_a_signal_ends_the_program_after_its_background_responses_are_stored(
    upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    upstream.will_reply(begun(Text(("Hel", "lo."), Hold(anyio.Event()))))
    options = ("--store", str(tmp_path / "s.sqlite3"), "--grace", "0.2")
    async with httpx2.AsyncClient(timeout=20) as client:
        async with program(*options) as server:
            body = {"model": harness.asked, "input": "Hi.", "background": True}
            created = (await client.post(f"{server.base_url}/responses", json=body)).json()
            await upstream.wait_for_requests(1)
            server.process.send_signal(signal.SIGTERM)
            with anyio.fail_after(20):
                await server.process.wait()
        async with program(*options) as server:
            response = (await client.get(f"{server.base_url}/responses/{created['id']}")).json()
    assert (response["status"], response["error"]["code"]) == ("incomplete", "server_error")


async def test_the_log_has_one_entry_for_the_request_and_one_for_its_answer(
    bridge: Proxy, client: openai.AsyncOpenAI
) -> None:
    response = await client.responses.create(model=bridge.model, input="Hi.", background=True)
    with anyio.fail_after(20):
        await followed(client, response.id)
    today = orjson.loads((await bridge.client.get("/usage")).content)["today"]
    assert (today["requests"], today["output_tokens"]) == (1, 40)


async def test_a_websocket_creates_no_background_response_and_stays_open(bridge: Proxy) -> None:
    with anyio.fail_after(60):
        async with websocket(bridge.service.app) as socket:
            refused = await socket.create(model=bridge.model, input="Hi.", background=True)
            assert (refused["error"]["param"], refused["error"]["code"]) == ("background", "unsupported_value")
            assert (await socket.create(model=bridge.model, input="Hi."))["type"] == "response.completed"
