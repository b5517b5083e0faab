"""What was made of a sequence is found for each sequence that begins with it, and only for those."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.conversation.prefixes import MOST, Prefix, Prefixes


def remember(
    known: Prefixes[str],
    sequence: Sequence[Any],
    before: Prefix[str] | None = None,
    *,
    size: int = 1,
    exact: tuple[int, ...] = (),
) -> None:
    known.remember(before, "k", sequence, f"made of {len(sequence)}", added=size, exact=exact)


def knowing(*sequences: Sequence[Any], size: int = 1, room: int = 1000) -> Prefixes[str]:
    known = Prefixes[str](operator.eq, room)
    for sequence in sequences:
        remember(known, sequence, size=size)
    return known


def found(known: Prefixes[str], sequence: Sequence[Any], key: object = "k") -> Sequence[Any] | None:
    """The beginning that is known, in the form in which the tests write it."""
    prefix = known.find(key, sequence)
    if prefix is None:
        return None
    assert prefix.value == f"made of {len(prefix.sequence)}"
    return "".join(prefix.sequence) if isinstance(sequence, str) else [*prefix.sequence]


def test_the_longest_known_beginning_is_found():
    known = knowing("ab", "abcd", "abx")

    assert found(known, "abcde") == "abcd"
    assert found(known, "abcd") == "abcd"
    assert found(known, "abc") == "ab"
    assert found(known, "a") is None
    assert found(known, "abcd", key="another") is None


def test_a_sequence_that_goes_on_takes_the_place_of_the_one_before():
    known = knowing("ab", "x")

    remember(known, "abc", known.find("k", "ab"))

    assert found(known, "ab") is None
    assert found(known, "abc") == "abc"
    assert found(known, "x") == "x"


def test_of_equal_elements_the_old_ones_are_kept():
    old, equal, new = ["old"], ["old"], ["new"]
    known = knowing([old])

    remember(known, [equal, new], known.find("k", [equal, new]))

    kept = known.find("k", [equal, new])
    assert kept is not None
    assert [one is another for one, another in zip(kept.sequence, [old, new], strict=True)] == [True, True]


def test_what_is_to_be_the_same_as_json_is_compared_as_json():
    known = knowing()
    remember(known, [{"n": 1}, {"n": 1}], exact=(1,))

    assert found(known, [{"n": True}, {"n": 1}]) == [{"n": 1}, {"n": 1}]
    assert found(known, [{"n": 1}, {"n": True}]) is None
    assert found(known, [{"n": 1}, {"n": 1.0}]) is None

    remember(known, [{"n": 1}, {"n": 1}, {"n": 2}, {"n": 2}], known.find("k", [{"n": 1}, {"n": 1}]), exact=(3,))

    assert found(known, [{"n": 1}, {"n": 1}, {"n": 2.0}, {"n": 2}]) is not None
    assert found(known, [{"n": 1}, {"n": 1.0}, {"n": 2}, {"n": 2}]) is None
    assert found(known, [{"n": 1}, {"n": 1}, {"n": 2}, {"n": 2.0}]) is None


def test_what_was_remembered_first_is_forgotten_when_there_is_no_room():
    known = knowing([0], [1], [2], size=10, room=20)

    assert [found(known, [number]) for number in range(3)] == [None, [1], [2]]


def test_a_sequence_that_goes_on_is_as_large_as_all_of_it():
    known = knowing("a", "x", size=10, room=30)

    remember(known, "ab", known.find("k", "ab"), size=11)

    assert found(known, "ab") == "ab"
    assert found(known, "x") is None


def test_what_is_too_large_is_not_remembered():
    assert found(knowing("a", size=30, room=20), "a") is None


def test_only_so_many_are_remembered():
    known = knowing(*([number] for number in range(MOST + 1)))

    assert found(known, [0]) is None
    assert found(known, [1]) is not None


def test_nothing_is_known_any_more_when_it_is_cleared():
    known = knowing("a")
    known.clear()

    assert found(known, "a") is None


def test_values_that_are_nested_too_deep_to_be_compared_are_not_the_same():
    def deep() -> Any:
        value: Any = []
        for _ in range(100_000):
            value = [value]
        return value

    one, other = deep(), deep()

    assert found(knowing([one]), [other]) is None


@given(st.lists(st.text("ab", min_size=1, max_size=4)), st.text("ab", max_size=6))
@settings(deadline=None)
def test_what_is_found_is_a_beginning_and_nothing_longer_is_known(known: list[str], wanted: str):
    beginnings = [one for one in known if wanted.startswith(one)]

    assert found(knowing(*known), wanted) == max(beginnings, key=len, default=None)
