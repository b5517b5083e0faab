from __future__ import annotations

from bridge.store.last_responses import MOST_LANES, LastResponses
from bridge.store.response import Stored


def stored(response_id: str) -> Stored:
    return Stored({"id": response_id}, [{"in": response_id}], [{"out": response_id}])


def test_only_the_last_response_of_each_lane_is_kept() -> None:
    last = LastResponses()
    last.keep(None, stored("r1"), [])
    last.keep("a", stored("r2"), [{"before": 1}])
    last.keep(None, stored("r3"), [{"in": "r1"}, {"out": "r1"}])
    assert last.history("r1") is None
    assert last.history("r2") == ({"before": 1}, {"in": "r2"}, {"out": "r2"})
    assert last.history("r3") == ({"in": "r1"}, {"out": "r1"}, {"in": "r3"}, {"out": "r3"})


def test_a_forgotten_response_is_unknown_and_other_lanes_are_kept() -> None:
    last = LastResponses()
    last.keep(None, stored("r1"), [])
    last.keep("a", stored("r2"), [])
    for gone in ("r1", "unknown", None):
        last.forget(gone)
    assert last.history("r1") is None
    assert last.history("r2") is not None


def test_the_lane_that_was_used_longest_ago_is_dropped_first() -> None:
    last = LastResponses()
    for number in range(MOST_LANES):
        last.keep(str(number), stored(f"r{number}"), [])
    last.keep("0", stored("again"), [])
    last.keep("more", stored("r"), [])
    assert last.history("r1") is None
    assert last.history("again") is not None
    assert last.history("r2") is not None
