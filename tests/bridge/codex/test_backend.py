"""When the backend reads the account and the models again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import orjson
import pytest
from msgspec.structs import replace

from bridge.codex.backend import Backend, Session
from codex_rpc.background import running
from codex_rpc.client.client import Client, connect
from codex_rpc.errors import RequestRefusedError
from codex_rpc.process.child import Sink
from codex_rpc.supervisor import Supervisor
from codex_rpc.wire.calls import Account

LOGGED_IN: dict[str, Any] = {"result": {"account": {"type": "chatgpt"}, "requiresOpenaiAuth": True}}
LOGGED_OUT: dict[str, Any] = {"result": {"account": None, "requiresOpenaiAuth": True}}
REFUSED: dict[str, Any] = {"error": {"code": 1, "message": "not now"}}
OTHERS: dict[str, dict[str, Any]] = {
    "initialize": {"userAgent": "test/0.169.0"},
    "model/list": {"data": []},
}


class CodexOfAccounts:
    """Answers all calls at once except `account/read`, which it answers with the values passed to `give`."""

    def __init__(self) -> None:
        self._lines, self._answers = anyio.create_memory_object_stream[Any](100), list[dict[str, Any]]()
        self._pending: list[int] = []

    def give(self, answer: dict[str, Any]) -> None:
        self._answers.append(answer)
        self._answer()

    def say(self, wire: dict[str, Any]) -> None:
        self._lines[0].send_nowait(orjson.dumps(wire) + b"\n")

    def _answer(self) -> None:
        while self._pending and self._answers:
            self.say({"id": self._pending.pop(0), **self._answers.pop(0)})

    async def read(self, sink: Sink) -> None:
        with self._lines[0], self._lines[1]:
            async for line in self._lines[1]:
                sink(line)

    async def send(self, data: bytes) -> None:
        for wire in map(orjson.loads, data.splitlines()):
            if wire["method"] == "account/read":
                self._pending.append(wire["id"])
            elif "id" in wire:
                self.say({"id": wire["id"], "result": OTHERS[wire["method"]]})
        self._answer()

    def last_words(self) -> str:
        return ""


@asynccontextmanager
async def backend_with(codex: CodexOfAccounts) -> AsyncGenerator[Backend]:
    @asynccontextmanager
    async def open_client() -> AsyncGenerator[Client]:
        async with connect(codex, "test", "0") as client:
            yield client

    supervisor = Supervisor(open_client)
    with anyio.fail_after(5):
        async with running(supervisor.run):
            yield Backend(supervisor, patience=5)


async def test_the_old_account_is_not_returned_while_codex_is_asked_for_the_new_one() -> None:
    codex, sessions = CodexOfAccounts(), list[Session]()

    async with backend_with(codex) as backend:

        async def ask() -> None:
            sessions.append(await backend.session())

        codex.give(LOGGED_OUT)
        assert not (await backend.session()).account.ready
        codex.say({"method": "account/updated", "params": {}})
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as requests:
            requests.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            requests.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert sessions == []
            codex.give(LOGGED_IN)

    assert [session.account.ready for session in sessions] == [True, True]


async def test_a_failed_account_query_is_repeated() -> None:
    codex = CodexOfAccounts()
    async with backend_with(codex) as backend:
        codex.give(LOGGED_OUT)
        await backend.session()
        codex.say({"method": "account/updated", "params": {}})
        await anyio.wait_all_tasks_blocked()
        codex.give(REFUSED)
        with pytest.raises(RequestRefusedError):
            await backend.session()

        codex.give(LOGGED_IN)
        assert (await backend.session()).account.ready


def owner(account: Account, stamp: object = None) -> str:
    return Session(cast("Client", None), account, (), 0, stamp).owner


def test_an_account_of_chatgpt_is_the_same_after_another_login_and_with_another_plan() -> None:
    ada = Account("chatgpt", "plus", needs_login=True, email="ada@example.com", workspace="w1")
    assert owner(ada, "first") == owner(replace(ada, plan="pro"), "second")
    assert owner(ada) != owner(replace(ada, email="bob@example.com"))
    assert owner(ada) != owner(replace(ada, workspace="w2"))
    assert "ada" not in owner(ada)


@pytest.mark.parametrize("kind", ["apiKey", "amazonBedrock", None, "chatgpt"])
def test_an_account_that_codex_does_not_identify_is_another_one_after_each_login(kind: str | None) -> None:
    account = Account(kind, None, needs_login=True)
    assert owner(account, "first") == owner(account, "first") != owner(account, "second")
