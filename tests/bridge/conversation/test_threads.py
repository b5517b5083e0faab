from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from bridge.codex.backend import Session
from bridge.conversation import spare_threads
from bridge.conversation.events import Failed, Finished
from bridge.conversation.limits import Limits
from bridge.conversation.prompt import Item, Prompt, function_call, function_call_output, message
from bridge.conversation.thread_params import thread_start_params
from bridge.conversation.threads import Threads
from bridge.conversation.tools import Tool, Toolbox
from bridge.errors import ApiError
from codex_rpc.client.client import Client
from codex_rpc.client.inbox import Inbox
from codex_rpc.errors import CodexError, RequestRefusedError
from codex_rpc.wire.calls import Account, Call
from codex_rpc.wire.events import Event, ToolCallAsked, Warned
from codex_rpc.wire.messages import Request
from tests.bridge.conversation import codex_events
from tests.bridge.conversation.codex_events import TURN, ended, used

T = TypeVar("T")

Q, Q2, Q3 = (message("user", text) for text in ("one?", "two?", "three?"))
A, A2 = (message("assistant", text) for text in ("one.", "two."))
CALL, OUT = function_call("c1", "look", "{}"), function_call_output("c1", "output")
PLAIN = Prompt("gpt", (), Toolbox((Tool.function("look", "", {}),)))


def says(text: str) -> list[Event]:
    return [codex_events.message(text), used(None), ended()]


CALLS = [
    codex_events.item(dict(CALL)),
    used(None),
    ToolCallAsked("", TURN, "c1", CALL["name"], {}, request=Request("ask c1", "", {})),
]


class FakeCodex:
    """Records its calls in order; each turn yields the next events of `script`, after its end the text `one.`."""

    def __init__(self, *script: Sequence[Event]) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.refuses = ""
        self.script = deque(script)
        self.inboxes: dict[str, Inbox] = {}
        self.gone = anyio.Semaphore(0)
        self.may_go = anyio.Event()
        self.may_go.set()
        self.alive = True
        self.session = Session(cast("Client", self), Account("chatgpt", None, needs_login=True), (), 0)
        self._threads = 0

    async def call(self, call: Call[T], deadline: float = 0, *, shield: bool = False) -> T:
        del deadline
        assert shield == (call.method != "thread/inject_items")
        scope = anyio.CancelScope(shield=shield)
        with scope:
            await anyio.lowlevel.checkpoint()
            return call.read(await self._result(call.method, call.params))
        raise AssertionError("this scope is never cancelled")

    async def call_both(self, first: Call[None], second: Call[T]) -> tuple[CodexError | None, T]:
        """Like codex, accept the second call even if the first one is refused."""
        failure = None
        try:
            await self._result(first.method, first.params)
        except CodexError as refusal:
            failure = refusal
        return failure, await self.call(second, shield=True)

    async def _result(self, method: str, params: Mapping[str, Any]) -> Any:
        if method == "thread/start":
            self._threads += 1
            self.calls.append(("start", params))
            return {"thread": {"id": f"t{self._threads}"}}
        thread: str = params["threadId"]
        self.calls.append((method.partition("/")[2], thread, *[params[key] for key in params if key != "threadId"]))
        if method == self.refuses:
            self.refuses = ""
            raise RequestRefusedError(method, -32600, "no")
        match method:
            case "turn/start":
                for event in self.script.popleft() if self.script else says("one."):
                    self.inboxes[thread].put(event, 1)
                return {"turn": {"id": TURN}}
            case "thread/unsubscribe":
                await self.may_go.wait()
            case "turn/interrupt" | "thread/inject_items":
                pass
            case _:
                raise AssertionError(method)
        return {}

    def subscribe(self, thread_id: str) -> Inbox:
        return self.inboxes.setdefault(thread_id, Inbox())

    def unsubscribe(self, thread_id: str) -> None:
        del self.inboxes[thread_id]
        self.gone.release()

    def answer(self, request: Request, result: Any) -> None:
        self.calls.append(("answer", request.id, result["contentItems"][0]["text"]))

    def take_calls(self) -> list[tuple[Any, ...]]:
        calls, self.calls = self.calls, []
        return calls


def new_threads(most: int = 9, longest: float = 600) -> Threads:
    return Threads("/empty", most=most, longest=longest, idle_timeout=60)


