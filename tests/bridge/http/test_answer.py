from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeAlias, cast

import anyio
import pytest

from bridge.conversation.limits import Limits
from bridge.conversation.prompt import Prompt
from bridge.conversation.prompt import message as prompt_message
from bridge.conversation.tools import Tool, Toolbox
from bridge.conversation.turns import LivingThread, Turn
from bridge.errors import ApiError, model_not_found
from bridge.http import answer
from bridge.http.access import client_of
from bridge.http.admission import Admission
from bridge.http.answer import Answer, AnswerPlan
from bridge.openai.chat.answer import ChatAnswer
from bridge.openai.chat.completion import ChatCompletion
from bridge.openai.chat.stream import ChatStream
from bridge.openai.clients import OVERFLOW_TOKENS
from codex_rpc.client.client import Client
from codex_rpc.client.inbox import Inbox
from codex_rpc.errors import CodexError, ConnectionLostError, DeadlineExceededError
from codex_rpc.quota import Quota
from codex_rpc.wire.events import CodexFailure, Event, TokenUsage
from tests.bridge.conversation.codex_events import THREAD, TURN, called, delta, ended, message, reasoning, used
from tests.bridge.http.exchange import Exchange, http_scope

NEVER = 3600.0
COMMENT = b": keep-alive\n"
NO_QUOTA = ended("failed", CodexFailure("No more today.", "usageLimitExceeded"))
TOO_LONG = ended("failed", CodexFailure("Too long.", "contextWindowExceeded"))
LOOK = Tool.function("look", "Looks.", {})


def stream(choices: int = 1, *, cursor: bool = False) -> ChatStream:
    return ChatStream(ChatAnswer("chatcmpl-codex-1", 7, "2.5-tpg", choices, cursor=cursor), usage_chunk=False)


def whole(choices: int = 1, *, cursor: bool = False) -> ChatCompletion:
    return ChatCompletion(ChatAnswer("chatcmpl-codex-1", 7, "2.5-tpg", choices, cursor=cursor))


NewWriter: TypeAlias = Callable[..., ChatStream | ChatCompletion]


class AnswerUnderTest:
    """A running answer: the test feeds its turns and controls its client."""

    def __init__(
        self,
        new_writer: NewWriter = stream,
        *,
        choices: int = 1,
        cursor: bool = False,
        patience: float = NEVER,
        pause: float = NEVER,
    ) -> None:
        self.exchange = Exchange()
        self.admission = Admission()
        self.inboxes = [Inbox() for _ in range(choices)]
        self.quota: Quota = {}
        self.opened = 0
        self.left = 0
        self.ended = False
        self.opening = anyio.Event()
        self.headers = {"x-codex-proxy-ignored": "user"}
        self.while_opening: Callable[[], Any] = anyio.lowlevel.checkpoint
        self.while_leaving: Callable[[], Any] = anyio.lowlevel.checkpoint
        plan = AnswerPlan(
            run=self._run,
            new_writer=lambda: new_writer(choices, cursor=cursor),
            headers=self.headers,
            choices=choices,
            cursor=cursor,
            patience=patience,
            pause=pause,
            overflow=(lambda: new_writer(choices, cursor=True).overflow()) if cursor else None,
        )
        self._answer = Answer(plan, self.admission)

    @asynccontextmanager
    async def _run(self) -> AsyncGenerator[Turn]:
        inbox = self.inboxes[self.opened]
        self.opened += 1
        self.opening.set()
        try:
            await self.while_opening()
            prompt = Prompt("gpt-5.2", (prompt_message("user", "Hello"),), Toolbox((LOOK,)))
            thread = LivingThread(cast("Client", SimpleNamespace(quota=self.quota)), THREAD, inbox, TURN)
            turn = Turn(thread, prompt, {}, Limits(), NEVER)
            turn.thread_outcome = "new; reason=first-request"
            yield turn
            await self.while_leaving()
        finally:
            self.left += 1

    def say(self, *events: Event, choice: int = -1) -> None:
        """Let codex send events in the turn of a choice, by default the newest turn."""
        for event in events:
            self.inboxes[choice].put(event, 1)

    def lose(self, failure: CodexError) -> None:
        """End the newest turn's connection to codex."""
        self.inboxes[-1].fail(failure)

    async def run(self) -> None:
        await self._answer(http_scope("/chat/completions"), self.exchange.receive, self.exchange.send)
        self.ended = True
        self.opening.set()


