from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, cast

import anyio
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.config import ReasoningDisplay
from bridge.conversation import turns
from bridge.conversation.events import Failed, Finished, ItemDone, TextDelta, ToolCall, TurnEvent, Used
from bridge.conversation.expected_history import Dialect
from bridge.conversation.limits import Limits
from bridge.conversation.prompt import Prompt, function_call, function_call_output, message
from bridge.conversation.token_estimate import estimate_tokens
from bridge.conversation.tools import Tool, Toolbox, codex_name
from bridge.conversation.turns import LivingThread, Turn
from bridge.errors import ApiError, upstream_failed
from bridge.openai.chat.answer import ChatAnswer
from bridge.openai.chat.completion import ChatCompletion
from bridge.openai.chat.request import parse
from codex_rpc.client.client import Client
from codex_rpc.client.inbox import Inbox
from codex_rpc.errors import ConnectionLostError
from codex_rpc.wire.calls import Call, turn_interrupt
from codex_rpc.wire.events import (
    CodexFailure,
    Event,
    FinishedTurn,
    MessageDelta,
    ReasoningDelta,
    TokenUsage,
    ToolCallAsked,
    TurnCompleted,
    Warned,
)
from codex_rpc.wire.messages import Request
from codex_rpc.wire.protocol import tool_call_failure, tool_call_result
from tests.bridge.conversation import codex_events as codex
from tests.bridge.conversation.codex_events import THREAD, TURN, delta, ended, reported, used

USAGE = TokenUsage(9, 0, 3, 0)
SHELL = Tool.function("exec_command", "Runs.", {})
"""A tool with another name in codex."""
PROMPT = Prompt("gpt", (message("user", "Go."),), Toolbox((SHELL,)))
CALLS = Finished("tool_calls")


class FakeClient:
    """Records the answers to codex's calls and the interrupts; refuses any other call."""

    def __init__(self) -> None:
        self.interrupts = 0
        self.answers: list[tuple[Any, Any]] = []

    def answer(self, request: Request, result: Any) -> None:
        self.answers.append((request.id, result))

    async def call(self, call: Call[None]) -> None:
        assert call == turn_interrupt(THREAD, TURN), "a turn makes no other call"
        self.interrupts += 1


class ScriptedThread:
    """A thread whose codex events the test provides."""

    def __init__(self) -> None:
        self.codex = FakeClient()
        self.thread = LivingThread(cast("Client", self.codex), THREAD, Inbox(), turn_id=TURN)

    def say(self, *events: Event) -> None:
        for event in events:
            self.thread.inbox.put(event, 1)

    def turn(
        self,
        outputs: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        *,
        prompt: Prompt = PROMPT,
        idle: float = 60,
        dialect: Dialect = "chat",
    ) -> Turn:
        return Turn(self.thread, prompt, outputs or {}, limits or Limits(), idle, dialect=dialect)

    def answered(self, outputs: Mapping[str, Any]) -> bool:
        """Return whether codex got exactly these outputs, in any order."""
        got = sorted(self.codex.answers, key=lambda answer: answer[0])
        return got == [(f"ask {name}", tool_call_result(outputs[name])) for name in sorted(outputs)]


def call(call_id: str, name: str = "exec_command") -> Event:
    return codex.item({**function_call(call_id, codex_name(name), "{}"), "id": f"fc_{call_id}"})


def asks(call_id: str, turn_id: str = TURN, name: str = codex_name("exec_command")) -> ToolCallAsked:
    return ToolCallAsked(THREAD, turn_id, call_id, name, {}, request=Request(f"ask {call_id}", "item/tool/call", {}))


async def read(turn: Turn) -> list[TurnEvent]:
    """Return all events to the end of the answer, without completed items."""
    events: list[TurnEvent] = []
    with anyio.fail_after(5):
        while not (events and isinstance(events[-1], Finished | Failed)):
            events += await turn.next_events()
    return [event for event in events if not isinstance(event, ItemDone)]


def called(*calls: str) -> list[TurnEvent]:
    return [ToolCall(one, "exec_command", "{}") for one in calls]


