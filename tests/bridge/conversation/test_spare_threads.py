"""Threads that are started ahead of requests: which, how many, and when they are unloaded."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import anyio
import anyio.lowlevel
import pytest

from bridge.conversation import spare_threads
from bridge.conversation.spare_threads import Spares
from codex_rpc.client.client import Client
from codex_rpc.client.inbox import Inbox
from codex_rpc.errors import CodexUnavailableError
from codex_rpc.wire.calls import Call

T = TypeVar("T")

ONE, TWO, THREE = ({"model": name} for name in ("one", "two", "three"))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare_threads, "QUIET", 0)


class FakeClient:
    """Starts and unloads threads whose id is their model."""

    def __init__(self) -> None:
        self.alive = True
        self.fails = False
        self.loaded: list[str] = []
        self.subscribed: set[str] = set()

    async def call(self, call: Call[T], deadline: float = 0, *, shield: bool = False) -> T:
        del deadline
        assert shield
        await anyio.lowlevel.checkpoint()
        if self.fails:
            raise CodexUnavailableError("gone")
        match call.method:
            case "thread/start":
                self.loaded.append(call.params["model"])
                return call.read({"thread": {"id": call.params["model"]}})
            case "thread/unsubscribe":
                self.loaded.remove(call.params["threadId"])
                return call.read({})
            case _:
                raise AssertionError(call.method)

    def subscribe(self, thread_id: str) -> Inbox:
        self.subscribed.add(thread_id)
        return Inbox()

    def unsubscribe(self, thread_id: str) -> None:
        self.subscribed.remove(thread_id)


@asynccontextmanager
async def keeping(spares: Spares) -> AsyncGenerator[None]:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(spares.keep_ready)
            yield
            tasks.cancel_scope.cancel()


async def want(spares: Spares, client: FakeClient, *wanted: Mapping[str, Any]) -> None:
    """Want threads with these parameters and wait until they are started."""
    for params in wanted:
        spares.want(cast("Client", client), params)
        await anyio.wait_all_tasks_blocked()


def take(spares: Spares, client: FakeClient, params: Mapping[str, Any]) -> str | None:
    thread = spares.take(cast("Client", client), params)
    return thread.id if thread else None


async def test_a_spare_thread_is_taken_once_and_only_for_its_parameters():
    spares, client = Spares(2), FakeClient()
    async with keeping(spares):
        await want(spares, client, ONE)

    assert take(spares, client, TWO) is None
    assert take(spares, client, ONE) == "one"
    assert take(spares, client, ONE) is None
    assert client.loaded == ["one"]
    assert client.subscribed == {"one"}


async def test_there_is_one_thread_for_each_of_the_parameters_used_last():
    spares, client = Spares(2), FakeClient()
    async with keeping(spares):
        await want(spares, client, ONE, TWO, ONE, THREE)

        assert sorted(client.loaded) == ["one", "three"]
        assert client.subscribed == {"one", "three"}
        assert spares.ready == 2


async def test_wanted_threads_beyond_the_limit_are_not_started():
    spares, client = Spares(1), FakeClient()
    for params in (ONE, TWO, THREE):
        spares.want(cast("Client", client), params)
    async with keeping(spares):
        await anyio.wait_all_tasks_blocked()

    assert client.loaded == ["three"]


async def test_no_thread_is_started_if_the_limit_is_zero():
    spares, client = Spares(0), FakeClient()
    async with keeping(spares):
        await want(spares, client, ONE)

    assert client.loaded == []


async def test_the_threads_of_another_codex_are_unloaded():
    spares, old, new = Spares(2), FakeClient(), FakeClient()
    async with keeping(spares):
        await want(spares, old, ONE, TWO)
        assert take(spares, new, ONE) is None
        spares.forget_other_clients(cast("Client", new))
        await anyio.wait_all_tasks_blocked()

    assert old.loaded == []
    assert old.subscribed == set()
    assert spares.ready == 0


async def test_a_thread_of_a_codex_that_has_ended_is_not_taken():
    spares, client = Spares(2), FakeClient()
    async with keeping(spares):
        await want(spares, client, ONE)
        client.alive, client.fails = False, True
        assert take(spares, client, ONE) is None
        await anyio.wait_all_tasks_blocked()

    assert client.subscribed == set()


async def test_stale_spare_threads_are_unloaded(monkeypatch: pytest.MonkeyPatch):
    spares, client = Spares(2), FakeClient()
    async with keeping(spares):
        await want(spares, client, ONE)
        monkeypatch.setattr(spare_threads, "STALE", 0)
        await want(spares, client, TWO)
        await want(spares, client, THREE)

    assert "one" not in client.loaded


async def test_after_a_failed_start_a_thread_is_started_only_when_wanted_again():
    spares, client = Spares(2), FakeClient()
    async with keeping(spares):
        client.fails = True
        await want(spares, client, ONE)
        client.fails = False
        await want(spares, client, TWO)

    assert client.loaded == ["two"]


async def test_a_prepared_thread_is_started_at_once_and_replaces_the_one_wanted_longest_ago() -> None:
    client, spares = FakeClient(), Spares(2)
    for params in (ONE, TWO, TWO, THREE):
        await spares.prepare(cast("Client", client), params)
    assert client.loaded == ["one", "two", "three"]
    assert spares.ready == 2
    assert spares.take(cast("Client", client), ONE) is None
    taken = spares.take(cast("Client", client), THREE)
    assert taken is not None
    assert taken.id == "three"


async def test_a_thread_that_is_prepared_twice_at_once_is_kept_once() -> None:
    client, spares = FakeClient(), Spares(2)
    async with keeping(spares):
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(spares.prepare, cast("Client", client), ONE)
        assert spares.ready == 1
        while len(client.loaded) > 1:
            await anyio.lowlevel.checkpoint()


async def test_without_spares_nothing_is_prepared_and_a_failure_is_ignored() -> None:
    client = FakeClient()
    await Spares(0).prepare(cast("Client", client), ONE)
    client.fails = True
    spares = Spares(1)
    await spares.prepare(cast("Client", client), ONE)
    assert (client.loaded, spares.ready) == ([], 0)