@dataclass(eq=False)
class Timer:
    when: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """A clock for answers that the test advances."""

    def __init__(self) -> None:
        self._now = anyio.current_time()
        self._timers: list[Timer] = []

    def current_time(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(when, callback)
        self._timers.append(timer)
        return timer

    async def advance(self, seconds: float) -> None:
        """Let time pass: call the timers that are due, and wait until all tasks are blocked."""
        self._now += seconds
        due = [timer for timer in self._timers if timer.when <= self._now]
        self._timers = [timer for timer in self._timers if timer not in due]
        for timer in due:
            if not timer.cancelled:
                timer.callback()
        await anyio.wait_all_tasks_blocked()


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that answers use in this test; anyio's own deadlines still use the real one."""
    clock = Clock()
    monkeypatch.setattr("bridge.http.answer.now", clock.current_time)
    monkeypatch.setattr("bridge.http.answer.call_at", clock.call_at)
    return clock


@asynccontextmanager
async def answering(running: AnswerUnderTest) -> AsyncGenerator[Exchange]:
    """Run the answer during the block, which starts when its turn is opened; the answer must end by itself."""
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.run)
            await running.opening.wait()
            yield running.exchange
    assert running.ended
    assert running.left == running.opened


def events_of(exchange: Exchange) -> list[Any]:
    """Return the data of the server-sent events, comments left out."""
    lines = [line for line in exchange.body.decode().split("\n") if line.startswith("data: ")]
    return [line if line == "data: [DONE]" else json.loads(line.removeprefix("data: ")) for line in lines]


def choices_of(exchange: Exchange, index: int = 0) -> list[Any]:
    """Return the chunks of one choice."""
    choices = [choice for event in events_of(exchange) if "choices" in event for choice in event["choices"]]
    return [choice for choice in choices if choice["index"] == index]


def text_of(exchange: Exchange, index: int = 0) -> str:
    return "".join(choice["delta"].get("content", "") for choice in choices_of(exchange, index))


def reasons_of(exchange: Exchange, index: int = 0) -> list[str]:
    return [choice["finish_reason"] for choice in choices_of(exchange, index) if choice["finish_reason"]]


async def test_a_stream_starts_with_the_first_event_that_has_content() -> None:
    running = AnswerUnderTest()
    async with answering(running) as exchange:
        assert exchange.status is None
        running.say(used(TokenUsage(1, 0, 1, 0)))
        await anyio.wait_all_tasks_blocked()
        assert exchange.status is None
        running.say(delta("Hel"))
        await exchange.until(lambda: text_of(exchange) == "Hel")
        assert exchange.status == 200
        assert exchange.headers == {
            "x-codex-proxy-thread": "new; reason=first-request",
            "x-codex-proxy-ignored": "user",
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache, no-transform",
            "x-accel-buffering": "no",
        }
        running.say(delta("lo"))
        await exchange.until(lambda: text_of(exchange) == "Hello")
        assert not exchange.complete
        running.say(ended())
    assert exchange.complete
    assert text_of(exchange) == "Hello"
    assert events_of(exchange)[-1] == "data: [DONE]"


async def test_all_events_that_are_ready_leave_in_one_part() -> None:
    running = AnswerUnderTest()
    async with answering(running) as exchange:
        running.say(delta("One", "msg_1"), delta(" two", "msg_1"), used(TokenUsage(1, 0, 1, 0)), ended())
    assert exchange.parts == 1
    assert text_of(exchange) == "One two"


async def test_an_answer_that_is_not_streamed_is_sent_at_once_with_its_length() -> None:
    running = AnswerUnderTest(whole)
    async with answering(running) as exchange:
        running.say(delta("Hello"))
        await anyio.wait_all_tasks_blocked()
        assert exchange.status is None
        running.say(ended())
    assert exchange.status == 200
    assert exchange.headers == {
        "x-codex-proxy-thread": "new; reason=first-request",
        "x-codex-proxy-ignored": "user",
        "content-type": "application/json",
        "content-length": str(len(exchange.body)),
    }
    assert json.loads(exchange.body)["choices"][0]["message"]["content"] == "Hello"


