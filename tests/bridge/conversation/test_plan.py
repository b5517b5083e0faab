from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bridge.conversation.plan import (
    LOST,
    AnswerTools,
    CachedThread,
    Continue,
    Conversations,
    HistoryHash,
    HistoryHashes,
    NewThread,
    ThreadPlan,
    advance,
)
from bridge.conversation.prompt import Item, Prompt, function_call, function_call_output, message
from bridge.conversation.reasoning_owners import digest_reasoning
from bridge.conversation.remembered_answers import RememberedAnswers
from bridge.conversation.tools import Tool, Toolbox

Q, Q2, Q3 = (message("user", text) for text in ("one?", "two?", "three?"))
A, A2 = (message("assistant", text) for text in ("one.", "two."))
CALL, CALL2 = (function_call(name, "look", '{"at":1}') for name in ("c1", "c2"))
OUT, OUT2 = (function_call_output(name, "output") for name in ("c1", "c2"))
RAW, RAW2 = ({"type": "reasoning", "encrypted_content": text} for text in ("r1", "r2"))
PLAIN = Prompt("gpt", ())


def prompt(*items: Item, of: Prompt = PLAIN) -> Prompt:
    return replace(of, items=items)


def history_hash_of(prompt: Prompt) -> HistoryHash:
    """Return the history hash of a prompt, computed from all of its items."""
    return HistoryHashes().of(prompt)


def thread(handle: str, *items: Item, of: Prompt = PLAIN, awaits: Sequence[str] = ()) -> CachedThread[str]:
    """Return a thread with these items."""
    end = history_hash_of(prompt(*items, of=of)).end
    return CachedThread(
        handle, end, of.notes, of.answer_format, frozenset(awaits), reasoning_digests=digest_reasoning(items)
    )


def remembering(*threads: CachedThread[str]) -> Conversations[str]:
    conversations: Conversations[str] = Conversations(RememberedAnswers(600, lambda: 0))
    for one in threads:
        conversations.put(one)
    return conversations


def plan(conversations: Conversations[str], wanted: Prompt) -> ThreadPlan[str]:
    return conversations.plan(wanted, history_hash_of(wanted))


def used(found: ThreadPlan[str]) -> str | None:
    """Return the handle of the thread that a plan uses; None for a new thread."""
    return None if isinstance(found, NewThread) else found.thread.handle


# ── Continue ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_thread_is_continued_with_the_new_items() -> None:
    cached = thread("t", Q, A)
    assert plan(remembering(cached), prompt(Q, A, Q2, Q3)) == Continue(cached, (Q2, Q3))


def test_a_used_thread_is_found_again_only_after_it_was_put_back() -> None:
    conversations = remembering(thread("t", Q, A))
    taken = plan(conversations, prompt(Q, A, Q2))
    assert isinstance(taken, Continue)
    assert plan(conversations, prompt(Q, A, Q2)) == NewThread((Q, A, Q2), "rebuilt", "unknown-history")
    conversations.put(taken.thread)
    assert plan(conversations, prompt(Q, A, Q2)) == taken


def test_of_equal_threads_the_newest_is_used_first_and_each_once() -> None:
    conversations = remembering(thread("old", Q, A), thread("new", Q, A))
    assert [used(plan(conversations, prompt(Q, A, Q2))) for _ in range(3)] == ["new", "old", None]


def test_of_equal_threads_one_with_the_same_notes_is_used_and_the_other_stays() -> None:
    noted = replace(PLAIN, format_note="JSON!")
    conversations = remembering(thread("noted", Q, A, of=noted), thread("plain", Q, A))
    assert used(plan(conversations, prompt(Q, A, Q2, of=noted))) == "noted"
    assert used(plan(conversations, prompt(Q, A, Q2))) == "plain"


def test_the_thread_with_the_longest_history_is_continued() -> None:
    conversations = remembering(thread("more", Q, A, Q2), thread("less", Q, A))
    assert used(plan(conversations, prompt(Q, A, Q2, Q3))) == "more"