async def test_an_answer_is_read_to_its_end() -> None:
    scripted = ScriptedThread()
    turn = scripted.turn()
    scripted.say(delta("Hel"), delta("lo"), reported(), codex.message("Hello"), used(USAGE))
    whole = ItemDone(message("assistant", "Hello"))
    assert await turn.next_events() == [TextDelta("Hello", 2), whole, Used(USAGE)]
    assert turn.outcome == "running"
    scripted.say(ended())
    assert await read(turn) == [Finished("stop")]
    assert (turn.outcome, turn.awaited, scripted.thread.turn_id) == ("complete", frozenset(), None)
    assert turn.expected_history() == [message("assistant", "Hello")]
    assert turn.items == [message("assistant", "Hello")]


@pytest.mark.parametrize("limits", [Limits(), Limits(stop=("\n\n", "!"))], ids=["no limits", "stop sequences"])
async def test_in_chat_a_blank_line_separates_the_messages_of_an_answer(limits: Limits) -> None:
    scripted = ScriptedThread()
    turn = scripted.turn(limits=limits)
    scripted.say(codex.message(""), codex.message("I look."), codex.message("It is 5."), used(USAGE))
    scripted.say(ended())
    assert await read(turn) == [TextDelta("I look."), TextDelta("\n\nIt is 5."), Used(USAGE), Finished("stop")]
    assert turn.expected_history() == [message("assistant", "I look.\n\nIt is 5.")]
    assert [one["content"][0]["text"] for one in turn.items] == ["", "I look.", "It is 5."]


async def test_in_responses_the_messages_of_an_answer_are_items() -> None:
    scripted = ScriptedThread()
    turn = scripted.turn(dialect="responses")
    scripted.say(codex.message("I look."), codex.message("It is 5."), used(USAGE), ended())
    assert await read(turn) == [TextDelta("I look."), TextDelta("It is 5."), Used(USAGE), Finished("stop")]
    assert turn.expected_history() == [message("assistant", "I look."), message("assistant", "It is 5.")]


async def test_an_answer_with_calls_suspends_the_turn() -> None:
    scripted = ScriptedThread()
    turn = scripted.turn()
    reasoning = {"type": "reasoning", "encrypted_content": "x"}
    scripted.say(codex.item(reasoning), codex.message("I look."), call("c1"), asks("c1"), call("c2"), used(USAGE))
    assert await read(turn) == [TextDelta("I look."), *called("c1", "c2"), Used(USAGE), CALLS]
    assert (turn.outcome, turn.awaited, scripted.thread.turn_id) == ("suspended", {"c1", "c2"}, TURN)
    calls = [function_call(call_id, codex_name("exec_command"), "{}") for call_id in ("c1", "c2")]
    assert turn.expected_history() == [message("assistant", "I look."), *calls]
    raw = [{**one, "id": f"fc_{one['call_id']}"} for one in calls]
    assert turn.items == [reasoning, message("assistant", "I look."), *raw]
    assert scripted.codex.answers == []


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([ended()], [message("assistant", "")]),
        ([call("c1"), used(None)], [function_call("c1", codex_name("exec_command"), "{}")]),
    ],
    ids=["nothing", "a call alone"],
)
async def test_an_answer_without_text_is_expected_as_clients_send_it(events: list[Event], expected: list[Any]) -> None:
    scripted = ScriptedThread()
    turn = scripted.turn()
    scripted.say(*events)
    await read(turn)
    assert turn.expected_history() == expected


async def test_the_call_of_a_custom_tool_is_expected_as_the_model_wrote_it() -> None:
    scripted = ScriptedThread()
    turn = scripted.turn(prompt=Prompt("gpt", PROMPT.items, Toolbox((Tool.custom("patch", "", None),))))
    scripted.say(codex.item(dict(function_call("c1", "patch", '{"input": "+x"}'))), used(USAGE))
    assert await read(turn) == [ToolCall("c1", "patch", "+x", "custom"), Used(USAGE), CALLS]
    assert turn.expected_history() == [function_call("c1", "patch", '{"input":"+x"}')]