@pytest.mark.parametrize("new_writer", [stream, whole])
@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (model_not_found("gtp-4", ["2.5-tpg"]), 404, "model_not_found"),
        (DeadlineExceededError("codex did not answer thread/start"), 504, "upstream_timeout"),
        (CodexError("something"), 502, "upstream_error"),
    ],
    ids=["ours", "a deadline", "any of codex"],
)
async def test_a_failure_to_open_the_turn_keeps_its_status(
    failure: Exception, status: int, code: str, new_writer: NewWriter
) -> None:
    async def fail() -> None:
        raise failure

    running = AnswerUnderTest(new_writer)
    running.while_opening = fail
    async with answering(running) as exchange:
        pass
    assert (exchange.status, exchange.headers["content-type"]) == (status, "application/json")
    assert json.loads(exchange.body)["error"]["code"] == code
    assert exchange.headers["content-length"] == str(len(exchange.body))
    assert exchange.complete


@pytest.mark.parametrize("new_writer", [stream, whole])
async def test_a_turn_that_fails_before_the_first_byte_keeps_its_status(new_writer: NewWriter) -> None:
    running = AnswerUnderTest(new_writer)
    async with answering(running) as exchange:
        running.say(used(TokenUsage(1, 0, 0, 0)), NO_QUOTA)
    assert exchange.status == 429
    assert json.loads(exchange.body) == {
        "error": {
            "message": "No more today. Try again later.",
            "type": "rate_limit_error",
            "param": None,
            "code": "usage_limit_reached",
        }
    }


async def test_a_failure_answer_carries_the_headers_of_its_error() -> None:
    running = AnswerUnderTest()
    await running.admission.stop(grace=0)
    async with answering(running) as exchange:
        pass
    assert (exchange.status, exchange.headers["retry-after"]) == (503, "5")
    assert running.opened == 0


async def test_a_turn_that_fails_after_the_first_byte_ends_the_stream_with_the_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    running = AnswerUnderTest()
    async with answering(running) as exchange:
        running.say(delta("Hel"))
        await exchange.until(lambda: text_of(exchange) == "Hel")
        running.say(delta("lo"), NO_QUOTA)
    assert (exchange.status, exchange.complete) == (200, True)
    assert text_of(exchange) == "Hello"
    error, done = events_of(exchange)[-2:]
    assert error["error"]["code"] == "usage_limit_reached"
    assert done == "data: [DONE]"
    assert caplog.messages == ["an answer failed after it had started: No more today. Try again later."]


async def test_an_answer_that_is_not_streamed_keeps_its_status_however_late_it_fails() -> None:
    running = AnswerUnderTest(whole)
    async with answering(running) as exchange:
        running.say(delta("Hello"))
        await anyio.wait_all_tasks_blocked()
        running.say(NO_QUOTA)
    assert exchange.status == 429


async def test_an_unexpected_failure_is_logged_and_its_details_are_hidden_from_the_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError("a secret")

    running = AnswerUnderTest()
    running.while_opening = fail
    with caplog.at_level(logging.ERROR, "bridge.http.answer"):
        async with answering(running) as exchange:
            pass
    assert exchange.status == 500
    assert json.loads(exchange.body)["error"]["code"] == "internal_error"
    assert b"secret" not in exchange.body
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_when_codex_dies_before_the_answer_started_the_request_is_repeated() -> None:
    running = AnswerUnderTest(whole)
    running.inboxes.append(Inbox())
    async with answering(running) as exchange:
        running.inboxes[0].put(delta("lost"), 1)
        running.inboxes[0].put(used(TokenUsage(1000, 0, 1000, 0)), 1)
        running.inboxes[0].fail(ConnectionLostError("codex ended"))
        running.say(delta("Hello"), used(TokenUsage(812, 768, 40, 16)), ended())
    answer = json.loads(exchange.body)
    assert (exchange.status, running.opened) == (200, 2)
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert answer["usage"]["total_tokens"] == 852


async def test_when_codex_dies_while_the_stream_was_only_kept_alive_the_request_is_repeated(
    clock: Clock,
) -> None:
    running = AnswerUnderTest(patience=4)
    running.inboxes.append(Inbox())
    async with answering(running) as exchange:
        await clock.advance(4)
        assert exchange.body == COMMENT
        running.inboxes[0].fail(ConnectionLostError("codex ended"))
        running.say(delta("Hello"), ended())
    assert (exchange.status, running.opened, text_of(exchange)) == (200, 2, "Hello")
    assert events_of(exchange)[-1] == "data: [DONE]"