async def ask(
    threads: Threads, codex: FakeCodex, *items: Item, of: Prompt = PLAIN, limits: Limits | None = None
) -> str:
    """Run a prompt to the end of its answer; return the thread outcome."""
    with anyio.fail_after(5):
        async with threads.answer(codex.session, replace(of, items=items), limits or Limits()) as turn:
            while not isinstance((await turn.next_events())[-1], Finished | Failed):
                pass
        return turn.thread_outcome


@asynccontextmanager
async def tidying(threads: Threads) -> AsyncGenerator[None]:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(threads.keep_tidy)
            yield
            tasks.cancel_scope.cancel()


NOTHING: list[Item] = []
START = ("start", thread_start_params(PLAIN, "/empty"))


async def test_a_new_thread_gets_the_whole_conversation() -> None:
    threads, codex = new_threads(), FakeCodex()
    of = replace(PLAIN, schema={"type": "object"}, format_note="JSON!", choice_note="Call!")
    assert await ask(threads, codex, Q, Q2, of=of) == "new; reason=first-request"
    notes = [message("developer", "JSON!"), message("developer", "Call!")]
    injected = ("inject_items", "t1", [*notes, Q, Q2])
    assert codex.calls == [START, injected, ("start", "t1", NOTHING, {"type": "object"})]
    assert threads.waiting == 1


async def test_a_live_thread_gets_only_the_new_items() -> None:
    threads, codex = new_threads(), FakeCodex()
    await ask(threads, codex, Q)
    codex.take_calls()
    assert await ask(threads, codex, Q, A, Q2) == "continued; reason=same-history"
    assert codex.calls == [("inject_items", "t1", [Q2]), ("start", "t1", NOTHING)]


async def test_a_conversation_without_new_items_is_not_continued() -> None:
    threads, codex = new_threads(), FakeCodex()
    await ask(threads, codex, Q)
    codex.take_calls()
    assert await ask(threads, codex, Q, A) == "rebuilt; reason=unknown-history"
    assert codex.calls == [START, ("inject_items", "t2", [Q, A]), ("start", "t2", NOTHING)]


@pytest.mark.parametrize("more", [[], [Q2]], ids=["outputs", "outputs and a message"])
async def test_items_after_tool_outputs_are_injected_before_the_outputs_are_handed_over(more: list[Item]) -> None:
    threads, codex = new_threads(), FakeCodex(CALLS)
    await ask(threads, codex, Q)
    codex.take_calls()
    for event in says("one."):
        codex.inboxes["t1"].put(event, 1)
    assert await ask(threads, codex, Q, CALL, OUT, *more) == "resumed-tools; reason=outputs-came"
    injected = [("inject_items", "t1", more)] if more else []
    assert codex.take_calls() == [*injected, ("answer", "ask c1", "output")]
    assert await ask(threads, codex, Q, CALL, OUT, *more, A, Q3) == "continued; reason=same-history"


@pytest.mark.parametrize("refused", ["thread/inject_items", "turn/start"])
async def test_a_conversation_whose_thread_codex_refuses_is_rebuilt(refused: str) -> None:
    reasoning = {"type": "reasoning", "encrypted_content": "x"}
    threads, codex = new_threads(), FakeCodex([codex_events.item(reasoning), *says("one.")])
    await ask(threads, codex, Q)
    codex.take_calls()
    codex.refuses = refused
    assert await ask(threads, codex, Q, A, Q2) == "rebuilt; reason=thread-refused"
    undone = [("interrupt", "t1", TURN)] if refused == "thread/inject_items" else []
    tried = [("inject_items", "t1", [Q2]), ("start", "t1", NOTHING), *undone, ("unsubscribe", "t1")]
    whole = ("inject_items", "t2", [Q, reasoning, A, Q2])
    assert codex.calls == [*tried, START, whole, ("start", "t2", NOTHING)]
    assert list(codex.inboxes) == ["t2"]
    assert threads.waiting == 1


async def test_a_prompt_that_codex_refuses_fails_and_leaves_no_thread() -> None:
    threads, codex = new_threads(), FakeCodex()
    codex.refuses = "thread/inject_items"
    with pytest.raises(RequestRefusedError):
        await ask(threads, codex, Q)
    assert codex.calls[1:] == [
        ("inject_items", "t1", [Q]),
        ("start", "t1", NOTHING),
        ("interrupt", "t1", TURN),
        ("unsubscribe", "t1"),
    ]
    assert (codex.inboxes, threads.waiting) == ({}, 0)


