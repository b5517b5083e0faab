from __future__ import annotations

from codex_rpc.back_off import BackOff


def test_pauses_double_with_each_failed_start_up_to_the_longest() -> None:
    back_off = BackOff(first=1, longest=5, steady_after=10)
    assert [back_off.pause(lasted=0) for _ in range(5)] == [1, 2, 4, 5, 5]


def test_a_short_run_does_not_shorten_the_pause() -> None:
    back_off = BackOff(first=1, longest=60, steady_after=10)
    assert [back_off.pause(lasted) for lasted in (0, 9, 10)] == [1, 2, 4]


def test_after_a_long_run_pauses_begin_again_with_the_first() -> None:
    back_off = BackOff(first=1, longest=60, steady_after=10)
    assert [back_off.pause(lasted) for lasted in (0, 0, 10.1, 0, 11)] == [1, 2, 1, 2, 1]