async def test_when_codex_dies_twice_the_client_gets_an_error() -> None:
    running = AnswerUnderTest()
    running.inboxes.append(Inbox())
    async with answering(running) as exchange:
        for inbox in running.inboxes:
            inbox.fail(ConnectionLostError("codex ended", retry_after=3))
    assert (exchange.status, running.opened) == (503, 2)
    assert exchange.headers["retry-after"] == "3"


async def test_when_codex_dies_within_the_answer_the_client_gets_an_error() -> None:
    running = AnswerUnderTest()
    async with answering(running) as exchange:
        running.say(delta("Hel"))
        await exchange.until(lambda: text_of(exchange) == "Hel")
        running.lose(ConnectionLostError("codex ended"))
    assert (exchange.status, running.opened, text_of(exchange)) == (200, 1, "Hel")
    error, done = events_of(exchange)[-2:]
    assert (error["error"]["code"], done) == ("codex_unavailable", "data: [DONE]")


async def test_a_client_that_leaves_while_the_turn_is_opened_ends_it() -> None:
    running = AnswerUnderTest()
    running.while_opening = anyio.sleep_forever
    async with answering(running) as exchange:
        assert running.opened == 1
        exchange.leave()
    assert exchange.status is None


async def test_a_client_that_leaves_before_the_first_event_ends_the_turn() -> None:
    running = AnswerUnderTest()
    async with answering(running) as exchange:
        exchange.leave()
    assert (running.opened, exchange.status) == (1, None)


async def test_a_client_that_leaves_mid_stream_ends_the_turn() -> None:
    running = AnswerUnderTest()
    async with answering(running) as exchange:
        running.say(delta("Hel"))
        await exchange.until(lambda: text_of(exchange) == "Hel")
        exchange.leave()
    assert text_of(exchange) == "Hel"
    assert not exchange.complete


async def test_a_client_that_stopped_reading_and_then_leaves_ends_the_turn() -> None:
    running = AnswerUnderTest()
    async with answering(running) as exchange:
        exchange.stop_reading()
        running.say(delta("Hel"))
        await exchange.until_something_is_held_up()
        exchange.leave()
    assert exchange.status is None


async def test_a_silent_stream_starts_after_the_patience_and_is_kept_alive_by_comments(clock: Clock) -> None:
    running = AnswerUnderTest(patience=4, pause=8)
    async with answering(running) as exchange:
        await clock.advance(3.9)
        assert exchange.status is None
        await clock.advance(0.1)
        assert (exchange.status, exchange.body) == (200, COMMENT)
        await clock.advance(7.9)
        assert exchange.body == COMMENT
        await clock.advance(0.1)
        assert exchange.body == COMMENT * 2
        await clock.advance(8)
        assert exchange.body == COMMENT * 3
        running.say(delta("Hello"), ended())
    assert exchange.complete
    assert text_of(exchange) == "Hello"


async def test_every_part_of_the_answer_postpones_the_next_comment(clock: Clock) -> None:
    running = AnswerUnderTest(patience=4, pause=8)
    async with answering(running) as exchange:
        running.say(delta("Hel"))
        await exchange.until(lambda: text_of(exchange) == "Hel")
        await clock.advance(7)
        assert exchange.body.count(COMMENT) == 0
        running.say(delta("lo"))
        await exchange.until(lambda: text_of(exchange) == "Hello")
        await clock.advance(7)
        assert exchange.body.count(COMMENT) == 0
        await clock.advance(1)
        assert exchange.body.endswith(COMMENT)
        assert exchange.body.count(COMMENT) == 1
        running.say(ended())
    assert text_of(exchange) == "Hello"


async def test_a_client_that_reads_the_first_part_late_gets_no_comment_before_it(clock: Clock) -> None:
    running = AnswerUnderTest(patience=4, pause=8)
    async with answering(running) as exchange:
        exchange.stop_reading()
        running.say(delta("Hel"))
        await exchange.until_something_is_held_up()
        await clock.advance(4)
        exchange.read_on()
        await exchange.until(lambda: text_of(exchange) == "Hel")
        running.say(ended())
    assert exchange.complete
    assert COMMENT not in exchange.body


async def test_a_silent_answer_that_is_not_streamed_is_kept_alive_by_white_space(clock: Clock) -> None:
    running = AnswerUnderTest(whole, patience=60, pause=8)
    async with answering(running) as exchange:
        await clock.advance(59)
        assert exchange.status is None
        await clock.advance(1)
        await clock.advance(8)
        assert (exchange.status, exchange.body) == (200, b"  ")
        running.say(delta("Hello"), ended())
    assert exchange.body.startswith(b"  {")
    assert "content-length" not in exchange.headers
    assert json.loads(exchange.body)["choices"][0]["message"]["content"] == "Hello"


