"""A client over a scripted codex: which caller gets which answer, and how every wait ends with the connection."""

from __future__ import annotations

import gc
import json
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import anyio
import pytest

from codex_rpc.background import running
from codex_rpc.client.client import Client, connect
from codex_rpc.client.inbox import Inbox
from codex_rpc.errors import (
    CodexError,
    ConnectionLostError,
    DeadlineExceededError,
    InboxOverflowError,
    OverloadedError,
    ProtocolError,
    RequestRefusedError,
    UnsendableError,
)
from codex_rpc.process.child import Sink
from codex_rpc.wire.agent_items import ContextCompaction
from codex_rpc.wire.approvals import ApprovalAsked
from codex_rpc.wire.calls import (
    UNWANTED,
    Account,
    Call,
    account_read,
    model_list,
    thread_inject_items,
    thread_start,
    thread_unsubscribe,
    turn_interrupt,
    turn_start,
)
from codex_rpc.wire.events import (
    Event,
    FinishedTurn,
    ItemCompleted,
    LoginCompleted,
    MessageDelta,
    ToolCallAsked,
    TurnCompleted,
)
from codex_rpc.wire.framing import LineSplitter
from codex_rpc.wire.messages import Request, Response
from codex_rpc.wire.protocol import read_agent_event, read_agent_request, tool_call_result

T = TypeVar("T")

Wire = dict[str, Any]

THREAD: Wire = {"result": {"thread": {"id": "t"}}}
OVERLOADED: Wire = {"error": {"code": -32001, "message": "try again later"}}
TAKEN: Wire = {"result": {}}
TURN: Wire = {"result": {"turn": {"id": "u"}}}
REFUSED: Wire = {"error": {"code": -32600, "message": "no such item"}}
INITIALIZED: Wire = {"result": {"userAgent": "test/0.169.0 (Linux)"}}

INJECT, START = thread_inject_items("t", [{"a": 1}]), turn_start("t")


