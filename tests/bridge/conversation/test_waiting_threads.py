"""Which threads are closed: replaced ones, then idle before suspended ones, then old ones."""

from __future__ import annotations

from bridge.conversation.plan import CachedThread
from bridge.conversation.waiting_threads import WaitingThreads


def idle(handle: str, end: str = "", notes: tuple[str, ...] = (), cache_key: str | None = None) -> CachedThread[str]:
    return CachedThread(handle, (end or handle).encode(), notes, (), cache_key=cache_key)


def suspended(handle: str, end: str = "") -> CachedThread[str]:
    return CachedThread(handle, (end or handle).encode(), (), (), frozenset({"c1"}))


def waiting(*threads: CachedThread[str], most: int = 2, longest: float = 60) -> WaitingThreads[str]:
    """Return these threads, each put one second after the one before it."""
    found: WaitingThreads[str] = WaitingThreads(most, longest)
    for now, thread in enumerate(threads):
        found.put(thread, now)
    return found


def surplus(threads: WaitingThreads[str], now: float = 10) -> list[tuple[str, str]]:
    """Take every thread that is to be closed."""
    found: list[tuple[str, str]] = []
    while (one := threads.take_surplus(now)) is not None:
        found.append((one[0].handle, one[1]))
    return found


def test_of_too_many_threads_the_longest_unused_is_closed() -> None:
    assert surplus(waiting(idle("1"), idle("2"), idle("3"))) == [("1", "evicted")]
    assert surplus(waiting(suspended("1"), suspended("2"), suspended("3"))) == [("1", "evicted")]
    assert surplus(waiting(idle("1"), idle("2"))) == []
    assert surplus(waiting(idle("1"), most=0)) == [("1", "evicted")]


def test_idle_threads_are_closed_before_suspended_ones() -> None:
    agent, *pings = suspended("agent"), *(idle(f"ping {number}") for number in range(4))
    threads = waiting(agent, *pings)
    assert surplus(threads) == [(f"ping {number}", "evicted") for number in range(3)]
    assert (threads.suspended, threads.idle, len(threads)) == (1, 1, 2)
    assert surplus(waiting(suspended("1"), suspended("2"), idle("3"))) == [("3", "evicted")]


def test_an_idle_thread_replaces_the_one_with_the_same_history() -> None:
    threads = waiting(idle("old", "end"), idle("other"), most=9)
    replaced = threads.put(idle("new", "end"), 2)
    assert replaced is not None
    assert (replaced.handle, threads.idle) == ("old", 2)
    threads.remove("new")
    assert threads.put(idle("newer", "end"), 3) is None


def test_threads_that_differ_for_their_next_request_do_not_replace_each_other() -> None:
    threads = waiting(
        idle("1", "end"),
        idle("2", "end", notes=("JSON!",)),
        idle("3", "end", cache_key="a"),
        idle("4", "end", cache_key="b"),
        suspended("5", "end"),
        suspended("6", "end"),
        most=9,
    )
    assert len(threads) == 6


def test_threads_that_are_unused_for_too_long_are_closed() -> None:
    threads = waiting(suspended("1"), idle("2"), idle("3"), suspended("4"), most=9)
    assert surplus(threads, 61.5) == [("2", "expired"), ("1", "expired")]
    assert surplus(threads, 62.5) == [("3", "expired")]


def test_a_thread_that_is_removed_is_not_closed() -> None:
    threads = waiting(idle("1"), suspended("2"), most=0)
    for handle in ("1", "2", "missing"):
        threads.remove(handle)
    assert surplus(threads) == []


def test_the_threads_of_another_codex_are_taken_at_once() -> None:
    threads = waiting(idle("a 1"), suspended("a 2"), idle("b 3"), most=9)
    assert {thread.handle for thread in threads.take_all(lambda handle: handle.startswith("a"))} == {"a 1", "a 2"}
    assert surplus(threads, 100) == [("b 3", "expired")]