async def test_a_failure_after_the_patience_is_reported_in_the_body(clock: Clock) -> None:
    running = AnswerUnderTest(whole, patience=60)
    async with answering(running) as exchange:
        await clock.advance(60)
        running.say(NO_QUOTA)
    assert (exchange.status, exchange.complete) == (200, True)
    assert json.loads(exchange.body)["error"]["code"] == "usage_limit_reached"


async def test_an_answer_that_has_ended_gets_no_keep_alives(clock: Clock) -> None:
    running = AnswerUnderTest(patience=4, pause=8)
    async with answering(running):
        running.say(delta("Hello"), ended())
    await clock.advance(100)
    assert running.exchange.body.count(b": keep-alive") == 0


async def test_no_comment_follows_while_the_client_delays_the_last_part(clock: Clock) -> None:
    running = AnswerUnderTest(patience=4, pause=8)
    async with answering(running) as exchange:
        running.say(delta("Hel"))
        await exchange.until(lambda: text_of(exchange) == "Hel")
        exchange.stop_reading()
        running.say(ended())
        await exchange.until_something_is_held_up()
        await clock.advance(8)
        exchange.read_on()
    await clock.advance(100)
    assert exchange.complete
    assert exchange.body.count(b": keep-alive") == 0


@pytest.mark.parametrize("pause", [2, 8])
async def test_a_failure_exactly_at_the_end_of_the_patience_is_reported_once_and_last(
    pause: float, clock: Clock
) -> None:
    running = AnswerUnderTest(patience=4, pause=pause)
    async with answering(running) as exchange:
        await anyio.wait_all_tasks_blocked()
        running.say(NO_QUOTA)
        await clock.advance(4)
    assert (exchange.status, exchange.complete) == (429, True)
    assert json.loads(exchange.body)["error"]["code"] == "usage_limit_reached"


@pytest.mark.parametrize("new_writer", [stream, whole])
async def test_a_server_that_stops_ends_the_turn_and_says_so(new_writer: NewWriter) -> None:
    running = AnswerUnderTest(new_writer)
    async with answering(running) as exchange:
        await running.admission.stop(grace=0)
    assert (exchange.status, exchange.headers["retry-after"]) == (503, "5")
    assert json.loads(exchange.body)["error"]["code"] == "codex_unavailable"


async def test_an_answer_waits_among_those_of_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    running, clients = AnswerUnderTest(), list[str]()
    admit = running.admission.answer

    def note_and_admit(client: str) -> AbstractAsyncContextManager[anyio.CancelScope]:
        clients.append(client)
        return admit(client)

    monkeypatch.setattr(running.admission, "answer", note_and_admit)
    async with answering(running):
        running.say(ended())
    assert clients == [client_of(http_scope("/chat/completions"))] != [""]


async def test_a_server_that_stops_mid_stream_ends_the_turn_and_the_stream_with_an_error() -> None:
    running = AnswerUnderTest()
    async with answering(running) as exchange:
        running.say(delta("Hel"))
        await exchange.until(lambda: text_of(exchange) == "Hel")
        await running.admission.stop(grace=0)
    assert (exchange.status, exchange.complete) == (200, True)
    error, done = events_of(exchange)[-2:]
    assert (error["error"]["code"], done) == ("codex_unavailable", "data: [DONE]")


async def test_a_stopping_server_lets_an_answer_finish_within_the_grace_time() -> None:
    running = AnswerUnderTest()
    async with answering(running) as exchange:
        running.say(delta("Hel"))
        await exchange.until(lambda: text_of(exchange) == "Hel")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.admission.stop, NEVER)
            await anyio.wait_all_tasks_blocked()
            running.say(delta("lo"), ended())
    assert text_of(exchange) == "Hello"
    assert "error" not in str(events_of(exchange))


async def test_a_client_that_does_not_read_its_error_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "ERROR_PATIENCE", 0.01)
    running = AnswerUnderTest()
    async with answering(running) as exchange:
        running.say(delta("Hel"))
        await exchange.until(lambda: text_of(exchange) == "Hel")
        exchange.stop_reading()
        running.say(NO_QUOTA)
    assert text_of(exchange) == "Hel"
    assert not exchange.complete