async def test_an_answer_that_is_left_early_is_interrupted_and_its_thread_closed() -> None:
    threads, codex = new_threads(), FakeCodex([codex_events.delta("one.")])
    with anyio.fail_after(5):
        async with threads.answer(codex.session, replace(PLAIN, items=(Q,)), Limits()) as turn:
            await turn.next_events()
    assert codex.calls[-2:] == [("interrupt", "t1", TURN), ("unsubscribe", "t1")]
    assert (codex.inboxes, threads.waiting) == ({}, 0)
    assert await ask(threads, codex, Q, A, Q2) == "rebuilt; reason=turn-ended-early"


async def test_a_cancelled_answer_is_interrupted() -> None:
    threads, codex = new_threads(), FakeCodex([])
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, threads, codex, Q)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert codex.calls[-2:] == [("interrupt", "t1", TURN), ("unsubscribe", "t1")]


@pytest.mark.parametrize(
    ("events", "limits", "reason"),
    [
        ([codex_events.message("one."), ended("failed")], Limits(), "thread-spoilt"),
        ([Warned("", "Falling back from WebSockets to HTTPS"), *says("one.")], Limits(), "thread-spoilt"),
        ([codex_events.delta("one.")], Limits(max_tokens=1), "turn-ended-early"),
    ],
    ids=["failed", "fell back", "limit"],
)
async def test_a_thread_in_an_unusable_state_is_not_used_again(
    events: list[Event], limits: Limits, reason: str
) -> None:
    threads, codex = new_threads(), FakeCodex(events)
    await ask(threads, codex, Q, limits=limits)
    assert (codex.inboxes, threads.waiting) == ({}, 0)
    assert await ask(threads, codex, Q, A, Q2) == f"rebuilt; reason={reason}"


async def test_with_too_many_threads_the_longest_unused_is_closed() -> None:
    threads, codex = new_threads(most=2), FakeCodex(says("one."), CALLS)
    async with tidying(threads):
        await ask(threads, codex, Q)
        await ask(threads, codex, Q2)
        await ask(threads, codex, Q, A, Q2)
        await ask(threads, codex, Q3)
        await codex.gone.acquire()
    assert codex.calls[-2:] == [("start", "t3", NOTHING), ("unsubscribe", "t1")]
    assert threads.waiting == 2
    assert await ask(threads, codex, Q, A, Q2, A, Q3) == "rebuilt; reason=evicted"


async def test_one_shot_requests_do_not_close_the_suspended_turn_of_an_agent() -> None:
    threads, codex = new_threads(most=4), FakeCodex(CALLS)
    async with tidying(threads):
        await ask(threads, codex, Q)
        for number in range(8):
            await ask(threads, codex, message("user", f"ping {number}"))
        for _ in range(5):
            await codex.gone.acquire()
    assert threads.states() == {"running": 0, "idle": 3, "suspended": 1}
    for event in says("done."):
        codex.inboxes["t1"].put(event, 1)
    assert await ask(threads, codex, Q, CALL, OUT) == "resumed-tools; reason=outputs-came"


async def test_equal_requests_keep_one_thread() -> None:
    threads, codex = new_threads(), FakeCodex()
    async with tidying(threads):
        for _ in range(4):
            await ask(threads, codex, Q)
        for _ in range(3):
            await codex.gone.acquire()
    assert [call[1] for call in codex.calls if call[0] == "unsubscribe"] == ["t1", "t2", "t3"]
    assert threads.waiting == 1
    assert await ask(threads, codex, Q, A, Q2) == "continued; reason=same-history"
    assert codex.calls[-1][1] == "t4"


async def test_unused_threads_are_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.conversation.threads.LOOK_AROUND", 0.001)
    threads, codex = new_threads(longest=0), FakeCodex()
    async with tidying(threads):
        await ask(threads, codex, Q)
        await codex.gone.acquire()
    assert (codex.calls[-1], threads.waiting) == (("unsubscribe", "t1"), 0)
    assert await ask(threads, codex, Q, A, Q2) == "rebuilt; reason=expired"