class ScriptedCodex:
    """The other end of a client: answers the calls of its script, in order, and records every line it gets."""

    def __init__(self, *script: tuple[str, Wire | None]) -> None:
        self.script = deque(script)
        self.told: list[Any] = []
        self.writes = 0
        self.gate = anyio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self._words = ""
        self._coming: deque[bytes] = deque()
        self._news = anyio.Event()

    def say(self, *lines: Wire | bytes) -> None:
        """Send these lines in one chunk."""
        self.say_bytes(b"".join((it if isinstance(it, bytes) else json.dumps(it).encode()) + b"\n" for it in lines))

    def say_bytes(self, *chunks: bytes) -> None:
        self._coming.extend(chunks)
        self._happened()

    def end(self, words: str = "") -> None:
        self._words = words
        self.say_bytes(b"")

    async def was_told(self, count: int) -> None:
        """Wait until `count` lines have been written in total."""
        while len(self.told) < count:
            await self._news.wait()

    def _happened(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def read(self, sink: Sink) -> None:
        while True:
            while not self._coming:
                await self._news.wait()
            if not (data := self._coming.popleft()):
                return
            sink(data)

    async def send(self, data: bytes) -> None:
        await self.gate.wait()
        if self.failure:
            raise self.failure
        assert data.endswith(b"\n"), f"half a line was written: {data!r}"
        self.writes += 1
        for line in data.splitlines():
            wire = json.loads(line)
            self.told.append(wire)
            if "method" in wire and "id" in wire:
                assert self.script, f"codex did not expect to be called: {wire}"
                method, answer = self.script.popleft()
                assert wire["method"] == method
                if answer is not None:
                    self.say({"id": wire["id"], **answer})
        self._happened()

    def last_words(self) -> str:
        return self._words


@asynccontextmanager
async def session(codex: ScriptedCodex) -> AsyncGenerator[Client]:
    """A client after the handshake; checks that the whole script was played."""
    client = Client(codex)
    with anyio.fail_after(5):
        async with running(client.read_to_the_end, client.write_forever):
            yield client
    assert not codex.script


def delta(thread_id: str, text: str) -> Wire:
    params = {"threadId": thread_id, "turnId": "u", "itemId": "i", "delta": text}
    return {"method": "item/agentMessage/delta", "params": params}


def completed(thread_id: str) -> Wire:
    turn: Wire = {"id": "u", "items": [], "status": "completed"}
    return {"method": "turn/completed", "params": {"threadId": thread_id, "turn": turn}}


def asked(request_id: int | str, method: str, **params: Any) -> Wire:
    return {"id": request_id, "method": method, "params": params}


def tool_call(request_id: int | str, thread_id: str, call_id: str = "c", **more: Any) -> Wire:
    params = {"threadId": thread_id, "turnId": "u", "callId": call_id, "tool": "add", "arguments": {"a": 1}, **more}
    return asked(request_id, "item/tool/call", **params)


def tool_call_event(wire: Wire) -> ToolCallAsked:
    params = wire["params"]
    request = Request(wire["id"], wire["method"], params)
    return ToolCallAsked(params["threadId"], "u", params["callId"], "add", {"a": 1}, request=request)


def refused(request_id: int | str) -> Wire:
    return {"id": request_id, "error": {"code": -32601, "message": "this client does not support it", "data": None}}


async def take(inbox: Inbox, count: int) -> list[Event]:
    """Take `count` events, however they arrive."""
    events: list[Event] = []
    while len(events) < count:
        events += await inbox.take()
    return events


async def fails(action: Callable[[], Awaitable[object]], failures: list[CodexError]) -> None:
    """Record the failure of an action that must fail."""
    with pytest.raises(CodexError) as caught:
        await action()
    failures.append(caught.value)


async def keep(action: Callable[[], Awaitable[T]], outcomes: list[T]) -> None:
    """Record the result of an action."""
    outcomes.append(await action())


async def is_empty(inbox: Inbox) -> bool:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await inbox.take()
    return scope.cancelled_caught


# ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_call_returns_the_result_that_codex_sends():
    codex = ScriptedCodex(("thread/start", THREAD), ("thread/inject_items", {"result": {}}))
    async with session(codex) as client:
        assert await client.call(thread_start({"ephemeral": True})) == "t"
        assert await client.call(thread_inject_items("t", [{"type": "message"}])) is None

    assert codex.told == [
        asked(1, "thread/start", ephemeral=True),
        asked(2, "thread/inject_items", threadId="t", items=[{"type": "message"}]),
    ]


async def test_an_answer_is_not_kept_once_its_caller_has_it():
    result = {"thread": {"id": "of this test alone"}}
    codex = ScriptedCodex(("thread/start", {"result": result}))
    gc.freeze()  # the collector then looks only at what this test makes
    try:
        async with session(codex) as client:
            await client.call(thread_start({}))
            await anyio.wait_all_tasks_blocked()  # until then the event loop holds the message that woke this task
            gc.collect()
            assert not [kept for kept in gc.get_objects() if isinstance(kept, Response) and kept.result == result]
    finally:
        gc.unfreeze()


async def test_answers_find_their_callers_in_any_order():
    codex = ScriptedCodex(("thread/start", None), ("thread/start", None))
    results: dict[str, str] = {}

    async def start(name: str) -> None:
        results[name] = await client.call(thread_start({"name": name}))

    async with session(codex) as client, anyio.create_task_group() as group:
        group.start_soon(start, "one")
        group.start_soon(start, "two")
        await codex.was_told(2)
        for wire in reversed(codex.told):
            codex.say({"id": wire["id"], "result": {"thread": {"id": f"thread of {wire['params']['name']}"}}})

    assert results == {"one": "thread of one", "two": "thread of two"}


async def test_an_answer_that_arrives_byte_by_byte_is_read_like_one_that_arrives_whole():
    codex = ScriptedCodex(("thread/start", None))

    async def answer() -> None:
        await codex.was_told(1)
        line = json.dumps({"id": 1, **THREAD}).encode() + b"\n"
        codex.say_bytes(*(line[at : at + 1] for at in range(len(line))))

    async with session(codex) as client, running(answer):
        assert await client.call(thread_start({})) == "t"


async def test_an_error_answer_is_raised_with_its_code_reason_and_data():
    error = {"code": -32600, "message": "invalid dynamic tool name", "data": {"name": "a b"}}
    codex = ScriptedCodex(("thread/start", {"error": error}))
    async with session(codex) as client:
        with pytest.raises(RequestRefusedError) as caught:
            await client.call(thread_start({}))

    refusal = caught.value
    assert type(refusal) is RequestRefusedError
    assert (refusal.method, refusal.code, refusal.reason, refusal.data) == ("thread/start", *error.values())
    assert str(refusal) == "codex refused thread/start: invalid dynamic tool name (-32600)"


@pytest.mark.parametrize("result", [None, {}, [], {"thread": "t"}, {"thread": {"name": "t"}}])
async def test_a_result_that_does_not_fit_the_schema_is_a_protocol_error(result: Any):
    codex = ScriptedCodex(("thread/start", {"result": result}), ("thread/start", THREAD))
    async with session(codex) as client:
        with pytest.raises(ProtocolError, match="thread/start"):
            await client.call(thread_start({}))
        assert await client.call(thread_start({})) == "t"


async def test_an_overloaded_codex_is_called_again_until_it_answers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("codex_rpc.client.caller.OVERLOAD_PAUSE", 0.0001)
    codex = ScriptedCodex(("thread/start", OVERLOADED), ("thread/start", OVERLOADED), ("thread/start", THREAD))
    async with session(codex) as client:
        assert await client.call(thread_start({"a": 1})) == "t"

    assert codex.told == [asked(request_id, "thread/start", a=1) for request_id in (1, 2, 3)]


async def test_an_overloaded_codex_is_not_called_again_after_the_deadline(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("codex_rpc.client.caller.OVERLOAD_PAUSE", 60)
    codex = ScriptedCodex(("thread/start", OVERLOADED))
    async with session(codex) as client:
        with pytest.raises(OverloadedError):
            await client.call(thread_start({}), deadline=1)


async def test_a_call_fails_at_its_deadline_and_the_late_answer_is_skipped():
    codex = ScriptedCodex(("model/list", None), ("thread/start", THREAD))
    async with session(codex) as client:
        with pytest.raises(DeadlineExceededError, match=r"model/list within 0.01 seconds"):
            await client.call(model_list(), deadline=0.01)
        codex.say({"id": 1, "result": {"data": []}})
        assert await client.call(thread_start({})) == "t"


async def test_a_cancelled_call_forgets_its_id_and_the_late_answer_is_skipped():
    codex = ScriptedCodex(("model/list", None), ("thread/start", THREAD))
    async with session(codex) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call, model_list())
            await codex.was_told(1)
            group.cancel_scope.cancel()
        codex.say({"id": 1, "result": {"data": []}})
        assert await client.call(thread_start({})) == "t"


async def test_a_shielded_call_gets_its_answer_even_if_its_caller_is_cancelled():
    codex = ScriptedCodex(("turn/start", None))
    outcomes: list[str] = []
    async with session(codex) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(keep, lambda: client.call(turn_start("t"), shield=True), outcomes)
        await codex.was_told(1)
        tasks.cancel_scope.cancel()
        codex.say({"id": 1, **TURN})

    assert outcomes == ["u"]


async def test_a_shielded_call_still_has_its_deadline():
    codex = ScriptedCodex(("turn/start", None))
    failures: list[CodexError] = []
    async with session(codex) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(fails, lambda: client.call(turn_start("t"), 1, shield=True), failures)
        await codex.was_told(1)
        tasks.cancel_scope.cancel()

    assert [type(failure) for failure in failures] == [DeadlineExceededError]


@pytest.mark.parametrize("call", [turn_interrupt("t", "u"), thread_unsubscribe("t")], ids=lambda call: call.method)
async def test_a_call_that_ends_something_is_sent_even_if_its_caller_has_been_cancelled(call: Call[None]):
    codex = ScriptedCodex((call.method, TAKEN))
    async with session(codex) as client:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await client.call(call, shield=True)

    assert [wire["method"] for wire in codex.told] == [call.method]


async def test_no_more_callers_than_the_window_have_open_requests(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("codex_rpc.client.caller.WINDOW", 3)
    codex = ScriptedCodex(*[("thread/start", None)] * 4)
    async with session(codex) as client, anyio.create_task_group() as tasks:
        begun = len(codex.told)
        for _ in range(5):
            tasks.start_soon(client.call, thread_start({}))
        await anyio.wait_all_tasks_blocked()
        assert len(codex.told) == begun + 3
        codex.say({"id": codex.told[-1]["id"], **THREAD})
        await anyio.wait_all_tasks_blocked()
        assert len(codex.told) == begun + 4
        tasks.cancel_scope.cancel()


async def test_a_caller_that_waits_for_the_window_fails_when_codex_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("codex_rpc.client.caller.WINDOW", 1)
    codex = ScriptedCodex(("thread/start", None))
    failures: list[CodexError] = []
    async with session(codex) as client, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(fails, lambda: client.call(thread_start({})), failures)
        await anyio.wait_all_tasks_blocked()
        codex.end()

    assert [str(failure) for failure in failures] == ["the codex process ended"] * 3


async def test_a_call_that_is_cancelled_before_it_is_sent_is_never_sent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("codex_rpc.client.caller.WINDOW", 1)
    codex = ScriptedCodex(("model/list", None))
    outcomes: list[object] = []
    async with session(codex) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.call, model_list())
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(keep, lambda: client.call(thread_start({}), shield=True), outcomes)
        tasks.start_soon(keep, lambda: client.call_both(INJECT, START), outcomes)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert outcomes == []
    assert [wire["method"] for wire in codex.told] == ["model/list"]


async def test_a_cancelled_caller_takes_no_place_in_the_window(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("codex_rpc.client.caller.WINDOW", 1)
    codex = ScriptedCodex(("model/list", None), ("thread/start", THREAD))
    async with session(codex) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.call, model_list())
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as leaving:
                for _ in range(2):
                    leaving.start_soon(client.call, thread_start({}))
                await anyio.wait_all_tasks_blocked()
                codex.say({"id": 1, "result": {"data": []}})
                scope.cancel()
        assert await client.call(thread_start({})) == "t"


async def test_a_call_that_ends_something_does_not_wait_for_other_calls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("codex_rpc.client.caller.WINDOW", 1)
    monkeypatch.setattr("codex_rpc.client.caller.WAY_OUT", 2)
    interrupt = ("turn/interrupt", None)
    codex = ScriptedCodex(("thread/start", None), interrupt, interrupt, ("turn/interrupt", TAKEN))
    async with session(codex) as client, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(client.call, thread_start({}))
        for _ in range(3):
            tasks.start_soon(client.call, turn_interrupt("t", "u"))
        await anyio.wait_all_tasks_blocked()
        assert [wire["method"] for wire in codex.told] == ["thread/start", "turn/interrupt", "turn/interrupt"]
        codex.say({"id": codex.told[-1]["id"], **TAKEN})
        await codex.was_told(4)
        tasks.cancel_scope.cancel()


# ── two calls at once ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_two_calls_leave_in_one_write_and_in_their_order():
    codex = ScriptedCodex(("thread/inject_items", TAKEN), ("turn/start", TURN))
    async with session(codex) as client:
        writes = codex.writes
        assert await client.call_both(INJECT, START) == (None, "u")
        assert codex.writes == writes + 1

    assert [wire["method"] for wire in codex.told] == ["thread/inject_items", "turn/start"]


async def test_of_two_calls_the_second_has_a_result_even_if_the_first_is_refused():
    codex = ScriptedCodex(("thread/inject_items", REFUSED), ("turn/start", TURN))
    async with session(codex) as client:
        failure, turn_id = await client.call_both(INJECT, START)

    assert (str(failure), turn_id) == ("codex refused thread/inject_items: no such item (-32600)", "u")


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [(TAKEN, REFUSED, "turn/start"), (REFUSED, REFUSED, "inject_items"), (TAKEN, OVERLOADED, "turn/start")],
)
async def test_of_two_calls_the_first_failure_is_raised_when_the_second_is_refused(
    first: Wire, second: Wire, named: str
):
    codex = ScriptedCodex(("thread/inject_items", first), ("turn/start", second))
    async with session(codex) as client:
        with pytest.raises(RequestRefusedError, match=named):
            await client.call_both(INJECT, START)