@pytest.mark.parametrize("wanted", [(Q, A), (Q, A, A2), (Q, A, Q2, A2, Q3), (Q, A, RAW, Q2), (Q, A, CALL, OUT, Q2)])
def test_a_thread_is_not_continued_without_new_items_or_with_foreign_answers(wanted: tuple[Item, ...]) -> None:
    assert plan(remembering(thread("t", Q, A)), prompt(*wanted)) == NewThread(wanted, "rebuilt", "unknown-history")


def parts(role: str, *texts: str) -> Item:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text} for text in texts]}


@pytest.mark.parametrize(
    ("original", "sent"),
    [
        (message("assistant", "one. \n\n"), A),
        (A, message("assistant", "one.\n")),
        (A, parts("assistant", "on", "e.")),
        (CALL, function_call("c1", "look", '{ "at" : 1 }')),
        (function_call("c1", "look", '{"a":1,"b":2}'), function_call("c1", "look", '{"b":2,"a":1}')),
        (function_call("c1", "look", "no { JSON"), function_call("c1", "look", "no { JSON")),
        ({**CALL, "id": "fc_1", "status": "completed"}, CALL),
        ({**RAW, "id": "rs_1", "status": "completed"}, {**RAW, "id": "rs_2"}),
    ],
    ids=["cut off", "added", "in parts", "spaces", "order of keys", "no JSON", "id of a call", "id of reasoning"],
)
def test_an_answer_sent_back_may_differ_in_details_that_clients_change(original: Item, sent: Item) -> None:
    assert used(plan(remembering(thread("t", Q, original)), prompt(Q, sent, Q2))) == "t"


@pytest.mark.parametrize(
    ("original", "sent"),
    [
        (Q, Q2),
        (Q, message("developer", "one?")),
        (Q, message("user", "one?\n")),
        (Q, parts("user", "on", "e?")),
        (A, message("assistant", " one.")),
        (A, message("user", "one.")),
        (CALL, CALL2),
        (CALL, function_call("c1", "see", '{"at":1}')),
        (CALL, function_call("c1", "look", '{"at":1.0}')),
        (function_call("c1", "look", "no JSON "), function_call("c1", "look", "no JSON")),
        (OUT, OUT2),
        (OUT, function_call_output("c1", "output ")),
        (OUT, function_call_output("c1", [{"type": "input_text", "text": "output"}])),
        (RAW, RAW2),
        (function_call("c1", "look", "x"), function_call("c1", "look", '"x"')),
        (function_call("c1", "look", str(2**64 + 1)), function_call("c1", "look", str(2**64 + 2))),
    ],
)
def test_any_other_difference_makes_another_conversation(original: Item, sent: Item) -> None:
    assert used(plan(remembering(thread("t", Q, original, A)), prompt(Q, sent, A, Q2))) is None


def test_items_are_distinguished_by_their_position() -> None:
    assert used(plan(remembering(thread("t", Q, Q2, A)), prompt(Q2, Q, A, Q3))) is None
    assert used(plan(remembering(thread("t", parts("user", "a", "b"))), prompt(message("user", "a"), Q))) is None


@pytest.mark.parametrize(
    "arguments",
    [
        "[" * 300 + "]" * 300,
        r'{"q": "\ud83d"}',
        r'{"\uDC00": 1}',
        '{"n": 1e400}',
        '{"n": NaN}',
        '{"q": "\\ud83d\\ude00"}',
    ],
)
def test_unusual_arguments_have_a_hash(arguments: str) -> None:
    assert len(history_hash_of(prompt(Q, function_call("c1", "look", arguments))).hashes) == 3


