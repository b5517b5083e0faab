"""How often codex's output is read: every piece while few arrive, a limited number a second while many do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codex_rpc.process.pace import FULL, IN_A_ROW, INTERVAL, LARGE, Pace

MOST = 0.002
"""Seconds that a line may be late: too few for a reader of the answer to notice."""


def test_the_first_reads_and_all_slow_reads_have_no_pause():
    pace = Pace()
    assert [pace.read(1, 100.0) for _ in range(IN_A_ROW)] == [0.0] * IN_A_ROW
    assert pace.read(1, 100.0) > 0

    pace, later = Pace(), [100 + 2 * INTERVAL * number for number in range(10 * IN_A_ROW)]
    assert [pace.read(1, now) for now in later] == [0.0] * len(later)


def test_after_a_rest_the_next_reads_have_no_pause():
    pace = Pace()
    while not pace.read(1, 100.0):
        pass
    rested = 100 + 2 * IN_A_ROW * INTERVAL
    assert [pace.read(1, rested) for _ in range(IN_A_ROW)] == [0.0] * IN_A_ROW
    assert pace.read(1, rested) > 0


def test_the_pause_after_a_large_read_is_longer():
    small, large = Pace(), Pace()
    while not small.read(LARGE - 1, 100.0):
        pass
    while not large.read(LARGE, 100.0):
        pass
    assert small.read(LARGE - 1, 100 + INTERVAL) == INTERVAL
    for number in (1, 2, 3):
        assert large.read(LARGE, 100 + 4 * number * INTERVAL) == 4 * INTERVAL <= MOST


def test_a_line_of_megabytes_is_read_without_a_pause():
    pace = Pace()
    while not pace.read(1, 100.0):
        pass
    assert [pace.read(FULL, 100.0) for _ in range(1000)] == [0.0] * 1000
    assert pace.read(FULL - 1, 100.0) > 0


@given(st.lists(st.tuples(st.floats(0, 3 * INTERVAL), st.integers(1, 2 * LARGE)), min_size=1, max_size=300))
def test_a_reader_that_pauses_reads_no_more_often_than_allowed_and_never_pauses_long(reads: list[tuple[float, int]]):
    pace, now = Pace(), 100.0
    for number, (gap, size) in enumerate(reads):
        assert now - 100 >= (number - IN_A_ROW) * INTERVAL - 1e-9
        wait = pace.read(size, now)
        assert wait <= MOST
        now += max(wait, gap)