async def test_two_calls_are_answered_even_if_their_caller_is_cancelled():
    codex = ScriptedCodex(("thread/inject_items", TAKEN), ("turn/start", None))
    outcomes: list[object] = []
    async with session(codex) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(keep, lambda: client.call_both(INJECT, START), outcomes)
        await codex.was_told(2)
        tasks.cancel_scope.cancel()
        codex.say({"id": 2, **TURN})

    assert outcomes == [(None, "u")]


async def test_two_calls_that_were_not_written_in_time_are_never_written():
    codex = ScriptedCodex(("thread/start", THREAD))
    async with session(codex) as client:
        codex.gate = anyio.Event()
        client.answer(Request(9, "", {}), {})  # this blocks the writer
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(DeadlineExceededError, match=r"thread/inject_items and turn/start within 0\.01"):
            await client.call_both(INJECT, START, 0.01)
        codex.gate.set()
        assert await client.call(thread_start({})) == "t"

    assert [wire.get("method") for wire in codex.told] == [None, "thread/start"]


async def test_of_two_calls_neither_is_written_if_one_is_unsendable():
    codex = ScriptedCodex(("thread/start", THREAD))
    async with session(codex) as client:
        with pytest.raises(UnsendableError):
            await client.call_both(INJECT, turn_start("t", outputSchema="\ud800"))
        assert await client.call(thread_start({})) == "t"

    assert [wire["method"] for wire in codex.told] == ["thread/start"]


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_waiting_lines_are_written_at_once_whole_and_in_order():
    texts = [f"{number} " + "x" * 10_000 * (number % 3) for number in range(20)]
    codex = ScriptedCodex(*[("thread/start", THREAD)] * len(texts))
    codex.gate = anyio.Event()
    async with session(codex) as client, anyio.create_task_group() as group:
        for text in texts:
            group.start_soon(client.call, thread_start({"text": text}))
            await anyio.wait_all_tasks_blocked()
        codex.gate.set()

    assert codex.told == [asked(number, "thread/start", text=text) for number, text in enumerate(texts, 1)]
    assert codex.writes == 2, "the first line, then all that waited meanwhile"