OUTPUTS = {"c1": "one", "c2": [{"type": "input_text", "text": "two"}]}


@pytest.mark.parametrize(
    ("before", "after"),
    [("12", ""), ("21", ""), ("", "12"), ("", "21"), ("1", "2"), ("2", "1")],
    ids=lambda calls: calls or "none",
)
async def test_codex_gets_each_output_whether_it_asks_before_or_after_its_arrival(before: str, after: str) -> None:
    scripted = ScriptedThread()
    scripted.say(call("c1"), call("c2"), *(asks(f"c{one}") for one in before), used(USAGE))
    await read(scripted.turn())
    assert scripted.codex.answers == []
    turn = scripted.turn(OUTPUTS)
    turn.hand_over()
    assert scripted.answered({f"c{one}": OUTPUTS[f"c{one}"] for one in before})
    for one in after:
        scripted.say(asks(f"c{one}"))
    scripted.say(delta("Done."), used(USAGE), ended())
    assert await read(turn) == [TextDelta("Done."), Used(USAGE), Finished("stop")]
    assert scripted.answered(OUTPUTS)
    assert (scripted.thread.open_calls, scripted.thread.outputs) == ({}, {})


async def test_outputs_that_were_handed_over_are_not_part_of_the_answer() -> None:
    scripted = ScriptedThread()
    scripted.say(call("c1"), used(USAGE))
    await read(scripted.turn())
    turn = scripted.turn({"c1": "one"})
    scripted.say(
        asks("c1"), codex.item(dict(function_call_output("c1", "one"))), codex.message("Done."), used(USAGE), ended()
    )
    assert await read(turn) == [TextDelta("Done."), Used(USAGE), Finished("stop")]
    assert turn.items == [message("assistant", "Done.")]
    assert turn.expected_history() == [message("assistant", "Done.")]


async def test_events_of_other_turns_are_skipped() -> None:
    scripted = ScriptedThread()
    turn = scripted.turn()
    other = MessageDelta(THREAD, "turn_0", "msg_1", "old"), TurnCompleted(THREAD, FinishedTurn("turn_0", "completed"))
    scripted.say(*other, delta("new"), *other, used(USAGE), ended())
    assert await read(turn) == [TextDelta("new"), Used(USAGE), Finished("stop")]


@pytest.mark.parametrize(
    ("warning", "fell_back"), [("Falling back from WebSockets to HTTPS.", True), ("Be careful.", False)]
)
async def test_a_thread_that_fell_back_to_http_is_marked(warning: str, fell_back: bool) -> None:
    scripted = ScriptedThread()
    scripted.say(Warned(THREAD, warning), Warned(THREAD, "Something else."), delta("Hi."), used(USAGE), ended())
    assert await read(scripted.turn()) == [TextDelta("Hi."), Used(USAGE), Finished("stop")]
    assert scripted.thread.fell_back == fell_back


async def test_a_client_that_wants_one_call_at_a_time_gets_one_in_each_answer() -> None:
    scripted = ScriptedThread()
    prompt = Prompt("gpt", PROMPT.items, PROMPT.toolbox, one_call_at_a_time=True)
    scripted.say(call("c1"), call("c2"), call("c3"), asks("c2"))
    answers: list[list[TurnEvent]] = []
    outputs: dict[str, str] = {}
    for call_id in ("c1", "c2", "c3"):
        turn = scripted.turn(outputs, prompt=prompt)
        turn.hand_over()
        answers.append(await turn.next_events())
        if call_id == "c1":
            scripted.say(used(USAGE))
            answers[0] += await read(turn)
        assert turn.expected_history() == [function_call(call_id, codex_name("exec_command"), "{}")]
        assert (turn.awaited, turn.outcome) == ({call_id}, "suspended")
        outputs = {call_id: call_id}
    nothing = Used(TokenUsage(0, 0, 0, 0))
    assert answers == [[*called("c1"), Used(USAGE), CALLS]] + [[*called(one), nothing, CALLS] for one in ("c2", "c3")]
    turn = scripted.turn(outputs, prompt=prompt)
    turn.hand_over()
    assert scripted.answered({"c2": "c2"})
    scripted.say(asks("c3"), asks("c1"), delta("Done."), used(USAGE), ended())
    assert await read(turn) == [TextDelta("Done."), Used(USAGE), Finished("stop")]
    assert scripted.answered({"c1": "c1", "c2": "c2", "c3": "c3"})


