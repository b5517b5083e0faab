"""The events that wait for one consumer: in order, bounded, ended by a failure, with deltas joined if it wants that."""

from __future__ import annotations

import gc
import itertools
import weakref

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_rpc.client.inbox import Inbox
from codex_rpc.errors import CodexError, ConnectionLostError, InboxOverflowError
from codex_rpc.wire.events import (
    Event,
    FinishedTurn,
    MessageDelta,
    RawItemCompleted,
    ReasoningDelta,
    ResponseCompleted,
    ToolCallAsked,
    TurnCompleted,
    Warned,
)
from codex_rpc.wire.messages import Request

COMPLETED = TurnCompleted("t", FinishedTurn("u", "completed"))
RESPONSE = ResponseCompleted("t", "u", None)
ITEM = RawItemCompleted("t", "u", {"type": "function_call"})
THOUGHT = ReasoningDelta("t", "u", "r", "hm")
ASKED = ToolCallAsked("t", "u", "c", "add", {}, request=Request(0, "item/tool/call", {}))
WARNED = Warned("t", "careful")
NEXT_TURN = MessageDelta("t", "u2", "i", "b")


def delta(text: str, item_id: str = "i", pieces: int = 1) -> MessageDelta:
    return MessageDelta("t", "u", item_id, text, pieces)


def filled(*events: Event, max_waiting: int = 1000) -> Inbox:
    inbox = Inbox(max_waiting)
    for event in events:
        inbox.put(event, 10)
    return inbox


@pytest.mark.parametrize(
    ("events", "merged"),
    [
        ([delta("a")], [delta("a")]),
        ([delta("a"), delta("b"), delta("c")], [delta("abc", pieces=3)]),
        ([delta("a", "1"), delta("b", "2"), delta("c", "1")], [delta("a", "1"), delta("b", "2"), delta("c", "1")]),
        ([delta("a"), RESPONSE, delta("b")], [delta("a"), RESPONSE, delta("b")]),
        ([ITEM, ITEM, RESPONSE, COMPLETED], [ITEM, ITEM, RESPONSE, COMPLETED]),
        ([THOUGHT, THOUGHT, ASKED, ASKED, WARNED], [THOUGHT, THOUGHT, ASKED, ASKED, WARNED]),
        ([delta("a"), THOUGHT, delta("b")], [delta("a"), THOUGHT, delta("b")]),
        ([delta("a"), ASKED, delta("b"), WARNED, delta("c")], [delta("a"), ASKED, delta("b"), WARNED, delta("c")]),
        (
            [ITEM, delta("a"), delta("b"), delta("x", "2"), COMPLETED],
            [ITEM, delta("ab", pieces=2), delta("x", "2"), COMPLETED],
        ),
        ([delta(""), delta("")], [delta("", pieces=2)]),
        ([delta("a"), NEXT_TURN, NEXT_TURN], [delta("a"), MessageDelta("t", "u2", "i", "bb", 2)]),
    ],
)
async def test_runs_of_deltas_of_one_item_are_joined(events: list[Event], merged: list[Event]):
    assert await filled(*events).take(joined=True) == merged


deltas = st.builds(delta, st.text("ab"), st.sampled_from(["1", "2"]))


@given(st.lists(deltas | st.sampled_from([ITEM, THOUGHT, ASKED, WARNED, RESPONSE, COMPLETED]), min_size=1))
@settings(deadline=None)
async def test_joining_loses_nothing_and_leaves_nothing_to_join(events: list[Event]):
    def letters(of: list[Event]) -> list[object]:
        """All events, each delta split into its letters."""
        return [
            letter
            for event in of
            for letter in ([(event.item_id, it) for it in event.text] if isinstance(event, MessageDelta) else [event])
        ]

    def pieces(of: list[Event]) -> int:
        return sum(event.pieces for event in of if isinstance(event, MessageDelta))

    merged = await filled(*events).take(joined=True)

    assert letters(merged) == letters(events)
    assert pieces(merged) == pieces(events)
    for one, next_one in itertools.pairwise(merged):
        match one, next_one:
            case MessageDelta(item_id=item_id), MessageDelta(item_id=next_item_id):
                assert item_id != next_item_id
            case _:
                pass
    assert await filled(*events).take() == events


async def test_all_waiting_events_are_taken_at_once_in_order_and_only_once():
    inbox = filled(ITEM, delta("a"), delta("b"), THOUGHT, ASKED, WARNED, RESPONSE)

    assert await inbox.take() == [ITEM, delta("a"), delta("b"), THOUGHT, ASKED, WARNED, RESPONSE]

    inbox.put(COMPLETED, 10)
    assert await inbox.take() == [COMPLETED]


async def test_texts_of_one_message_are_taken_as_deltas_or_joined_in_the_order_of_all_events():
    def filled_with_texts() -> Inbox:
        first, second = delta("a"), delta("x", "2")
        inbox = filled(first)
        inbox.put_text(first, "b", 10)
        inbox.put_text(first, "c", 10)
        inbox.put(THOUGHT, 10)
        inbox.put_text(first, "d", 10)
        inbox.put(second, 10)
        inbox.put_text(second, "y", 10)
        inbox.put_text(first, "e", 10)
        return inbox

    apart: list[Event] = [
        *(delta(text) for text in "abc"),
        THOUGHT,
        delta("d"),
        delta("x", "2"),
        delta("y", "2"),
        delta("e"),
    ]
    assert await filled_with_texts().take() == apart
    assert await filled_with_texts().take(joined=True) == [
        delta("abc", pieces=3),
        THOUGHT,
        delta("d"),
        delta("xy", "2", pieces=2),
        delta("e"),
    ]