@pytest.mark.parametrize("text", ["\ud800", [[]]])
async def test_a_call_that_codex_could_not_parse_is_not_written(text: Any):
    if isinstance(text, list):
        for _ in range(200):
            text = [text]
    codex = ScriptedCodex(("thread/start", THREAD))
    async with session(codex) as client:
        with pytest.raises(UnsendableError):
            await client.call(thread_start({"text": text}))
        assert await client.call(thread_start({})) == "t"

    assert codex.told == [asked(1, "thread/start")]


@pytest.mark.parametrize(
    ("request_id", "method"), [(0, "item/tool/call"), (1, "currentTime/read"), ("q", "brand/new/question")]
)
async def test_any_request_of_codex_without_a_subscriber_is_refused_under_its_id(request_id: int | str, method: str):
    codex = ScriptedCodex(("thread/start", None))
    async with session(codex) as client, anyio.create_task_group() as group:
        group.start_soon(client.call, thread_start({}))
        await codex.was_told(1)
        codex.say({"id": request_id, "method": method, "params": {"threadId": "t"}})
        await codex.was_told(2)
        codex.say({"id": 1, **THREAD})

    assert codex.told[1:] == [refused(request_id)]


# ── requests of codex ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_tool_call_reaches_the_subscriber_of_its_thread_in_order_with_the_events():
    codex = ScriptedCodex(("model/list", {"result": {"data": []}}))
    calls = [tool_call(0, "a", "c1"), tool_call("q", "a", "c2"), tool_call(2, "b", "c3")]
    codex.say(delta("a", "A"), calls[0], delta("a", "a"), calls[1], calls[2], completed("a"))
    async with session(codex) as client:
        of_a, of_b = client.subscribe("a"), client.subscribe("b")
        await client.call(model_list())
        assert await of_a.take() == [
            MessageDelta("a", "u", "i", "A"),
            tool_call_event(calls[0]),
            MessageDelta("a", "u", "i", "a"),
            tool_call_event(calls[1]),
            TurnCompleted("a", FinishedTurn("u", "completed")),
        ]
        assert await of_b.take() == [tool_call_event(calls[2])]

    assert [wire["method"] for wire in codex.told] == ["model/list"], (
        "the calls that reached a subscriber are not refused"
    )


@pytest.mark.parametrize("request_id", [0, 7, "q"])
@pytest.mark.parametrize("output", ["4", [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}]])
async def test_a_tool_call_is_answered_under_its_id(request_id: int | str, output: Any):
    codex = ScriptedCodex()
    async with session(codex) as client:
        inbox = client.subscribe("a")
        codex.say(tool_call(request_id, "a"))
        (event,) = await inbox.take()
        assert isinstance(event, ToolCallAsked)
        assert codex.told == []
        client.answer(event.request, tool_call_result(output))
        await codex.was_told(1)

    assert codex.told == [{"id": request_id, "result": tool_call_result(output)}]