OTHERS: dict[str, dict[str, Any]] = {
    "model": {"model": "other"},
    "effort": {"effort": "high"},
    "tier": {"tier": "fast"},
    "summary": {"summary": "auto"},
    "tools": {"toolbox": Toolbox((Tool.function("look", "", {}),))},
    "format note": {"format_note": "JSON!"},
    "choice note": {"choice_note": "Call!"},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_other_settings_or_notes_need_another_thread(other: dict[str, Any]) -> None:
    with_other = replace(PLAIN, **other)
    assert used(plan(remembering(thread("t", Q, A)), prompt(Q, A, Q2, of=with_other))) is None
    assert used(plan(remembering(thread("t", Q, A, of=with_other)), prompt(Q, A, Q2))) is None
    assert used(plan(remembering(thread("t", Q, A, of=with_other)), prompt(Q, A, Q2, of=with_other))) == "t"


@pytest.mark.parametrize("other", [{"schema": {"type": "object"}}, {"one_call_at_a_time": True}], ids=str)
def test_settings_of_a_single_turn_need_no_other_thread(other: dict[str, Any]) -> None:
    assert used(plan(remembering(thread("t", Q, A)), prompt(Q, A, Q2, of=replace(PLAIN, **other)))) == "t"


# ── Answer tools ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("more", [(), (Q2,), (Q2, Q3)], ids=len)
@pytest.mark.parametrize("outputs", [(OUT, OUT2), (OUT2, OUT)], ids=["in order", "out of order"])
def test_a_suspended_thread_takes_its_outputs_and_the_items_after_them(
    outputs: tuple[Item, ...], more: tuple[Item, ...]
) -> None:
    waiting = thread("t", Q, CALL, CALL2, awaits=["c1", "c2"])
    found = plan(remembering(waiting), prompt(Q, CALL, CALL2, *outputs, *more))
    assert found == AnswerTools(waiting, {"c1": "output", "c2": "output"}, more)


@pytest.mark.parametrize(
    "rest",
    [
        (),
        (OUT,),
        (OUT, OUT),
        (OUT, Q2, OUT2),
        (Q2, OUT, OUT2),
        (OUT, OUT2, function_call_output("c3", "output")),
        (OUT, function_call_output("c3", "output")),
        (OUT, OUT2, A),
        (OUT, OUT2, Q2, function_call_output("c3", "output")),
        (Q2,),
    ],
)
def test_a_suspended_thread_requires_exactly_its_outputs_first(rest: tuple[Item, ...]) -> None:
    conversations = remembering(thread("t", Q, CALL, CALL2, awaits=["c1", "c2"]))
    assert used(plan(conversations, prompt(Q, CALL, CALL2, *rest))) is None
    assert used(plan(conversations, prompt(Q, CALL, CALL2, OUT, OUT2))) == "t"


@pytest.mark.parametrize(
    ("other", "found"),
    [({"choice_note": "Call!"}, "t"), ({"format_note": "JSON!"}, None), ({"schema": {"type": "object"}}, None)],
    ids=["use of tools", "format in words", "format by schema"],
)
def test_a_suspended_turn_cannot_get_another_answer_format(other: dict[str, Any], found: str | None) -> None:
    conversations = remembering(thread("t", Q, CALL, awaits=["c1"]))
    assert used(plan(conversations, prompt(Q, CALL, OUT, of=replace(PLAIN, **other)))) == found


# ── New thread ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("items", "outcome", "reason"),
    [
        ((Q,), "new", "first-request"),
        ((message("developer", "Be."), Q, Q2), "new", "first-request"),
        ((Q, A, Q2), "rebuilt", "unknown-history"),
        ((Q, CALL, OUT), "rebuilt", "unknown-history"),
        ((RAW, Q), "rebuilt", "unknown-history"),
    ],
)
def test_a_thread_is_new_until_the_history_has_an_answer(items: tuple[Item, ...], outcome: Any, reason: str) -> None:
    assert plan(remembering(), prompt(*items)) == NewThread(items, outcome, reason)


def test_the_newest_loss_is_the_reason() -> None:
    conversations = remembering(long := thread("long", Q, A, Q2, A2), short := thread("short", Q, A))
    conversations.lose(short, "evicted")
    assert plan(conversations, prompt(Q, A, Q2)) == NewThread((Q, A, Q2), "rebuilt", "evicted")
    conversations.lose(long, "expired")
    assert plan(conversations, prompt(Q, A, Q2, A2, Q3)) == NewThread((Q, A, Q2, A2, Q3), "rebuilt", "expired")
    assert plan(conversations, prompt(Q, A, Q3)) == NewThread((Q, A, Q3), "rebuilt", "evicted")


