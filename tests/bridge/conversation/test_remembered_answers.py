"""Answers are remembered once, for a limited time, and in limited memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

from bridge.conversation.prompt import message
from bridge.conversation.remembered_answers import OVERHEAD, ROOM, RememberedAnswers

A = message("assistant", "one.")
RAW = {"type": "reasoning", "encrypted_content": "r1"}


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


def test_an_answer_is_remembered_with_its_number_of_hashed_items() -> None:
    answers = RememberedAnswers(60, Clock())
    answers.remember(b"end", 1, [RAW, A])
    answer = answers.get(b"end")
    assert answer is not None
    assert (answer.length, answer.items()) == (1, (RAW, A))
    assert answers.get(b"other") is None


def test_the_longest_unused_answers_are_forgotten_when_memory_is_full() -> None:
    answers = RememberedAnswers(60, Clock(), room=3 * (OVERHEAD + 200))
    for end in (b"1", b"2", b"3", b"1", b"4"):
        answers.remember(end, 1, [RAW, A])
    assert [answers.get(end) is not None for end in (b"1", b"2", b"3", b"4")] == [True, False, True, True]


def test_an_answer_that_is_too_large_is_not_kept_and_replaces_no_other() -> None:
    answers = RememberedAnswers(60, Clock(), room=2 * OVERHEAD)
    answers.remember(b"1", 1, [A])
    answers.remember(b"2", 1, [{**RAW, "encrypted_content": "x" * 2 * OVERHEAD}])
    assert (answers.get(b"1") is None, answers.get(b"2") is None) == (False, True)


def test_an_answer_is_forgotten_when_it_is_old() -> None:
    clock = Clock()
    answers = RememberedAnswers(60, clock)
    answers.remember(b"1", 1, [A])
    clock.time = 59
    assert answers.get(b"1") is not None
    clock.time = 60
    assert answers.get(b"1") is None


def test_the_memory_of_short_answers_is_as_bounded_as_that_of_long_ones() -> None:
    """If the bound counted their JSON alone, they would take ten times of it."""
    tracemalloc.start()
    try:
        answers = RememberedAnswers(60, Clock(), room=ROOM // 10)
        for number in range(10_000):
            item: dict[str, Any] = {**A, "id": f"msg_{number}"}
            answers.remember(number.to_bytes(16, "big"), 1, [item])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answers.get((9_999).to_bytes(16, "big")) is not None
    assert ROOM / 20 < held < 0.12 * ROOM


def test_equal_answers_take_the_memory_of_one() -> None:
    tracemalloc.start()
    try:
        answers = RememberedAnswers(60, Clock())
        for _ in range(10_000):
            answers.remember(b"same", 1, [A])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 20_000


def test_old_answers_free_their_memory() -> None:
    clock = Clock()
    answers = RememberedAnswers(60, clock)
    tracemalloc.start()
    try:
        for number in range(10_000):
            answers.remember(number.to_bytes(16, "big"), 1, [A])
        clock.time = 60
        answers.forget_old()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2_000_000