async def test_a_client_that_does_not_read_does_not_delay_a_stopping_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answer, "ERROR_PATIENCE", 0.01)
    running = AnswerUnderTest()
    async with answering(running) as exchange:
        exchange.stop_reading()
        running.say(delta("Hel"))
        await exchange.until_something_is_held_up()
        await running.admission.stop(grace=0)
    assert exchange.status is None


async def test_the_turn_is_left_before_the_answer_is_complete() -> None:
    running, may_leave = AnswerUnderTest(), anyio.Event()
    running.while_leaving = may_leave.wait
    async with answering(running) as exchange:
        running.say(delta("Hello"), ended())
        await anyio.wait_all_tasks_blocked()
        assert not exchange.complete
        may_leave.set()
    assert exchange.complete


async def test_an_answer_with_calls_ends_when_the_response_is_complete_and_the_turn_is_left() -> None:
    running = AnswerUnderTest()
    async with answering(running) as exchange:
        running.say(delta("I look."), message("I look."), called("c1", "look", '{"at": 1}'))
        await exchange.until(lambda: len(choices_of(exchange)) == 2)
        assert not exchange.complete
        running.say(used(TokenUsage(1, 0, 1, 0)))
    assert (exchange.complete, running.left) == (True, 1)
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    assert [choice["delta"].get("tool_calls") for choice in choices_of(exchange)] == [None, [call], None]
    assert reasons_of(exchange) == ["tool_calls"]


async def test_reasoning_that_is_not_shown_does_not_start_the_answer() -> None:
    running = AnswerUnderTest()
    async with answering(running) as exchange:
        running.say(reasoning("Hm."))
        await anyio.wait_all_tasks_blocked()
        assert exchange.status is None
        running.say(delta("Hello"), ended())
    assert text_of(exchange) == "Hello"


async def test_an_answer_kept_alive_before_its_turn_opened_has_only_the_headers_of_its_plan() -> None:
    running, may_open = AnswerUnderTest(patience=0), anyio.Event()
    running.while_opening = may_open.wait
    async with answering(running) as exchange:
        await exchange.until(lambda: exchange.parts > 0)
        may_open.set()
        running.say(delta("Hello"), ended())
    assert exchange.headers["x-codex-proxy-ignored"] == "user"
    assert "x-codex-proxy-thread" not in exchange.headers
    assert text_of(exchange) == "Hello"


async def test_a_header_that_is_found_while_the_turn_opens_is_sent() -> None:
    async def find() -> None:
        running.headers["x-codex-proxy-model"] = "2.5-tpg"

    running = AnswerUnderTest()
    running.while_opening = find
    async with answering(running) as exchange:
        running.say(delta("Hello"), ended())
    assert exchange.headers["x-codex-proxy-model"] == "2.5-tpg"


# ── Several choices ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_choices_run_concurrently_and_are_streamed_as_they_arrive() -> None:
    running = AnswerUnderTest(choices=3)
    async with answering(running) as exchange:
        await anyio.wait_all_tasks_blocked()
        assert running.opened == 3
        for choice in (2, 0, 1):
            running.say(delta(f"I am {choice}"), choice=choice)
            await exchange.until(lambda choice=choice: text_of(exchange, choice) == f"I am {choice}")
        running.say(ended(), choice=1)
        running.say(ended(), choice=0)
        await anyio.wait_all_tasks_blocked()
        assert not exchange.complete
        running.say(delta("!"), ended(), choice=2)
    assert [text_of(exchange, index) for index in range(3)] == ["I am 0", "I am 1", "I am 2!"]
    assert [reasons_of(exchange, index) for index in range(3)] == [["stop"]] * 3
    assert events_of(exchange).index("data: [DONE]") == len(events_of(exchange)) - 1
    assert running.left == 3


async def test_choices_that_are_not_streamed_are_returned_together_in_order() -> None:
    running = AnswerUnderTest(whole, choices=2)
    async with answering(running) as exchange:
        await anyio.wait_all_tasks_blocked()
        running.say(delta("Second"), used(TokenUsage(10, 0, 1, 0)), ended(), choice=1)
        await anyio.wait_all_tasks_blocked()
        assert exchange.status is None
        running.say(delta("First"), used(TokenUsage(10, 0, 2, 0)), ended(), choice=0)
    answer = json.loads(exchange.body)
    assert [(one["index"], one["message"]["content"]) for one in answer["choices"]] == [(0, "First"), (1, "Second")]
    assert answer["usage"]["total_tokens"] == 23
    assert exchange.headers["content-length"] == str(len(exchange.body))