def test_losing_a_thread_keeps_an_equal_one() -> None:
    conversations = remembering(lost := thread("lost", Q, A), thread("kept", Q, A))
    conversations.lose(lost, "evicted")
    assert [used(plan(conversations, prompt(Q, A, Q2))) for _ in range(2)] == ["kept", None]


def test_a_thread_that_is_in_use_can_be_lost() -> None:
    conversations = remembering(one := thread("t", Q, A))
    plan(conversations, prompt(Q, A, Q2))
    conversations.lose(one, "codex-restarted")
    assert plan(conversations, prompt(Q, A, Q2)) == NewThread((Q, A, Q2), "rebuilt", "codex-restarted")


def test_a_loss_is_forgotten_once_there_is_an_equal_thread() -> None:
    conversations = remembering()
    conversations.lost(history_hash_of(prompt(Q, A)).end, "turn-ended-early")
    conversations.put(thread("t", Q, A))
    assert used(plan(conversations, prompt(Q, A, Q2))) == "t"
    assert plan(conversations, prompt(Q, A, Q2)) == NewThread((Q, A, Q2), "rebuilt", "unknown-history")


def test_a_limited_number_of_losses_is_remembered() -> None:
    conversations = remembering()
    conversations.lost(history_hash_of(prompt(Q, A)).end, "evicted")
    for number in range(LOST - 1):
        conversations.lost(b"%d" % number, "expired")
    assert plan(conversations, prompt(Q, A, Q2)) == NewThread((Q, A, Q2), "rebuilt", "evicted")
    conversations.lost(b"one more", "expired")
    assert plan(conversations, prompt(Q, A, Q2)) == NewThread((Q, A, Q2), "rebuilt", "unknown-history")


# ── Original answers ──────────────────────────────────────────────────────────────────────────────────────────────────


def answered(conversations: Conversations[str], before: Sequence[Item], expected: Sequence[Item], *raw: Item) -> None:
    conversations.remember(history_hash_of(prompt(*before)).end, expected, raw)


BRANCH = message("assistant", "uno.")


@pytest.mark.parametrize(
    ("sent", "rebuilt"),
    [
        ((Q, A, Q2), (Q, RAW, A, Q2)),
        ((Q, message("assistant", "one. \n"), Q2), (Q, RAW, A, Q2)),
        ((Q, BRANCH, Q2), (Q, RAW2, BRANCH, Q2)),
        ((Q, A, Q2, A2, CALL, OUT), (Q, RAW, A, Q2, RAW2, A2, CALL, OUT)),
        ((Q, A, Q2, A2, Q3), (Q, RAW, A, Q2, A2, Q3)),
        ((Q, A2, Q2), (Q, A2, Q2)),
        ((Q2, A, Q2), (Q2, A, Q2)),
        ((Q, A, Q3, A2, CALL, OUT), (Q, RAW, A, Q3, A2, CALL, OUT)),
        ((Q,), (Q,)),
    ],
    ids=["one", "cut off", "a branch", "two", "half of one", "edited", "another question", "after an edit", "none"],
)
def test_a_rebuilt_thread_gets_the_original_answers(sent: tuple[Item, ...], rebuilt: tuple[Item, ...]) -> None:
    conversations = remembering()
    answered(conversations, [Q], [A], RAW, A)
    answered(conversations, [Q], [BRANCH], RAW2, BRANCH)
    answered(conversations, [Q, A, Q2], [A2, CALL], RAW2, A2, CALL)
    found = plan(conversations, prompt(*sent))
    assert isinstance(found, NewThread)
    assert found.items == rebuilt
    other = plan(conversations, prompt(*sent, of=replace(PLAIN, model="other")))
    assert isinstance(other, NewThread)
    assert other.items == sent