async def test_several_tool_calls_are_answered_in_any_order_while_our_own_call_is_open():
    codex = ScriptedCodex(("thread/start", None))
    async with session(codex) as client, anyio.create_task_group() as group:
        inbox = client.subscribe("a")
        codex.say(tool_call(1, "a", "c1"), tool_call(2, "a", "c2"))
        first, second = await take(inbox, 2)
        assert isinstance(first, ToolCallAsked)
        assert isinstance(second, ToolCallAsked)
        group.start_soon(client.call, thread_start({}))
        await codex.was_told(1)
        client.answer(second.request, "of the second")
        client.answer(first.request, "of the first")
        await codex.was_told(3)
        codex.say({"id": 1, **THREAD})

    assert codex.told[1:] == [{"id": 2, "result": "of the second"}, {"id": 1, "result": "of the first"}]


async def test_a_call_that_is_cancelled_before_it_is_written_is_never_written():
    codex = ScriptedCodex(("account/read", None), ("thread/start", None))
    codex.gate = anyio.Event()
    async with session(codex) as client, anyio.create_task_group() as first:
        first.start_soon(client.call, account_read())
        await anyio.wait_all_tasks_blocked()
        first.start_soon(client.call, thread_start({}))
        async with anyio.create_task_group() as second:
            second.start_soon(client.call, model_list())
            await anyio.wait_all_tasks_blocked()
            second.cancel_scope.cancel()
        codex.gate.set()
        await anyio.wait_all_tasks_blocked()
        first.cancel_scope.cancel()

    assert [wire["method"] for wire in codex.told] == ["account/read", "thread/start"]


async def test_an_answer_that_arrives_while_its_call_is_cancelled_does_no_harm():
    class HandsOver(ScriptedCodex):
        async def read(self, sink: Sink) -> None:
            self.sink = sink
            await anyio.sleep_forever()

    codex = HandsOver(("account/read", None))
    async with session(codex) as client:
        async with anyio.create_task_group() as calls:
            calls.start_soon(client.call, account_read())
            await codex.was_told(1)
            calls.cancel_scope.cancel()
            codex.sink(
                json.dumps({"id": codex.told[0]["id"], "result": {"requiresOpenaiAuth": False}}).encode() + b"\n"
            )
        assert client.alive


async def test_the_last_answer_before_the_end_of_codex_reaches_its_caller():
    codex = ScriptedCodex(("account/read", None))
    accounts: list[Account] = []

    async def ask() -> None:
        accounts.append(await client.call(account_read()))

    async with session(codex) as client, anyio.create_task_group() as calls:
        calls.start_soon(ask)
        await codex.was_told(1)
        codex.say({"id": codex.told[0]["id"], "result": {"requiresOpenaiAuth": False}})
        codex.end()

    assert accounts == [Account(None, None, needs_login=False)]


async def test_an_unsubscribed_inbox_is_not_kept_alive_by_its_timer():
    async with session(ScriptedCodex()) as client:
        inbox = client.subscribe("a")
        async with anyio.create_task_group() as consumers:
            consumers.start_soon(inbox.take, anyio.current_time() + 1000)
            await anyio.wait_all_tasks_blocked()
            consumers.cancel_scope.cancel()
        gone = weakref.ref(inbox)

        client.unsubscribe("a")
        del inbox, consumers
        gc.collect()

        assert gone() is None


async def test_a_tool_call_of_a_thread_without_a_subscriber_is_refused():
    codex = ScriptedCodex()
    async with session(codex) as client:
        inbox = client.subscribe("a")
        codex.say(tool_call(1, "unsubscribed"), tool_call(2, "a"))
        assert await inbox.take() == [tool_call_event(tool_call(2, "a"))]
        await codex.was_told(1)
        client.unsubscribe("a")
        codex.say(tool_call(3, "a"))
        await codex.was_told(2)
        assert await is_empty(inbox)

    assert codex.told == [refused(1), refused(3)]


@pytest.mark.parametrize(
    "method", ["item/commandExecution/requestApproval", "item/tool/requestUserInput", "currentTime/read"]
)
async def test_any_other_request_is_refused_even_if_its_thread_has_a_subscriber(method: str):
    codex = ScriptedCodex()
    async with session(codex) as client:
        inbox = client.subscribe("a")
        codex.say(asked(5, method, threadId="a", turnId="u", callId="c"))
        await codex.was_told(1)
        assert await is_empty(inbox)

    assert codex.told == [refused(5)]


@pytest.mark.parametrize(
    "params", [None, [], "a", 7, {}, {"threadId": "a"}, {"threadId": "a", "turnId": "u"}, {"turnId": "u"}]
)
async def test_a_malformed_tool_call_is_refused_with_a_log_line(params: Any, caplog: pytest.LogCaptureFixture):
    codex = ScriptedCodex()
    async with session(codex) as client:
        inbox = client.subscribe("a")
        codex.say({"id": 5, "method": "item/tool/call", "params": params}, completed("a"))
        assert await inbox.take() == [TurnCompleted("a", FinishedTurn("u", "completed"))]
        await codex.was_told(1)

    assert codex.told == [refused(5)]
    assert "malformed item/tool/call request from codex: " in caplog.text


async def test_tool_calls_count_against_the_limit_of_the_inbox(monkeypatch: pytest.MonkeyPatch):
    line = json.dumps(tool_call(1, "slow"))
    monkeypatch.setattr("codex_rpc.client.client.Inbox", partial(Inbox, 2 * len(line)))
    codex = ScriptedCodex(("thread/start", THREAD))
    async with session(codex) as client:
        slow = client.subscribe("slow")
        codex.say(*(tool_call(number, "slow") for number in range(3)))
        assert await client.call(thread_start({})) == "t"
        with pytest.raises(InboxOverflowError):
            await slow.take()