async def test_outputs_that_arrive_one_at_a_time_are_not_part_of_the_answer() -> None:
    scripted = ScriptedThread()
    prompt = Prompt("gpt", PROMPT.items, PROMPT.toolbox, one_call_at_a_time=True)
    scripted.say(call("c1"), call("c2"), asks("c1"), asks("c2"), used(USAGE))
    outputs: dict[str, str] = {}
    for call_id in ("c1", "c2"):
        await read(scripted.turn(outputs, prompt=prompt))
        outputs = {call_id: call_id}
        turn = scripted.turn(outputs, prompt=prompt)
        turn.hand_over()
    scripted.say(*(codex.item(dict(function_call_output(one, "output"))) for one in ("c1", "c2")), ended())
    await read(turn)
    assert turn.items == []


@pytest.mark.parametrize("event", [delta("Hi."), call("c1")], ids=["text", "a call that codex does not request"])
async def test_a_silent_model_ends_the_answer(event: Event) -> None:
    scripted = ScriptedThread()
    turn = scripted.turn(idle=0.01)
    scripted.say(event)
    assert len(await turn.next_events()) == 1
    with anyio.fail_after(5), pytest.raises(ApiError) as caught:
        await turn.next_events()
    assert (caught.value.status, caught.value.code, turn.outcome) == (504, "upstream_timeout", "running")


async def test_a_silent_model_ends_the_answer_by_the_clock_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda: time.monotonic() - 1000)
    with anyio.fail_after(5), pytest.raises(ApiError) as caught:
        await ScriptedThread().turn(idle=0.01).next_events()
    assert caught.value.code == "upstream_timeout"


async def test_an_answer_with_calls_ends_although_its_stream_was_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "CALLS_WITHOUT_END", 0.01)
    scripted = ScriptedThread()
    turn = scripted.turn()
    scripted.say(call("c1"), asks("c1"))
    *calls, usage, end = await read(turn)
    assert (calls, end) == (called("c1"), CALLS)
    assert isinstance(usage, Used)
    assert usage.usage.input > 0 < usage.usage.output
    assert (turn.outcome, turn.awaited) == ("suspended", {"c1"})


@pytest.mark.parametrize("events", [[asks("c1"), used(USAGE)], [used(USAGE), asks("c1")]], ids=["before", "after"])
async def test_a_call_that_codex_requests_reaches_the_client_without_its_item(events: list[Event]) -> None:
    scripted = ScriptedThread()
    turn = scripted.turn()
    scripted.say(*events)
    answer = await read(turn)
    assert sorted(map(repr, answer)) == sorted(map(repr, [*called("c1"), Used(USAGE), CALLS]))
    assert answer[-1] == CALLS
    assert turn.items == [function_call("c1", codex_name("exec_command"), "{}")]
    assert (turn.outcome, turn.awaited) == ("suspended", {"c1"})


async def test_a_requested_call_of_an_undeclared_tool_is_refused() -> None:
    scripted = ScriptedThread()
    turn = scripted.turn()
    scripted.say(asks("c1", name="no_such_tool"), delta("Sorry."), used(USAGE), ended())
    assert await read(turn) == [TextDelta("Sorry."), Used(USAGE), Finished("stop")]
    assert scripted.codex.answers == [("ask c1", tool_call_failure("There is no tool no_such_tool."))]


BAD = codex.called("c1", codex_name("exec_command"), '{"q": "unterm')