def test_an_answer_that_the_client_does_not_send_back_is_not_remembered() -> None:
    conversations = remembering()
    answered(conversations, [Q], [], RAW)
    assert plan(conversations, prompt(Q, Q2)) == NewThread((Q, Q2), "new", "first-request")


def test_an_answer_of_items_that_clients_may_leave_out_is_not_remembered() -> None:
    """Its hash would be that of the question."""
    conversations = remembering()
    answered(conversations, [Q], [RAW], RAW)
    assert plan(conversations, prompt(Q, Q2)) == NewThread((Q, Q2), "new", "first-request")


def test_of_equal_answers_to_a_question_the_last_one_is_remembered() -> None:
    conversations = remembering()
    answered(conversations, [Q], [A], RAW, A)
    answered(conversations, [Q], [A], RAW2, A)
    found = plan(conversations, prompt(Q, A, Q2))
    assert isinstance(found, NewThread)
    assert found.items == (Q, RAW2, A, Q2)


# ── What clients may leave out ────────────────────────────────────────────────────────────────────────────────────────

SEARCH = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "cats"}}


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ((Q, RAW, SEARCH, A, Q2), "t"),
        ((Q, A, Q2), "t"),
        ((Q, SEARCH, A, Q2), "t"),
        ((Q, {**RAW, "id": "other"}, A, Q2), "t"),
        ((Q, RAW, RAW2, A, Q2), None),
        ((Q, RAW2, A, Q2), None),
    ],
    ids=["all sent back", "left out", "reasoning left out", "other id", "more", "altered"],
)
def test_a_thread_is_continued_only_if_it_holds_the_reasoning_that_is_sent_back(
    sent: tuple[Item, ...], found: str | None
) -> None:
    assert used(plan(remembering(thread("t", Q, RAW, SEARCH, A)), prompt(*sent))) == found


def test_an_answer_sent_back_with_other_reasoning_is_rebuilt_as_sent() -> None:
    conversations = remembering()
    answered(conversations, [Q], [A], RAW, SEARCH, A)
    for sent, rebuilt in (
        ((Q, A, Q2), (Q, RAW, SEARCH, A, Q2)),
        ((Q, RAW2, A, Q2), (Q, RAW2, A, Q2)),
        ((Q, RAW, SEARCH, A, Q2), (Q, RAW, SEARCH, A, Q2)),
    ):
        found = plan(conversations, prompt(*sent))
        assert isinstance(found, NewThread)
        assert found.items == rebuilt


def test_of_equal_threads_the_one_with_the_cache_key_is_used_first() -> None:
    named, newer = thread("named", Q, A), thread("newer", Q, A)
    named.cache_key = "chat 7"
    conversations = remembering(named, newer)
    assert used(plan(conversations, prompt(Q, A, Q2, of=replace(PLAIN, cache_key="chat 7")))) == "named"
    assert used(plan(conversations, prompt(Q, A, Q2, of=replace(PLAIN, cache_key="chat 7")))) == "newer"


# ── Never the wrong thread ────────────────────────────────────────────────────────────────────────────────────────────

ITEMS = st.sampled_from(
    [
        Q,
        Q2,
        message("developer", "one?"),
        A,
        message("assistant", "one. \n"),
        A2,
        CALL,
        {**CALL, "arguments": '{"at": 1}'},
        {**CALL, "arguments": "{}"},
        OUT,
        function_call_output("c1", "else"),
        RAW,
        {**RAW, "id": "rs"},
    ]
)
PROMPTS = st.sampled_from([PLAIN, PLAIN, PLAIN, *(replace(PLAIN, **other) for other in OTHERS.values())])
HISTORIES = st.lists(ITEMS, min_size=1, max_size=4)


def meaning(item: Item) -> object:
    """Return the meaning of an item, computed in another way than in the code under test."""
    if item.get("role") == "assistant":
        return "".join(part["text"] for part in item["content"]).rstrip()
    if item["type"] == "function_call":
        return item["call_id"], json.loads(item["arguments"])
    return {name: value for name, value in item.items() if name != "id"}


