"""The comparison of two codex versions finds what changed, and says so on the page."""

from __future__ import annotations

from typing import Any

from tests.compatibility.report import compare, page, summary
from tests.compatibility.requests import Observed


def observed(version: str, body: Any, *notifications: str, **features: str) -> Observed:
    return Observed(version, {"plain, http, m": body}, set(notifications), features)


def test_equal_versions_have_no_differences() -> None:
    floor = observed("1.0.0", {"input": [{"text": "a"}]}, "turn/completed", goals="stable true")
    compared = compare(floor, observed("1.1.0", {"input": [{"text": "a"}]}, "turn/completed", goals="stable true"))
    assert summary(compared) == "none"
    assert "No differences." in page("1.0.0", "2026-11-28", [(compared, "3 passed")])


def test_each_kind_of_difference_is_named_with_its_place() -> None:
    floor = observed("1.0.0", {"input": [{"text": "a"}], "gone": 1}, goals="stable true")
    other = observed("1.1.0", {"input": [{"text": "a", "detail": "low"}]}, "thread/dreamt", dreams="stable true")
    compared = compare(floor, other)
    assert compared.changes == {"`gone`: 1 → nothing": 1, "`input[].detail`: nothing → 'low'": 1}
    assert compared.notifications == ["thread/dreamt"]
    assert compared.features == (["dreams"], ["goals"])
    assert summary(compared) == "2 in requests, 1 unread notifications, 1 features more, 1 features fewer"
    assert "**not looked at yet**" in page("1.0.0", "2026-11-28", [(compared, "not run")])


def test_models_of_one_version_alone_are_listed_and_not_compared() -> None:
    floor, other = Observed("1.0.0", {"plain, http, old": {}}), Observed("1.1.0", {"plain, http, new": {"a": 1}})
    compared = compare(floor, other)
    assert (compared.requests, compared.changes, compared.models) == (0, {}, (["new"], ["old"]))


def test_a_text_is_shown_from_its_first_difference_and_agents_apart() -> None:
    before, after = {"text": f"{'a' * 500}, one"}, {"text": f"{'a' * 500}, two"}
    floor, other = Observed("1.0.0", {"agent, http, m": before}), Observed("1.1.0", {"agent, http, m": after})
    compared = compare(floor, other)
    assert compared.changes == {f"agent: `text`: '{'a' * 18}, one' → '{'a' * 18}, two'": 1}
    assert "not looked at" not in page("1.0.0", "2026-11-28", [(compared, "not run")])