async def test_an_answer_that_codex_could_not_parse_is_not_written_and_another_can_follow():
    codex = ScriptedCodex()
    async with session(codex) as client:
        inbox = client.subscribe("a")
        codex.say(tool_call(1, "a"))
        (event,) = await inbox.take()
        assert isinstance(event, ToolCallAsked)
        with pytest.raises(UnsendableError):
            client.answer(event.request, tool_call_result("\ud800"))
        client.answer(event.request, tool_call_result("fine"))
        await codex.was_told(1)

    assert codex.told == [{"id": 1, "result": tool_call_result("fine")}]


async def test_an_answer_after_the_end_of_the_connection_does_nothing():
    codex = ScriptedCodex()
    codex.failure = BrokenPipeError()
    async with session(codex) as client:
        inbox = client.subscribe("a")
        codex.say(tool_call(1, "a"))
        (event,) = await inbox.take()
        assert isinstance(event, ToolCallAsked)
        client.answer(event.request, "unread")
        end = await client.wait_for_end()
        codex.failure = None
        client.answer(event.request, "too late")
        await anyio.wait_all_tasks_blocked()
        assert await client.wait_for_end() is end

    assert codex.told == []


# ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_events_reach_only_the_subscriber_of_their_thread():
    codex = ScriptedCodex(("model/list", {"result": {"data": []}}))
    codex.say(
        delta("a", "A"), delta("b", "B"), delta("unsubscribed", "N"), completed("b"), delta("a", "a"), completed("a")
    )
    async with session(codex) as client:
        of_a, of_b = client.subscribe("a"), client.subscribe("b")
        await client.call(model_list())
        assert await of_a.take() == [
            MessageDelta("a", "u", "i", "A"),
            MessageDelta("a", "u", "i", "a"),
            TurnCompleted("a", FinishedTurn("u", "completed")),
        ]
        assert await of_b.take() == [
            MessageDelta("b", "u", "i", "B"),
            TurnCompleted("b", FinishedTurn("u", "completed")),
        ]


async def test_a_subscription_lasts_until_it_is_ended_and_a_later_one_starts_empty():
    codex = ScriptedCodex(("model/list", {"result": {"data": []}}))
    async with session(codex) as client:
        first = client.subscribe("a")
        codex.say(delta("a", "first"))
        assert await first.take() == [MessageDelta("a", "u", "i", "first")]
        codex.say(delta("a", "still first"))
        assert await first.take() == [MessageDelta("a", "u", "i", "still first")]
        client.unsubscribe("a")
        codex.say(delta("a", "between"))
        await client.call(model_list())
        assert await is_empty(first)
        second = client.subscribe("a")
        assert await is_empty(second)
        codex.say(delta("a", "second"))
        assert await second.take() == [MessageDelta("a", "u", "i", "second")]
        assert await is_empty(first)


async def test_the_end_of_one_subscription_leaves_the_others_and_ending_it_twice_does_no_harm():
    codex = ScriptedCodex(("model/list", {"result": {"data": []}}))
    async with session(codex) as client:
        of_a, of_b = client.subscribe("a"), client.subscribe("b")
        for _ in range(2):
            client.unsubscribe("a")
        client.unsubscribe("never subscribed")
        codex.say(delta("a", "A"), delta("b", "B"))
        await client.call(model_list())
        assert await is_empty(of_a)
        assert await of_b.take() == [MessageDelta("b", "u", "i", "B")]


async def test_events_before_the_end_of_a_subscription_can_still_be_taken():
    codex = ScriptedCodex(("model/list", {"result": {"data": []}}))
    codex.say(delta("a", "A"))
    async with session(codex) as client:
        inbox = client.subscribe("a")
        await client.call(model_list())
        client.unsubscribe("a")
        assert await inbox.take() == [MessageDelta("a", "u", "i", "A")]


async def test_a_consumer_that_takes_nothing_fails_alone(monkeypatch: pytest.MonkeyPatch):
    line = json.dumps(delta("slow", "x"))
    monkeypatch.setattr("codex_rpc.client.client.Inbox", partial(Inbox, 10 * len(line)))
    codex = ScriptedCodex(("thread/start", THREAD))
    async with session(codex) as client:
        slow, fast = client.subscribe("slow"), client.subscribe("fast")
        codex.say(*[delta("slow", "x")] * 11, delta("fast", "y"))
        assert await fast.take() == [MessageDelta("fast", "u", "i", "y")]
        with pytest.raises(InboxOverflowError):
            await slow.take()
        assert await client.call(thread_start({})) == "t"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"id":7,"result":{}}',
        b'{"id":"x","error":{"code":1,"message":"whose?"}}',
        b'{"method":"brand/new","params":{"threadId":"a"}}',
        b'{"method":"item/agentMessage/delta"}',
        b'{"method":"item/agentMessage/delta","params":{"threadId":"a"}}',
        b'{"method":"item/agentMessage/delta","params":[1]}',
        b'{"method":"item/reasoning/summaryPartAdded","params":{"threadId":"a"}}',
        b'{"method":"item/agentMessage/delta","params":{"threadId":["a"],"turnId":"u","itemId":"i","delta":"x"}}',
        b'{"method":"item/reasoning/textDelta","params":{"threadId":"a"}}',
        b'{"method":"warning","params":[]}',
        b'{"method":"warning","params":{"message":"about no thread"}}',
        b'{"method":"rawResponseItem/completed","params":{"threadId":"a","turnId":7,"item":{}}}',
        b'{"method":"rawResponse/completed","params":[]}',
        b'{"method":"turn/completed","params":{"threadId":"a","turn":null}}',
        b'{"method":"error","params":{"threadId":"a","turnId":"u","error":"text","willRetry":true}}',
    ],
)
async def test_an_unknown_or_malformed_line_is_skipped_without_harm(line: bytes):
    codex = ScriptedCodex(("thread/start", None))
    async with session(codex) as client, anyio.create_task_group() as group:
        inbox = client.subscribe("a")
        group.start_soon(client.call, thread_start({}))
        await codex.was_told(1)
        codex.say(line, completed("a"), {"id": 1, **THREAD})
        assert await inbox.take() == [TurnCompleted("a", FinishedTurn("u", "completed"))]


