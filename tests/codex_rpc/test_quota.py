from __future__ import annotations

from typing import Any

import pytest

from codex_rpc.quota import Quota, RateLimit, Window, exhausted_until, read_rate_limit, updated
from codex_rpc.wire.calls import rate_limits_read
from codex_rpc.wire.protocol import QuotaReported, read_event

SNAPSHOT: dict[str, Any] = {
    "limitId": "codex",
    "limitName": None,
    "planType": "plus",
    "primary": {"usedPercent": 43, "windowDurationMins": 300, "resetsAt": 1795636652},
    "secondary": {"usedPercent": 7, "windowDurationMins": 10080, "resetsAt": None},
    "credits": None,
}
LIMIT = RateLimit("codex", None, "plus", Window(43, 300, 1795636652), Window(7, 10080))


def test_a_snapshot_is_read_as_its_limit() -> None:
    assert read_rate_limit(SNAPSHOT) == LIMIT
    assert LIMIT.windows == {"primary": LIMIT.primary, "secondary": LIMIT.secondary}


def test_a_snapshot_without_anything_is_the_main_limit_of_which_nothing_is_known() -> None:
    assert read_rate_limit({}) == RateLimit("codex")
    assert RateLimit("codex").windows == {}


def test_an_update_is_an_event() -> None:
    assert read_event("account/rateLimits/updated", {"rateLimits": SNAPSHOT}) == QuotaReported(LIMIT)


@pytest.mark.parametrize("snapshot", [{"primary": {}}, {"primary": {"usedPercent": None}}, {"secondary": "x"}])
def test_a_malformed_window_is_an_error(snapshot: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        read_rate_limit(snapshot)


def test_the_answer_to_a_read_has_all_limits_or_the_one_of_older_versions() -> None:
    read = rate_limits_read().read
    other = {**SNAPSHOT, "limitId": "codex_other", "secondary": None}
    limits = {"codex": SNAPSHOT, "codex_other": other}
    assert read({"rateLimits": SNAPSHOT, "rateLimitsByLimitId": None}) == (LIMIT,)
    assert read({"rateLimits": SNAPSHOT, "rateLimitsByLimitId": limits}) == (
        LIMIT,
        RateLimit("codex_other", None, "plus", LIMIT.primary),
    )


def test_what_an_update_leaves_out_stays_known() -> None:
    news = RateLimit("codex", primary=Window(44, 300, 1795636652))
    assert updated({"codex": LIMIT}, news) == {"codex": RateLimit("codex", None, "plus", news.primary, LIMIT.secondary)}
    assert updated({}, news) == {"codex": news}
    assert updated({"other": LIMIT}, news) == {"other": LIMIT, "codex": news}


@pytest.mark.parametrize(
    ("windows", "until"),
    [
        ((), None),
        ((Window(100, 300, 50),), 50),
        ((Window(100, 300, 50), Window(100, 10080, 900)), 900),
        ((Window(100, 300, 50), Window(40, 10080, 900)), 50),
        ((Window(99, 300, 50), Window(40, 10080, 900)), 50),
        ((Window(130, 300, 50), Window(101, 10080, 900)), 900),
        ((Window(100, 300, None),), None),
    ],
)
def test_a_quota_is_there_again_when_its_fullest_window_begins_anew(
    windows: tuple[Window, ...], until: int | None
) -> None:
    quota: Quota = {str(number): RateLimit(str(number), primary=window) for number, window in enumerate(windows)}
    assert exhausted_until(quota) == until