async def test_texts_that_arrive_after_a_take_are_taken_next():
    first = delta("a")
    inbox = filled(first)
    inbox.put_text(first, "b", 10)
    await inbox.take()

    inbox.put_text(first, "c", 10)

    assert await inbox.take() == [delta("c")]


async def test_too_many_waiting_texts_end_in_a_failure():
    first = delta("a")
    inbox = filled(first, max_waiting=30)
    for text in "bcd":
        inbox.put_text(first, text, 10)
    inbox.put_text(first, "e", 10)

    with pytest.raises(InboxOverflowError):
        await inbox.take()


async def test_a_consumer_of_an_empty_inbox_waits_for_the_next_event():
    inbox = Inbox()
    taken: list[list[Event]] = []

    async def consume() -> None:
        for _ in range(3):
            taken.append(await inbox.take())

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(consume)
            for event in (delta("a"), RESPONSE, COMPLETED):
                await anyio.wait_all_tasks_blocked()
                inbox.put(event, 10)

    assert taken == [[delta("a")], [RESPONSE], [COMPLETED]]


async def test_a_waiting_consumer_gets_the_failure_at_once():
    inbox = Inbox()
    failure = ConnectionLostError("codex ended")
    told: list[CodexError] = []

    async def consume() -> None:
        with pytest.raises(ConnectionLostError) as caught:
            await inbox.take()
        told.append(caught.value)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(consume)
            await anyio.wait_all_tasks_blocked()
            inbox.fail(failure)

    assert told == [failure]


async def test_events_before_a_failure_are_taken_before_it_is_raised():
    inbox = filled(delta("a"), COMPLETED)
    inbox.fail(ConnectionLostError("codex ended"))

    assert await inbox.take() == [delta("a"), COMPLETED]
    for _ in range(2):
        with pytest.raises(ConnectionLostError, match="codex ended"):
            await inbox.take()


async def test_a_second_failure_does_not_replace_the_first():
    inbox = Inbox()
    inbox.fail(ConnectionLostError("the cause"))
    inbox.fail(ConnectionLostError("a consequence"))

    with pytest.raises(ConnectionLostError, match="the cause"):
        await inbox.take()


async def test_events_after_a_failure_are_dropped():
    inbox = Inbox()
    inbox.fail(ConnectionLostError("codex ended"))
    inbox.put(COMPLETED, 10)

    with pytest.raises(ConnectionLostError):
        await inbox.take()


async def test_a_take_that_times_out_returns_nothing_and_loses_nothing():
    inbox = Inbox()

    assert await inbox.take(until=0) == []
    assert await inbox.take(until=anyio.current_time() + 0.01) == []

    inbox.put(COMPLETED, 10)
    assert await inbox.take(until=0) == [COMPLETED]


async def test_a_take_may_time_out_later_or_earlier_than_the_one_before():
    inbox = filled(ITEM)
    soon, late = anyio.current_time() + 0.01, anyio.current_time() + 1000

    assert await inbox.take(late) == [ITEM]
    assert await inbox.take(soon) == []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(inbox.take, late)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert await inbox.take(anyio.current_time() + 0.01) == []

    async def put_after_the_first_time_has_passed() -> None:
        await anyio.sleep_until(soon + 0.05)
        inbox.put(COMPLETED, 10)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put_after_the_first_time_has_passed)
        assert await inbox.take(late) == [COMPLETED]
    inbox.close()


async def test_a_closed_inbox_has_no_timer():
    inbox = Inbox()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(inbox.take, anyio.current_time() + 1000)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    gone = weakref.ref(inbox)

    inbox.close()
    del inbox, tasks
    gc.collect()

    assert gone() is None


async def test_an_inbox_holds_exactly_as_many_bytes_as_it_may():
    inbox = filled(delta("a"), delta("b"), COMPLETED, max_waiting=30)

    assert await inbox.take() == [delta("a"), delta("b"), COMPLETED]


async def test_an_overflow_replaces_all_events_by_a_failure():
    inbox = filled(delta("a"), delta("b"), delta("c"), max_waiting=29)
    inbox.put(COMPLETED, 0)

    for _ in range(2):
        with pytest.raises(InboxOverflowError, match="29 bytes"):
            await inbox.take()


async def test_an_inbox_holds_no_text_after_an_overflow():
    class Text(str):
        """A string that supports weak references."""

        __slots__ = ("__weakref__",)

    inbox, text = filled(delta("a"), max_waiting=20), Text("b")
    gone = weakref.ref(text)
    inbox.put_text(delta("a"), text, 10)
    del text
    assert gone() is not None

    inbox.put(COMPLETED, 10)

    assert gone() is None


async def test_taken_events_no_longer_count_against_the_limit():
    inbox = Inbox(max_waiting=10)
    for _ in range(5):
        inbox.put(COMPLETED, 10)
        assert await inbox.take() == [COMPLETED]


async def test_a_cancelled_take_loses_no_event():
    inbox = Inbox()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await inbox.take()
    inbox.put(COMPLETED, 10)

    with anyio.fail_after(5):
        assert await inbox.take() == [COMPLETED]