async def test_a_turn_whose_call_codex_cannot_parse_is_interrupted() -> None:
    scripted = ScriptedThread()
    turn = scripted.turn()
    scripted.say(BAD)
    [tool_call, _] = await turn.next_events(), scripted.codex.interrupts
    assert tool_call == [ToolCall("c1", "exec_command", '{"q": "unterm')]
    assert scripted.codex.interrupts == 1
    scripted.say(codex.output("c1", "failed to parse function arguments"), ended("interrupted"))
    usage, end = await read(turn)
    assert isinstance(usage, Used)
    assert (end, turn.outcome, turn.awaited, scripted.codex.interrupts) == (CALLS, "codex-answered", {"c1"}, 1)
    assert turn.items == [BAD.item]


async def test_a_call_that_codex_cannot_parse_waits_for_the_others_of_its_step() -> None:
    scripted = ScriptedThread()
    turn = scripted.turn()
    scripted.say(call("c2"), BAD, asks("c2"), codex.output("c1", "failed to parse function arguments"))
    assert await turn.next_events() == [*called("c2"), ToolCall("c1", "exec_command", '{"q": "unterm')]
    scripted.say(call("c3"), used(USAGE))
    assert await read(turn) == [*called("c3"), Used(USAGE), CALLS]
    assert (turn.outcome, turn.awaited, scripted.codex.interrupts) == ("codex-answered", {"c1", "c2", "c3"}, 0)


async def test_the_client_answers_a_call_that_codex_has_answered_itself() -> None:
    """This holds for any reason: here codex could have parsed the arguments."""
    scripted = ScriptedThread()
    turn = scripted.turn()
    scripted.say(call("c1"), codex.output("c1", "something is wrong"), used(USAGE))
    assert await read(turn) == [*called("c1"), Used(USAGE), CALLS]
    assert turn.outcome == "codex-answered"


async def test_a_call_id_used_again_in_a_later_step_is_another_call() -> None:
    scripted = ScriptedThread()
    turn = scripted.turn()
    scripted.say(call("c1"), used(USAGE), asks("c1"))
    await read(turn)
    turn = scripted.turn({"c1": "one"})
    turn.hand_over()
    scripted.say(codex.output("c1", "one"), call("c1"), used(USAGE), asks("c1"))
    assert await read(turn) == [*called("c1"), Used(USAGE), CALLS]
    assert (turn.outcome, [answer[0] for answer in scripted.codex.answers]) == ("suspended", ["ask c1"])


async def test_the_end_of_codex_is_raised_after_its_last_events() -> None:
    scripted = ScriptedThread()
    turn = scripted.turn()
    scripted.say(delta("Hi."))
    scripted.thread.inbox.fail(ConnectionLostError("codex ended"))
    assert await turn.next_events() == [TextDelta("Hi.")]
    with pytest.raises(ConnectionLostError, match="codex ended"):
        await turn.next_events()
    assert turn.outcome == "running"


def letters(text: str) -> Iterable[Event]:
    return (delta(letter) for letter in text)


@pytest.mark.parametrize(
    ("limits", "text", "tokens", "reason"),
    [(Limits(max_tokens=2), "ab", 2, "length"), (Limits(("cd",)), "ab", 4, "stop")],
    ids=["tokens", "stop"],
)
@pytest.mark.parametrize("end", [(), (used(USAGE), ended())], ids=["cut off", "with the end already there"])
async def test_an_answer_that_ends_at_a_limit_has_an_estimated_usage(
    limits: Limits, text: str, tokens: int, reason: Any, end: tuple[Event, ...]
) -> None:
    scripted = ScriptedThread()
    turn = scripted.turn(limits=limits)
    scripted.say(*letters("abcd"), *end)
    *out, usage, finished = await read(turn)
    assert "".join(event.text for event in out if isinstance(event, TextDelta)) == text
    sent = estimate_tokens(PROMPT.items, PROMPT.toolbox)
    assert (usage, finished) == (Used(TokenUsage(sent, 0, tokens, 0)), Finished(reason))
    assert (turn.outcome, scripted.thread.turn_id, turn.expected_history()) == (
        "running",
        TURN,
        [message("assistant", text)],
    )