async def test_a_malformed_notification_is_logged_with_the_field_that_is_wrong(caplog: pytest.LogCaptureFixture):
    codex = ScriptedCodex()
    async with session(codex) as client:
        inbox = client.subscribe("a")
        codex.say(
            {"method": "turn/completed", "params": {"threadId": "a", "turn": {"status": "failed"}}}, completed("a")
        )
        await inbox.take()

    reason = "Object missing required field `id` - at `$.turn`"
    assert caplog.messages == [f"skipped a turn/completed notification from codex: {reason}"]


@pytest.mark.parametrize("method", ["account/updated", "account/login/completed"])
async def test_changes_of_the_account_are_counted(method: str):
    codex = ScriptedCodex(("model/list", {"result": {"data": []}}))
    news: Wire = {"method": method, "params": {"loginId": None, "success": True}}
    codex.say(news, news)
    async with session(codex) as client:
        assert client.account_changes == 0
        await client.call(model_list())
        assert client.account_changes == 2


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def everyone_gets_the_reason(codex: ScriptedCodex, client: Client, bring_about: Callable[[], object]) -> str:
    """End a connection on which many wait, and use it afterwards; return the message that all of them get."""
    calls: list[Call[Any]] = [thread_start({}), model_list(), account_read()]
    codex.script.extend((call.method, None) for call in calls)
    failures: list[CodexError] = []
    assert client.alive
    async with anyio.create_task_group() as group:
        for inbox in (client.subscribe("a"), client.subscribe("b")):
            group.start_soon(fails, inbox.take, failures)
        for call in calls:
            group.start_soon(fails, partial(client.call, call), failures)
        await codex.was_told(len(calls))
        assert client.alive
        bring_about()
        failures.append(await client.wait_for_end())
        assert not client.alive
        await fails(lambda: client.call(model_list()), failures)
        await fails(client.subscribe("late").take, failures)
    failures.append(await client.wait_for_end())
    assert not client.alive

    (reason,) = {str(failure) for failure in failures}
    assert [type(failure) for failure in failures] == [ConnectionLostError] * 9
    return reason