def without_reasoning(items: Sequence[Item]) -> list[object]:
    return [meaning(item) for item in items if item["type"] != "reasoning"]


def common_length(items: Sequence[Item], wanted: Prompt) -> int | None:
    """Return how many items of a prompt a thread with these items holds; clients may leave reasoning out."""
    held = without_reasoning(items)
    return next((n for n in range(len(wanted.items), 0, -1) if without_reasoning(wanted.items[:n]) == held), None)


def fits(handle: tuple[Prompt, Sequence[Item], bool], wanted: Prompt) -> bool:
    """Whether a thread, suspended at the call c1 or not, may be used for a prompt."""
    of, held, suspended = handle
    length = common_length(held, wanted)
    if length is None:
        return False
    rest = wanted.items[length:]
    answers = [
        item for item in rest if item.get("role") == "assistant" or item["type"] in {"function_call", "reasoning"}
    ]
    outputs = [item["type"] == "function_call_output" for item in rest]
    return (
        digest_reasoning(wanted.items) <= digest_reasoning(held)
        and replace(of, items=(), choice_note=None) == replace(wanted, items=(), choice_note=None)
        and (suspended or of.notes == wanted.notes)
        and bool(rest)
        and not answers
        and (not suspended or (outputs[0] and not any(outputs[1:])))
    )


@st.composite
def edited(draw: st.DrawFn, history: list[Item]) -> list[Item]:
    """Return the history with up to two changes."""
    for _ in range(draw(st.integers(0, 2))):
        at, to = draw(st.integers(0, len(history))), draw(st.integers(0, 1))
        history = [*history[:at], *draw(st.lists(ITEMS, max_size=1)), *history[at + to :]]
    return history


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_a_thread_is_used_if_and_only_if_it_holds_this_conversation(data: st.DataObject) -> None:
    history = data.draw(HISTORIES)
    conversations: Conversations[tuple[Prompt, Sequence[Item], bool]] = Conversations(RememberedAnswers(600, lambda: 0))
    handles: list[tuple[Prompt, Sequence[Item], bool]] = []
    for _ in range(data.draw(st.integers(1, 3))):
        held = data.draw(edited(history))
        of, suspended = data.draw(PROMPTS), data.draw(st.booleans())
        handles.append((of, held, suspended))
        end = advance(history_hash_of(prompt(of=of)).end, held)
        awaits = frozenset({"c1"} if suspended else ())
        conversations.put(
            CachedThread(handles[-1], end, of.notes, of.answer_format, awaits, reasoning_digests=digest_reasoning(held))
        )
    more = data.draw(st.lists(st.sampled_from([Q, OUT, Q2]), max_size=3))
    wanted = prompt(*data.draw(edited(history)), *more, of=data.draw(PROMPTS))
    found = conversations.plan(wanted, history_hash_of(wanted))
    fitting = [handle for handle in handles if handle[1] and fits(handle, wanted)]
    match found:
        case NewThread(items):
            assert not fitting
            assert items == wanted.items
        case Continue(cached, items):
            assert cached.handle in fitting
            assert (cached.handle[2], items) == (False, wanted.items[common_length(cached.handle[1], wanted) :])
        case AnswerTools(cached, outputs, items):
            assert cached.handle in fitting
            brought, *rest = wanted.items[common_length(cached.handle[1], wanted) :]
            assert (cached.handle[2], outputs, items) == (True, {"c1": brought["output"]}, tuple(rest))


def test_the_hash_of_a_continued_prompt_equals_that_of_a_new_one():
    hashes, items = HistoryHashes(), (Q, RAW, A, Q2, RAW2, A2)

    for of in (PLAIN, Prompt("another", ()), PLAIN):
        for length in (1, 3, 6, 2):
            one = prompt(*items[:length], of=of)
            assert hashes.of(one) == history_hash_of(one)


def test_only_identical_items_are_not_hashed_again():
    hashes = HistoryHashes()
    hashes.of(prompt({**Q, "number": 1}))

    changed = prompt({**Q, "number": True})

    assert hashes.of(changed) == history_hash_of(changed)
