from __future__ import annotations

from bridge.telemetry.ledger import Ledger, RequestLogEntry
from bridge.telemetry.metrics import ServerState, exposition
from codex_rpc.wire.events import TokenUsage

IDLE = ServerState(codex_up=False, codex_starts=0, threads={}, answers={}, quota={})


def lines(ledger: Ledger, state: ServerState = IDLE) -> list[str]:
    return exposition(ledger, state).decode().splitlines()


def add(ledger: Ledger, **values: object) -> None:
    """Add a request that has ended; an answer has a model."""
    entry = RequestLogEntry(method="POST", **values)  # pyright: ignore[reportArgumentType]
    ledger.open(entry)
    ledger.close(entry, "/x", 2, "2030-01-01")


def test_a_new_server_has_every_metric_and_its_help() -> None:
    assert (
        [line for line in lines(Ledger()) if "_bucket" not in line]
        == """\
# HELP codex_proxy_requests_total Requests by method, route and status; those with a named key have its name as `key`.
# TYPE codex_proxy_requests_total counter
# HELP codex_proxy_errors_total Answers that failed, by error code.
# TYPE codex_proxy_errors_total counter
# HELP codex_proxy_tokens_total Tokens of answers; cached_input is a part of input, reasoning_output of output.
# TYPE codex_proxy_tokens_total counter
codex_proxy_tokens_total{kind="input"} 0.0
codex_proxy_tokens_total{kind="cached_input"} 0.0
codex_proxy_tokens_total{kind="output"} 0.0
codex_proxy_tokens_total{kind="reasoning_output"} 0.0
# HELP codex_proxy_deltas_total Text deltas received from the model.
# TYPE codex_proxy_deltas_total counter
codex_proxy_deltas_total 0.0
# HELP codex_proxy_first_token_seconds Seconds until the first output of the model.
# TYPE codex_proxy_first_token_seconds histogram
codex_proxy_first_token_seconds_count 0.0
codex_proxy_first_token_seconds_sum 0.0
# HELP codex_proxy_answer_seconds Seconds until the end of an answer.
# TYPE codex_proxy_answer_seconds histogram
codex_proxy_answer_seconds_count 0.0
codex_proxy_answer_seconds_sum 0.0
# HELP codex_proxy_codex_up Whether codex is running.
# TYPE codex_proxy_codex_up gauge
codex_proxy_codex_up 0.0
# HELP codex_proxy_codex_starts How often codex was started.
# TYPE codex_proxy_codex_starts gauge
codex_proxy_codex_starts 0.0
# HELP codex_proxy_threads Threads by state.
# TYPE codex_proxy_threads gauge
# HELP codex_proxy_answers Answers by state, and their limit.
# TYPE codex_proxy_answers gauge
# HELP codex_proxy_quota_used_percent Percent of the quota used, by window.
# TYPE codex_proxy_quota_used_percent gauge
# HELP codex_proxy_cache_share_today Share of today's input tokens that came from the upstream's cache.
# TYPE codex_proxy_cache_share_today gauge
codex_proxy_cache_share_today 0.0
""".splitlines()
    )


def test_requests_are_counted_for_each_combination_of_label_values() -> None:
    ledger = Ledger()
    for status in (200, 200, 404, None):
        add(ledger, status=status)
    assert [line for line in lines(ledger) if line.startswith("codex_proxy_requests_total{")] == [
        'codex_proxy_requests_total{method="POST",route="/x",status="200"} 2.0',
        'codex_proxy_requests_total{method="POST",route="/x",status="404"} 1.0',
        'codex_proxy_requests_total{method="POST",route="/x",status="gone"} 1.0',
    ]


def test_requests_and_tokens_of_a_named_key_have_its_name_and_the_others_no_key() -> None:
    ledger = Ledger()
    for key in (None, "anna", "anna"):
        add(ledger, status=200, key=key, model="m", usage=TokenUsage(7, 0, 0, 0))
    found = lines(ledger)
    for line in (
        'codex_proxy_requests_total{method="POST",route="/x",status="200"} 1.0',
        'codex_proxy_requests_total{key="anna",method="POST",route="/x",status="200"} 2.0',
        'codex_proxy_tokens_total{kind="input"} 7.0',
        'codex_proxy_tokens_total{key="anna",kind="input"} 14.0',
    ):
        assert line in found


def test_large_numbers_are_exact() -> None:
    ledger = Ledger()
    for tokens in (123_456_789_012, 1):
        add(ledger, model="m", usage=TokenUsage(tokens, 0, 0, 0))
    [count] = [line for line in lines(ledger) if line.startswith('codex_proxy_tokens_total{kind="input"}')]
    assert float(count.split()[-1]) == 123_456_789_013


def test_the_buckets_of_a_histogram_are_cumulative() -> None:
    ledger = Ledger()
    for moment in (1.95, 1.9, 1.5, -5000):
        add(ledger, model="m", moment=moment)
    found = [line for line in lines(ledger) if line.startswith("codex_proxy_answer_seconds")]
    assert found[0].startswith('codex_proxy_answer_seconds_bucket{le="0.05"} ')
    assert 'codex_proxy_answer_seconds_bucket{le="0.5"} 3.0' in found
    assert 'codex_proxy_answer_seconds_bucket{le="1"} 3.0' in found
    assert 'codex_proxy_answer_seconds_bucket{le="1800"} 3.0' in found
    assert 'codex_proxy_answer_seconds_bucket{le="+Inf"} 4.0' in found
    assert "codex_proxy_answer_seconds_count 4.0" in found


def test_the_state_of_the_server_is_one_number_or_one_for_each_label_value() -> None:
    state = ServerState(
        codex_up=True,
        codex_starts=3,
        threads={"idle": 2},
        answers={"running": 1, "limit": 32},
        quota={'a"b\\c\nd': 42.5},
    )
    found = lines(Ledger(), state)
    for line in (
        "codex_proxy_codex_up 1.0",
        "codex_proxy_codex_starts 3.0",
        'codex_proxy_threads{state="idle"} 2.0',
        'codex_proxy_answers{state="limit"} 32.0',
        'codex_proxy_quota_used_percent{window="a\\"b\\\\c\\nd"} 42.5',
    ):
        assert line in found