async def test_the_end_of_codex_fails_everything_that_waits_and_the_end_of_stderr_is_logged(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level("DEBUG", "codex_rpc.client.client")
    codex = ScriptedCodex()
    async with session(codex) as client:
        reason = await everyone_gets_the_reason(
            codex, client, lambda: codex.end("thread 'main' panicked\nnote: a backtrace")
        )

    assert reason == "the codex process ended"
    assert "thread 'main' panicked\nnote: a backtrace" in caplog.text


async def test_an_endless_line_ends_the_connection_for_everyone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("codex_rpc.client.client.LineSplitter", partial(LineSplitter, 1000))
    codex = ScriptedCodex()
    async with session(codex) as client:
        reason = await everyone_gets_the_reason(codex, client, lambda: codex.say_bytes(b"x" * 600, b"x" * 600))

    assert reason == "the connection to codex is unusable: codex sent a line longer than 1000 bytes"


@pytest.mark.parametrize("failure", [BrokenPipeError(), ConnectionResetError()])
async def test_a_codex_that_no_longer_reads_ends_the_connection_for_everyone(failure: Exception):
    codex = ScriptedCodex()

    def deaf() -> None:
        codex.failure = failure
        codex.say({"id": 0, "method": "currentTime/read", "params": {}})

    async with session(codex) as client:
        reason = await everyone_gets_the_reason(codex, client, deaf)

    assert reason == "the codex process no longer reads its input"


async def test_a_codex_that_has_ended_is_reported_as_ended_even_if_a_write_fails_first():
    codex = ScriptedCodex()

    async def deaf_then_gone() -> None:
        codex.failure = BrokenPipeError()
        codex.say({"id": 0, "method": "currentTime/read", "params": {}})
        await anyio.wait_all_tasks_blocked()
        codex.end("killed")

    async with session(codex) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(deaf_then_gone)
        assert str(await client.wait_for_end()) == "the codex process ended"


async def test_only_the_first_reason_for_the_end_counts():
    codex = ScriptedCodex()
    codex.failure = BrokenPipeError()
    async with session(codex) as client:
        with pytest.raises(ConnectionLostError) as caught:
            await client.call(model_list())
        codex.end("too late")
        await anyio.wait_all_tasks_blocked()
        assert await client.wait_for_end() is caught.value


async def test_events_before_the_end_are_taken_before_the_failure():
    codex = ScriptedCodex()
    async with session(codex) as client:
        inbox = client.subscribe("a")
        codex.say(delta("a", "last"))
        codex.end()
        await client.wait_for_end()
        assert await inbox.take() == [MessageDelta("a", "u", "i", "last")]
        with pytest.raises(ConnectionLostError):
            await inbox.take()


async def test_a_subscription_that_was_ended_gets_no_failure():
    codex = ScriptedCodex()
    async with session(codex) as client:
        inbox = client.subscribe("a")
        client.unsubscribe("a")
        codex.end()
        await client.wait_for_end()
        assert await is_empty(inbox)


# ── the handshake ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_handshake_comes_first_and_tells_codex_what_to_leave_out():
    codex = ScriptedCodex(("initialize", INITIALIZED), ("model/list", {"result": {"data": []}}))
    with anyio.fail_after(5):
        async with connect(codex, "test", "1.0") as client:
            assert client.user_agent == "test/0.169.0 (Linux)"
            await client.call(model_list())

    info = {"name": "test", "title": None, "version": "1.0"}
    capabilities = {"experimentalApi": True, "optOutNotificationMethods": list(UNWANTED)}
    assert codex.told == [
        asked(1, "initialize", clientInfo=info, capabilities=capabilities),
        {"method": "initialized"},
        asked(2, "model/list", includeHidden=True, limit=1000),
    ]


async def test_a_client_of_agents_collects_what_codex_does():
    codex = ScriptedCodex(("initialize", INITIALIZED))
    ids = {"threadId": "a", "turnId": "u"}
    with anyio.fail_after(5):
        async with connect(codex, "test", "1.0", read=read_agent_event) as client:
            inbox = client.subscribe("a")
            codex.say({"method": "item/completed", "params": {**ids, "item": {"type": "contextCompaction", "id": "c"}}})
            assert await inbox.take() == [ItemCompleted("a", "u", ContextCompaction("c"))]


async def test_a_client_of_agents_collects_the_questions_of_its_threads_and_declines_others():
    codex = ScriptedCodex(("initialize", INITIALIZED))
    params = {"threadId": "a", "turnId": "u", "itemId": "i", "reason": None, "grantRoot": None}
    form: dict[str, Any] = {
        "threadId": "b",
        "turnId": None,
        "serverName": "s",
        "mode": "form",
        "message": "Name?",
        "requestedSchema": {},
    }
    with anyio.fail_after(5):
        async with connect(codex, "test", "1.0", read_asked=read_agent_request) as client:
            inbox = client.subscribe("a")
            codex.say({"id": 7, "method": "item/fileChange/requestApproval", "params": params})
            (asked,) = await inbox.take()
            assert isinstance(asked, ApprovalAsked)
            client.answer(asked.request, {"decision": "accept"})
            codex.say({"id": 8, "method": "item/fileChange/requestApproval", "params": {**params, "threadId": "b"}})
            codex.say({"id": 9, "method": "mcpServer/elicitation/request", "params": form})
            await codex.was_told(5)

    assert codex.told[2:] == [
        {"id": 7, "result": {"decision": "accept"}},
        {"id": 8, "result": {"decision": "decline"}},
        {"id": 9, "result": {"action": "decline", "content": None, "_meta": None}},
    ]


async def test_a_refused_handshake_is_raised_unchanged():
    codex = ScriptedCodex(("initialize", {"error": {"code": -32600, "message": "Not today"}}))
    with anyio.fail_after(5), pytest.raises(RequestRefusedError, match="Not today"):
        async with connect(codex, "test", "1.0"):
            pytest.fail("there was no handshake")


async def test_a_codex_that_ends_during_the_handshake_is_a_lost_connection():
    codex = ScriptedCodex(("initialize", None))

    async def end() -> None:
        await codex.was_told(1)
        codex.end()

    with anyio.fail_after(5), pytest.raises(ConnectionLostError, match="the codex process ended"):
        async with running(end), connect(codex, "test", "1.0"):
            pytest.fail("there was no handshake")


async def test_an_exception_of_the_block_is_raised_unchanged():
    codex = ScriptedCodex(("initialize", INITIALIZED))
    with anyio.fail_after(5), pytest.raises(LookupError, match="of the block"):
        async with connect(codex, "test", "1.0"):
            raise LookupError("of the block")


async def test_every_wait_fails_after_the_block_of_the_client():
    codex = ScriptedCodex(("initialize", INITIALIZED))
    with anyio.fail_after(5):
        async with connect(codex, "test", "1.0") as client:
            assert client.alive
        assert not client.alive
        with pytest.raises(ConnectionLostError):
            await client.subscribe("a").take()
        with pytest.raises(ConnectionLostError):
            await client.call(model_list())


COMPLETED: Wire = {"method": "account/login/completed", "params": {"loginId": "l", "success": True, "error": None}}


async def test_the_outcome_of_a_login_is_kept_until_it_is_read():
    codex = ScriptedCodex()
    async with session(codex) as client:
        other = {**COMPLETED, "params": {"loginId": "other", "success": False, "error": "no"}}
        codex.say(other, COMPLETED)
        with anyio.fail_after(5):
            assert await client.login_outcome("l") == LoginCompleted(success=True, login_id="l")
            assert await client.login_outcome("other") == LoginCompleted(success=False, login_id="other", error="no")
        assert client.account_changes == 2


async def test_waiting_for_a_login_fails_when_the_connection_ends():
    codex = ScriptedCodex()
    async with session(codex) as client:
        codex.end()
        with anyio.fail_after(5), pytest.raises(ConnectionLostError):
            await client.login_outcome("l")
        with anyio.fail_after(5), pytest.raises(ConnectionLostError):
            await client.login_outcome("l")
