"""A cached value is found for every sequence that begins with its own, and for no other."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.conversation.prefixes import MOST, Prefix, Prefixes
from bridge.json_values import memory_of


def remember(
    prefixes: Prefixes[str],
    sequence: Sequence[Any],
    before: Prefix[str] | None = None,
    *,
    size: int = 1,
    exact: tuple[int, ...] = (),
) -> None:
    prefixes.remember(before, "k", sequence, f"made of {len(sequence)}", added=size, exact=exact)


def caching(*sequences: Sequence[Any], size: int = 1, room: int = 10**6) -> Prefixes[str]:
    prefixes = Prefixes[str](operator.eq, room)
    for sequence in sequences:
        remember(prefixes, sequence, size=size)
    return prefixes


def found(prefixes: Prefixes[str], sequence: Sequence[Any], key: object = "k") -> Sequence[Any] | None:
    """Return the cached beginning of the sequence, as a text if the sequence is one."""
    prefix = prefixes.find(key, sequence)
    if prefix is None:
        return None
    assert prefix.value == f"made of {len(prefix.sequence)}"
    return "".join(prefix.sequence) if isinstance(sequence, str) else [*prefix.sequence]


def test_the_longest_cached_beginning_is_found():
    prefixes = caching("ab", "abcd", "abx")

    assert found(prefixes, "abcde") == "abcd"
    assert found(prefixes, "abcd") == "abcd"
    assert found(prefixes, "abc") == "ab"
    assert found(prefixes, "a") is None
    assert found(prefixes, "abcd", key="another") is None


def test_a_continued_sequence_replaces_the_shorter_one():
    prefixes = caching("ab", "x")

    remember(prefixes, "abc", prefixes.find("k", "ab"))

    assert found(prefixes, "ab") is None
    assert found(prefixes, "abc") == "abc"
    assert found(prefixes, "x") == "x"


def test_equal_elements_are_taken_from_the_cached_sequence():
    old, equal, new = ["old"], ["old"], ["new"]
    prefixes = caching([old])

    remember(prefixes, [equal, new], prefixes.find("k", [equal, new]))

    kept = prefixes.find("k", [equal, new])
    assert kept is not None
    assert [one is another for one, another in zip(kept.sequence, [old, new], strict=True)] == [True, True]


def test_exact_elements_are_compared_as_json():
    prefixes = caching()
    remember(prefixes, [{"n": 1}, {"n": 1}], exact=(1,))

    assert found(prefixes, [{"n": True}, {"n": 1}]) == [{"n": 1}, {"n": 1}]
    assert found(prefixes, [{"n": 1}, {"n": True}]) is None
    assert found(prefixes, [{"n": 1}, {"n": 1.0}]) is None

    remember(prefixes, [{"n": 1}, {"n": 1}, {"n": 2}, {"n": 2}], prefixes.find("k", [{"n": 1}, {"n": 1}]), exact=(3,))

    assert found(prefixes, [{"n": 1}, {"n": 1}, {"n": 2.0}, {"n": 2}]) is not None
    assert found(prefixes, [{"n": 1}, {"n": 1.0}, {"n": 2}, {"n": 2}]) is None
    assert found(prefixes, [{"n": 1}, {"n": 1}, {"n": 2}, {"n": 2.0}]) is None


def test_the_oldest_sequence_is_forgotten_when_memory_is_full():
    prefixes = caching([0], [1], [2], size=10, room=2 * (10 + memory_of([0])))

    assert [found(prefixes, [number]) for number in range(3)] == [None, [1], [2]]


def test_the_size_of_a_continued_sequence_includes_its_beginning():
    prefixes = caching("a", "x", size=10, room=3 * (10 + memory_of("a")))

    remember(prefixes, "ab", prefixes.find("k", "ab"), size=11)

    assert found(prefixes, "ab") == "ab"
    assert found(prefixes, "x") is None


def test_a_sequence_that_is_too_large_is_not_cached():
    assert found(caching("a", size=30, room=20), "a") is None


def test_the_number_of_cached_sequences_is_limited():
    prefixes = caching(*([number] for number in range(MOST + 1)))

    assert found(prefixes, [0]) is None
    assert found(prefixes, [1]) is not None


def test_nothing_is_found_after_clear():
    prefixes = caching("a")
    prefixes.clear()

    assert found(prefixes, "a") is None


def test_values_nested_too_deeply_to_be_compared_are_not_found():
    def deep() -> Any:
        value: Any = []
        for _ in range(100_000):
            value = [value]
        return value

    one, other = deep(), deep()

    assert found(caching([one]), [other]) is None


@given(st.lists(st.text("ab", min_size=1, max_size=4)), st.text("ab", max_size=6))
@settings(deadline=None)
def test_the_result_is_the_longest_cached_beginning(sequences: list[str], wanted: str):
    beginnings = [one for one in sequences if wanted.startswith(one)]

    assert found(caching(*sequences), wanted) == max(beginnings, key=len, default=None)
