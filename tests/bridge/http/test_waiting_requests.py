from __future__ import annotations

from bridge.errors import invalid_request
from bridge.http.waiting_requests import MOST_HELD, MOST_REFUSED, MOST_WAITING, Refused, WaitingRequests
from bridge.openai.responses.client_events import Create


def statuses(waiting: WaitingRequests) -> list[int | None]:
    """Take all requests; return the status of the error of each, None for those that are not refused."""
    taken = [waiting.take() for _ in range(len(waiting))]
    return [one.error.status if isinstance(one, Refused) else None for one in taken]


def test_requests_beyond_the_number_that_may_wait_are_refused_in_their_place() -> None:
    waiting = WaitingRequests()
    for _ in range(MOST_WAITING + 2):
        waiting.put(Create({}), 1)
    assert statuses(waiting) == [None] * MOST_WAITING + [429, 429]
    waiting.put(Create({}), 1)
    assert statuses(waiting) == [None]


def test_requests_beyond_the_bytes_that_may_wait_are_refused_but_never_the_only_one() -> None:
    waiting = WaitingRequests()
    for size in (MOST_HELD + 1, 1):
        waiting.put(Create({}), size)
    assert statuses(waiting) == [None, 429]
    for size in (MOST_HELD - 1, 1, 1):
        waiting.put(Create({}), size)
    assert statuses(waiting) == [None, None, 429]


def test_a_refused_request_keeps_its_place_and_its_stream_id() -> None:
    waiting = WaitingRequests()
    waiting.put(Create({"a": 1}), 1)
    waiting.put(Refused(invalid_request("bad")))
    assert waiting.take() == Create({"a": 1})
    assert isinstance(waiting.take(), Refused)
    for _ in range(MOST_WAITING + 1):
        waiting.put(Create({}, "a"), 1)
    *_, last = [waiting.take() for _ in range(len(waiting))]
    assert isinstance(last, Refused)
    assert last.stream_id == "a"


def test_a_client_floods_a_socket_with_more_refused_requests_than_may_wait() -> None:
    waiting = WaitingRequests()
    for _ in range(MOST_WAITING + MOST_REFUSED):
        waiting.put(Create({}), 1)
    assert not waiting.flooded
    waiting.put(Create({}), 1)
    assert waiting.flooded