async def test_threads_are_closed_side_by_side_while_the_others_answer() -> None:
    threads, codex = new_threads(most=1), FakeCodex()
    for question in (Q, Q2, Q3):
        await ask(threads, codex, question)
    codex.may_go = anyio.Event()
    async with tidying(threads):
        await anyio.wait_all_tasks_blocked()
        closed, waiting = codex.calls[-2:], threads.waiting
        outcome = await ask(threads, codex, Q3, A, Q)
        codex.may_go.set()
    assert (closed, waiting) == ([("unsubscribe", "t1"), ("unsubscribe", "t2")], 1)
    assert outcome == "continued; reason=same-history"


async def test_the_threads_of_a_replaced_codex_are_forgotten() -> None:
    threads, old, new = new_threads(), FakeCodex(), FakeCodex()
    await ask(threads, old, Q)
    old.take_calls()
    assert await ask(threads, new, Q, A, Q2) == "rebuilt; reason=codex-restarted"
    assert (old.calls, threads.waiting) == ([], 1)


@pytest.mark.parametrize(("first", "then"), [("Call!", None), (None, "Call!")], ids=["dropped", "added"])
async def test_a_thread_whose_notes_changed_at_its_tool_outputs_is_not_used_again(
    first: str | None, then: str | None
) -> None:
    threads, codex = new_threads(), FakeCodex(CALLS)
    await ask(threads, codex, Q, of=replace(PLAIN, choice_note=first))
    for event in says("one."):
        codex.inboxes["t1"].put(event, 1)
    later = replace(PLAIN, choice_note=then)
    assert await ask(threads, codex, Q, CALL, OUT, of=later) == "resumed-tools; reason=outputs-came"
    assert (await ask(threads, codex, Q, CALL, OUT, A, Q2, of=later)).startswith("rebuilt")


async def test_the_thread_of_a_silent_model_is_closed() -> None:
    threads, codex = Threads("/empty", most=9, longest=9, idle_timeout=0.01), FakeCodex([])
    with pytest.raises(ApiError):
        await ask(threads, codex, Q)
    assert codex.calls[-2:] == [("interrupt", "t1", TURN), ("unsubscribe", "t1")]


async def test_an_answer_with_calls_passed_on_one_at_a_time_is_rebuilt_as_sent() -> None:
    reasoning = codex_events.item({"type": "reasoning", "encrypted_content": "x"})
    other = codex_events.item({**CALL, "call_id": "c2"})
    threads, codex, next_codex = new_threads(), FakeCodex([reasoning, CALLS[0], other, used(None)]), FakeCodex()
    of = replace(PLAIN, one_call_at_a_time=True)
    await ask(threads, codex, Q, of=of)
    assert await ask(threads, next_codex, Q, CALL, OUT, of=of) == "rebuilt; reason=codex-restarted"
    assert next_codex.calls[1] == ("inject_items", "t1", [Q, CALL, OUT])


async def test_a_spare_thread_that_codex_refuses_is_replaced_by_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare_threads, "QUIET", 0)
    threads, codex = Threads("/empty", most=9, longest=600, idle_timeout=60, spares=1), FakeCodex()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads.keep_spares)
        await ask(threads, codex, Q)
        await anyio.wait_all_tasks_blocked()
        assert threads.spares == 1
        codex.take_calls()
        codex.refuses = "thread/inject_items"

        assert await ask(threads, codex, Q2) == "new; reason=first-request"

        assert codex.take_calls() == [
            ("inject_items", "t2", [Q2]),
            ("start", "t2", NOTHING),
            ("interrupt", "t2", TURN),
            ("unsubscribe", "t2"),
            START,
            ("inject_items", "t3", [Q2]),
            ("start", "t3", NOTHING),
        ]
        tasks.cancel_scope.cancel()


async def test_a_spare_thread_does_not_count_as_waiting_for_its_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare_threads, "QUIET", 0)
    threads, codex = Threads("/empty", most=9, longest=600, idle_timeout=60, spares=1), FakeCodex()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads.keep_spares)
        await ask(threads, codex, Q)
        await anyio.wait_all_tasks_blocked()

        assert (threads.waiting, threads.spares) == (1, 1)
        assert threads.states() == {"running": 0, "idle": 1, "suspended": 0}
        tasks.cancel_scope.cancel()