async def test_an_answer_within_its_limits_is_complete_with_its_true_usage() -> None:
    scripted = ScriptedThread()
    turn = scripted.turn(limits=Limits(("b!",), 9))
    scripted.say(*letters("ab"), used(USAGE), ended())
    assert await read(turn) == [TextDelta("a"), TextDelta("b", 0), Used(USAGE), Finished("stop")]
    assert (turn.outcome, scripted.thread.turn_id, turn.expected_history()) == (
        "complete",
        None,
        [message("assistant", "ab")],
    )


INCOMPLETE = CodexFailure("Incomplete response returned, reason: max_output_tokens")


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (
            ended("failed", CodexFailure("Broke.", "internalServerError")),
            upstream_failed("Broke. Try again in a moment."),
        ),
        (ended("interrupted"), upstream_failed("The turn was interrupted.")),
        (ended("failed", INCOMPLETE), Finished("length")),
    ],
    ids=["failed", "interrupted", "too long"],
)
async def test_a_turn_that_does_not_complete_has_failed(end: Event, last: ApiError | Finished) -> None:
    scripted = ScriptedThread()
    turn = scripted.turn()
    scripted.say(delta("Hi"), end)
    *_, event = await read(turn)
    assert (event.error.body() if isinstance(event, Failed) else event) == (
        last.body() if isinstance(last, ApiError) else last
    )
    assert (turn.outcome, scripted.thread.turn_id) == ("failed", None)


@pytest.mark.parametrize(
    "end", [ended("interrupted"), ended("failed", CodexFailure("Broke."))], ids=["so", "otherwise"]
)
async def test_a_turn_that_is_cancelled_is_interrupted_and_ends_as_cancelled(end: Event) -> None:
    scripted = ScriptedThread()
    turn = scripted.turn()
    scripted.say(delta("Hel"))
    assert await turn.next_events() == [TextDelta("Hel")]
    await turn.cancel()
    assert scripted.codex.interrupts == 1
    scripted.say(end)
    *_, last = await read(turn)
    assert last == Finished("cancelled")
    assert (turn.outcome, scripted.thread.turn_id) == ("failed", None)


async def test_a_turn_that_was_complete_before_it_could_be_cancelled_is_complete() -> None:
    scripted = ScriptedThread()
    turn = scripted.turn()
    scripted.say(delta("Hi."), used(USAGE), ended())
    await turn.cancel()
    assert await read(turn) == [TextDelta("Hi."), Used(USAGE), Finished("stop")]
    assert turn.outcome == "complete"
    await turn.cancel()
    assert scripted.codex.interrupts == 1


async def sent_and_expected(
    display: ReasoningDisplay, texts: list[tuple[bool, str]], calls: int
) -> tuple[list[Any], list[Any]]:
    """Return the answer as the client's next request has it, and as the turn expects it.

    `texts` are the deltas, each with True for reasoning and False for text.
    """
    scripted = ScriptedThread()
    names = [f"c{number}" for number in range(calls)]
    scripted.say(*(ReasoningDelta(THREAD, TURN, "rs_1", text) if hidden else delta(text) for hidden, text in texts))
    scripted.say(*map(call, names), used(None), ended())
    turn, writer = scripted.turn(), ChatCompletion(ChatAnswer("id", 0, "gpt", display=display))
    answer = orjson.loads(writer.feed(await read(turn)))["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": name, "content": ""} for name in names]
    tools = [{"type": "function", "function": {"name": "exec_command"}}]
    body = {"model": "gpt", "tools": tools, "messages": [{"role": "user", "content": "Go."}, answer, *results]}
    sent = parse(body, display).items
    return [*sent[1 : len(sent) - calls]], turn.expected_history()


TEXTS = st.lists(st.tuples(st.booleans(), st.text(min_size=1, max_size=9)), max_size=4)


@given(st.sampled_from(["off", "reasoning_content", "think", "details"]), TEXTS, st.integers(0, 2))
@example("think", [(True, "Hm.")], 1)
@settings(deadline=None, max_examples=60)
async def test_the_client_sends_back_the_expected_history(
    display: ReasoningDisplay, texts: list[tuple[bool, str]], calls: int
) -> None:
    sent, expected = await sent_and_expected(display, texts, calls)
    assert sent == expected
