from __future__ import annotations

from bridge.telemetry.metrics import Counter, Gauge, Histogram, exposition


def test_a_counter_has_a_value_for_each_combination_of_label_values() -> None:
    counter = Counter("requests_total", "Requests.", "method", "status")
    counter.add("GET", "200")
    counter.add("GET", "200", amount=2.5)
    counter.add("POST", "429")
    assert exposition([counter]) == (
        "# HELP requests_total Requests.\n"
        "# TYPE requests_total counter\n"
        'requests_total{method="GET",status="200"} 3.5\n'
        'requests_total{method="POST",status="429"} 1\n'
    )


def test_a_counter_without_labels_starts_at_zero() -> None:
    assert exposition([Counter("deltas_total", "Deltas.")]).splitlines()[-1] == "deltas_total 0"


def test_large_numbers_are_exact() -> None:
    counter = Counter("tokens_total", "Tokens.")
    counter.add(amount=123_456_789_012)
    counter.add(amount=1)
    assert exposition([counter]).splitlines()[-1] == "tokens_total 123456789013"


def test_the_buckets_of_a_histogram_are_cumulative() -> None:
    histogram = Histogram("seconds", "Time.", (0.1, 1))
    for value in (0.05, 0.1, 0.5, 7):
        histogram.observe(value)
    assert exposition([histogram]) == (
        "# HELP seconds Time.\n"
        "# TYPE seconds histogram\n"
        'seconds_bucket{le="0.1"} 2\n'
        'seconds_bucket{le="1"} 3\n'
        'seconds_bucket{le="+Inf"} 4\n'
        "seconds_sum 7.65\n"
        "seconds_count 4\n"
    )


def test_a_gauge_is_one_number_or_one_for_each_value_of_its_label() -> None:
    assert exposition([Gauge("up", "Up.", 1)]) == "# HELP up Up.\n# TYPE up gauge\nup 1\n"
    assert exposition([Gauge("threads", "Threads.", {"idle": 2}, "state")]).endswith('threads{state="idle"} 2\n')
    assert exposition([Gauge("windows", "Windows.", {}, "window")]) == "# HELP windows Windows.\n# TYPE windows gauge\n"


def test_a_label_value_is_escaped() -> None:
    assert exposition([Gauge("x", "X.", {'a"b\\c\nd': 1}, "l")]).endswith('x{l="a\\"b\\\\c\\nd"} 1\n')
