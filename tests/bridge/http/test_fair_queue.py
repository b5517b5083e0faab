from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from bridge.http.fair_queue import FairQueue


def drained(queue: FairQueue[str]) -> list[str]:
    return [queue.take() for _ in range(len(queue))]


def test_clients_take_turns_and_items_of_one_client_keep_their_order() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "b2"):
        queue.put(item[0], item)
    assert drained(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_client_that_had_its_turn_goes_after_those_that_have_waited() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "b1"):
        queue.put(item[0], item)
    assert queue.take() == "a1"
    queue.put("c", "c1")
    assert drained(queue) == ["b1", "a2", "c1"]


def test_an_item_that_leaves_is_removed_and_the_others_keep_their_places() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "b1", "a2", "c1"):
        queue.put(item[0], item)
    queue.leave("a", "a1")
    queue.leave("b", "b1")
    queue.leave("b", "b1")
    queue.leave("unknown", "x")
    assert len(queue) == 2
    assert drained(queue) == ["a2", "c1"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers()), max_size=30))
def test_no_item_is_lost_and_between_two_items_every_other_client_has_at_most_one(items: list[tuple[str, int]]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for client, number in items:
        queue.put(client, (client, number))
    taken = [queue.take() for _ in range(len(queue))]
    for client in "abc":
        assert [one for one in taken if one[0] == client] == [one for one in items if one[0] == client]
        places = [place for place, one in enumerate(taken) if one[0] == client]
        for before, after in itertools.pairwise(places):
            others = [one for one, _ in taken[before + 1 : after]]
            assert len(others) == len(set(others))
