from __future__ import annotations

from dataclasses import replace

from bridge.errors import USAGE_LIMIT, ApiError
from bridge.telemetry.ledger import RequestLogEntry
from bridge.telemetry.report import account_report, entry_report, quota_headers, quota_report, with_quota
from codex_rpc.quota import Quota, RateLimit, Window
from codex_rpc.wire.calls import Account
from codex_rpc.wire.events import TokenUsage

QUOTA: Quota = {
    "codex": RateLimit("codex", None, "plus", Window(42.5, 300, 1000), Window(130, None, None)),
    "other": RateLimit("other", "Other", None, Window(1, 60, 2000)),
}


def test_the_account_is_reported_or_unknown() -> None:
    expected = {"type": "chatgpt", "plan": "plus", "ready": True}
    assert account_report(Account("chatgpt", "plus", needs_login=True)) == expected
    assert account_report(None) == {"type": None, "plan": None, "ready": False}


def test_each_limit_is_reported_with_its_windows() -> None:
    first, second = quota_report(QUOTA)
    assert first == {
        "limit": "codex",
        "name": None,
        "plan": "plus",
        "primary": {"used_percent": 42.5, "window_minutes": 300, "resets_at": 1000},
        "secondary": {"used_percent": 130, "window_minutes": None, "resets_at": None},
    }
    assert (second["name"], second["secondary"]) == ("Other", None)


def test_the_headers_report_the_windows_of_the_main_limit() -> None:
    assert quota_headers(QUOTA, 940.4) == {
        "x-codex-primary-used-percent": "42.5",
        "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": "1000",
        "x-ratelimit-limit-primary": "100",
        "x-ratelimit-remaining-primary": "57.5",
        "x-ratelimit-reset-primary": "60s",
        "x-codex-secondary-used-percent": "130",
        "x-ratelimit-limit-secondary": "100",
        "x-ratelimit-remaining-secondary": "0",
    }
    assert quota_headers({}, 0) == {}
    assert quota_headers(QUOTA, 5000)["x-ratelimit-reset-primary"] == "0s"


def test_a_refusal_says_when_to_repeat_the_request() -> None:
    full: Quota = {"codex": RateLimit("codex", primary=Window(100, 300, 1000))}
    refused = ApiError(429, "rate_limit_error", USAGE_LIMIT, "No more.", headers={"x-own": "1"})
    error = with_quota(refused, full, 940)
    assert error.headers["retry-after"] == "60"
    assert (error.headers["x-own"], error.headers["x-codex-primary-used-percent"]) == ("1", "100")
    assert "retry-after" not in with_quota(refused, full, 5000).headers
    assert "retry-after" not in with_quota(refused, {}, 940).headers
    some: Quota = {"codex": RateLimit("codex", primary=Window(40, 300, 1000))}
    named = ApiError(
        429, "rate_limit_error", "rate_limit_exceeded", "Try again in 11.05s.", headers={"retry-after": "60"}
    )
    assert with_quota(named, some, 940).headers["retry-after"] == "12"
    unnamed = replace(named, message="Try again later.")
    assert with_quota(unnamed, some, 940).headers["retry-after"] == "60"
    other = ApiError(502, "server_error", "upstream_error", "Broken.")
    assert "retry-after" not in with_quota(other, full, 940).headers
    assert refused.headers == {"x-own": "1"}


def test_an_entry_is_reported_while_it_runs_and_afterwards() -> None:
    entry = RequestLogEntry(id="req", model="gpt", epoch=7.12345, moment=100, usage=TokenUsage(8, 2, 1, 0))
    running = entry_report(entry, 103)
    assert (running["began"], running["seconds"], running["first_token_seconds"]) == (7.123, 3, None)
    assert running["cache_share"] == 0.25
    entry.first_token, entry.seconds = 0.12345, 4
    assert (entry_report(entry, 999)["seconds"], entry_report(entry, 999)["first_token_seconds"]) == (4, 0.123)
    assert entry_report(RequestLogEntry(), 0)["cache_share"] is None