@pytest.mark.parametrize(
    "new_writer",
    [
        stream,
        whole,
    ],
)
async def test_the_end_of_the_answer_is_sent_last_even_if_an_earlier_choice_exits_slowly(
    new_writer: NewWriter,
) -> None:
    running, may_leave = AnswerUnderTest(new_writer, choices=2), anyio.Event()
    running.while_leaving = may_leave.wait
    async with answering(running) as exchange:
        await anyio.wait_all_tasks_blocked()
        running.say(delta("One"), ended(), choice=0)
        await anyio.wait_all_tasks_blocked()
        running.while_leaving = anyio.lowlevel.checkpoint
        running.say(delta("Two"), ended(), choice=1)
        await anyio.wait_all_tasks_blocked()
        may_leave.set()
    if new_writer is whole:
        assert [one["message"]["content"] for one in json.loads(exchange.body)["choices"]] == ["One", "Two"]
    else:
        assert (text_of(exchange, 0), text_of(exchange, 1)) == ("One", "Two")
        assert events_of(exchange).index("data: [DONE]") == len(events_of(exchange)) - 1


async def test_the_first_choice_that_fails_ends_them_all() -> None:
    running = AnswerUnderTest(choices=3)
    async with answering(running) as exchange:
        await anyio.wait_all_tasks_blocked()
        running.say(delta("Hel"), choice=0)
        await exchange.until(lambda: text_of(exchange) == "Hel")
        running.say(NO_QUOTA, choice=1)
    assert (exchange.status, running.left) == (200, 3)
    error, done = events_of(exchange)[-2:]
    assert (error["error"]["code"], done) == ("usage_limit_reached", "data: [DONE]")


@pytest.mark.parametrize("new_writer", [stream, whole])
async def test_a_choice_that_fails_before_the_first_byte_keeps_its_status(new_writer: NewWriter) -> None:
    running = AnswerUnderTest(new_writer, choices=2)
    async with answering(running) as exchange:
        await anyio.wait_all_tasks_blocked()
        running.say(NO_QUOTA, choice=1)
    assert (exchange.status, running.left) == (429, 2)


async def test_a_client_that_leaves_ends_all_choices() -> None:
    running = AnswerUnderTest(choices=3)
    async with answering(running) as exchange:
        await anyio.wait_all_tasks_blocked()
        running.say(delta("Hel"), choice=1)
        await exchange.until(lambda: text_of(exchange, 1) == "Hel")
        exchange.leave()
    assert (running.opened, running.left, exchange.complete) == (3, 3, False)


@pytest.mark.parametrize("new_writer", [stream, whole])
async def test_when_codex_dies_before_any_choice_started_all_are_repeated(new_writer: NewWriter) -> None:
    running = AnswerUnderTest(new_writer, choices=2)
    running.inboxes += [Inbox(), Inbox()]
    async with answering(running) as exchange:
        await anyio.wait_all_tasks_blocked()
        running.say(used(TokenUsage(1000, 0, 1000, 0)), choice=0)
        for inbox in running.inboxes[:2]:
            inbox.fail(ConnectionLostError("codex ended"))
        for choice in (2, 3):
            running.say(delta("Hello"), used(TokenUsage(10, 0, 1, 0)), ended(), choice=choice)
    assert (exchange.status, running.opened, running.left) == (200, 4, 4)
    if new_writer is whole:
        answer = json.loads(exchange.body)
        assert [one["message"]["content"] for one in answer["choices"]] == ["Hello", "Hello"]
        assert answer["usage"]["total_tokens"] == 22
    else:
        assert [text_of(exchange, index) for index in range(2)] == ["Hello", "Hello"]


async def test_when_codex_dies_after_one_choice_started_none_is_repeated() -> None:
    running = AnswerUnderTest(choices=2)
    async with answering(running) as exchange:
        await anyio.wait_all_tasks_blocked()
        running.say(delta("Hel"), choice=0)
        await exchange.until(lambda: text_of(exchange) == "Hel")
        running.inboxes[1].fail(ConnectionLostError("codex ended"))
    assert (exchange.status, running.opened) == (200, 2)
    assert events_of(exchange)[-2]["error"]["code"] == "codex_unavailable"


