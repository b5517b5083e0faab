"""What was made of a sequence is found for each sequence that begins with it, and only for those."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.prefixes import MOST, Prefix, Prefixes


def prefix(sequence: Sequence[Any], key: object = "k", size: int = 1) -> Prefix[str]:
    return Prefix(key, sequence, "made of it", size)


def knowing(*prefixes: Prefix[str], room: int = 1000) -> Prefixes[str]:
    known = Prefixes[str](operator.eq, room)
    for one in prefixes:
        known.remember(one, None)
    return known


def test_the_longest_known_beginning_is_found():
    short, long, other = prefix("ab"), prefix("abcd"), prefix("abx")
    known = knowing(short, long, other)

    assert known.find("k", "abcde") is long
    assert known.find("k", "abcd") is long
    assert known.find("k", "abc") is short
    assert known.find("k", "a") is None
    assert known.find("another", "abcd") is None


def test_a_sequence_that_goes_on_takes_the_place_of_the_one_before():
    before, after, other = prefix("ab"), prefix("abc"), prefix("x")
    known = knowing(before, other)

    known.remember(after, before)

    assert known.find("k", "ab") is None
    assert known.find("k", "abc") is after
    assert known.find("k", "x") is other


def test_what_was_remembered_first_is_forgotten_when_there_is_no_room():
    first, second, third = (prefix([number], size=10) for number in range(3))
    known = knowing(first, second, third, room=20)

    assert [known.find("k", one.sequence) for one in (first, second, third)] == [None, second, third]


def test_what_is_too_large_is_not_remembered():
    assert knowing(prefix("a", size=30), room=20).find("k", "a") is None


def test_only_so_many_are_remembered():
    known = knowing(*(prefix([number]) for number in range(MOST + 1)))

    assert known.find("k", [0]) is None
    assert known.find("k", [1]) is not None


def test_values_that_are_nested_too_deep_to_be_compared_are_not_the_same():
    def deep() -> Any:
        value: Any = []
        for _ in range(100_000):
            value = [value]
        return value

    one, other = deep(), deep()

    assert knowing(prefix([one])).find("k", [other]) is None


@given(st.lists(st.text("ab", min_size=1, max_size=4)), st.text("ab", max_size=6))
@settings(deadline=None)
def test_what_is_found_is_a_beginning_and_nothing_longer_is_known(known: list[str], wanted: str):
    found = knowing(*map(prefix, known)).find("k", wanted)

    beginnings = [one for one in known if wanted.startswith(one)]
    assert (found.sequence if found else None) == max(beginnings, key=len, default=None)
