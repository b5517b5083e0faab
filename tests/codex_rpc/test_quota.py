from __future__ import annotations

from typing import Any

import pytest
from msgspec import ValidationError, convert

from codex_rpc.quota import Quota, RateLimit, Window, exhausted_until, updated
from codex_rpc.wire.calls import rate_limits_read

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
    assert convert(SNAPSHOT, RateLimit) == LIMIT
    assert LIMIT.windows == {"primary": LIMIT.primary, "secondary": LIMIT.secondary}


@pytest.mark.parametrize("snapshot", [{}, {"limitId": None}, {"limitId": ""}])
def test_a_snapshot_without_an_id_is_the_main_limit(snapshot: dict[str, Any]) -> None:
    limit = convert(snapshot, RateLimit)
    assert (limit.id, limit.windows) == ("codex", {})
    assert updated({}, limit) == {"codex": RateLimit("codex")}


@pytest.mark.parametrize("snapshot", [{"primary": {}}, {"primary": {"usedPercent": None}}, {"secondary": "x"}])
def test_a_malformed_window_is_an_error(snapshot: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        convert(snapshot, RateLimit)


def test_the_result_of_a_read_has_all_limits_or_in_older_versions_one() -> None:
    read = rate_limits_read().read
    other = {**SNAPSHOT, "limitId": "codex_other", "secondary": None}
    limits = {"codex": SNAPSHOT, "codex_other": other}
    assert read({"rateLimits": SNAPSHOT, "rateLimitsByLimitId": None}) == (LIMIT,)
    assert read({"rateLimits": SNAPSHOT, "rateLimitsByLimitId": limits}) == (
        LIMIT,
        RateLimit("codex_other", None, "plus", LIMIT.primary),
    )


def test_fields_that_an_update_leaves_out_keep_their_values() -> None:
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
        ((Window(40, 300, 50),), None),
        ((Window(98, 300, 50), Window(97, 10080, 900)), None),
        ((Window(100, 300, 9), Window(40, 10080, 900)), None),
        ((Window(100, 300, 10),), None),
    ],
)
def test_a_quota_is_available_again_when_its_used_up_windows_have_reset(
    windows: tuple[Window, ...], until: int | None
) -> None:
    quota: Quota = {str(number): RateLimit(str(number), primary=window) for number, window in enumerate(windows)}
    assert exhausted_until(quota, 10) == until