# ── Cursor ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("new_writer", [stream, whole])
@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (model_not_found("gtp-4", ["2.5-tpg"]), "model_not_found"),
        (ApiError(401, "authentication_error", "codex_not_logged_in", "Log in."), "codex_not_logged_in"),
        (DeadlineExceededError("codex did not answer thread/start"), "upstream_timeout"),
        (ZeroDivisionError("a secret"), "internal_error"),
    ],
    ids=["ours", "login", "a deadline", "unexpected"],
)
async def test_cursor_gets_every_error_as_a_400_because_it_shows_no_other(
    failure: Exception, code: str, new_writer: NewWriter
) -> None:
    async def fail() -> None:
        raise failure

    running = AnswerUnderTest(new_writer, cursor=True)
    running.while_opening = fail
    async with answering(running) as exchange:
        pass
    assert (exchange.status, json.loads(exchange.body)["error"]["code"]) == (400, code)


async def test_cursor_gets_a_failure_after_the_first_byte_at_the_end_of_the_text() -> None:
    running = AnswerUnderTest(cursor=True)
    async with answering(running) as exchange:
        running.say(delta("Hel"))
        await exchange.until(lambda: text_of(exchange) == "Hel")
        running.say(NO_QUOTA)
    assert text_of(exchange) == "Hel\n\nNo more today. Try again later."
    assert reasons_of(exchange) == ["stop"]
    assert events_of(exchange)[-1] == "data: [DONE]"
    assert "error" not in str(events_of(exchange))


async def overflowing(running: AnswerUnderTest, *said: Event) -> Exchange:
    """Return the answer when codex reports after these events that the context is too long."""
    async with answering(running) as exchange:
        if said:
            running.say(*said)
            await exchange.until(lambda: exchange.parts > 0)
        running.say(used(TokenUsage(1, 0, 0, 0)), TOO_LONG)
    return exchange


async def test_cursor_gets_a_context_that_is_too_long_as_a_stream_that_makes_it_compact() -> None:
    exchange = await overflowing(AnswerUnderTest(cursor=True))
    assert (exchange.status, exchange.complete, text_of(exchange)) == (200, True, "")
    assert exchange.headers["content-type"].startswith("text/event-stream")
    assert exchange.headers["content-length"] == str(len(exchange.body))
    assert reasons_of(exchange) == ["stop"]
    last, done = events_of(exchange)[-2:]
    assert (last["usage"]["prompt_tokens"], done) == (OVERFLOW_TOKENS, "data: [DONE]")


async def test_cursor_gets_a_context_that_is_too_long_as_a_whole_answer_if_it_streams_none() -> None:
    exchange = await overflowing(AnswerUnderTest(whole, cursor=True))
    answer = json.loads(exchange.body)
    assert (exchange.status, answer["usage"]["prompt_tokens"]) == (200, OVERFLOW_TOKENS)
    [choice] = answer["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "stop")


async def test_a_stream_that_was_only_kept_alive_can_still_make_cursor_compact() -> None:
    running = AnswerUnderTest(cursor=True, patience=0)
    async with answering(running) as exchange:
        await exchange.until(lambda: exchange.parts == 1)
        running.say(TOO_LONG)
    last, done = events_of(exchange)[-2:]
    assert (last["usage"]["prompt_tokens"], done) == (OVERFLOW_TOKENS, "data: [DONE]")


async def test_a_context_that_is_too_long_within_the_answer_is_an_error_for_cursor_too() -> None:
    exchange = await overflowing(AnswerUnderTest(cursor=True), delta("Hel"))
    assert text_of(exchange) == "Hel\n\nToo long. Shorten the conversation."
    assert str(OVERFLOW_TOKENS) not in exchange.body.decode()


async def test_other_clients_get_an_error_when_the_context_is_too_long() -> None:
    exchange = await overflowing(AnswerUnderTest())
    assert (exchange.status, json.loads(exchange.body)["error"]["code"]) == (400, "context_length_exceeded")


async def test_nothing_follows_the_end_of_an_answer_that_the_client_reads_late(clock: Clock) -> None:
    running = AnswerUnderTest(patience=4, pause=0)
    async with answering(running) as exchange:
        exchange.stop_reading()
        running.say(delta("Hello"), ended())
        await exchange.until_something_is_held_up()
        await clock.advance(4)
        exchange.read_on()
    assert exchange.complete
    assert exchange.body.endswith(b"data: [DONE]\n\n")
