"""How much of the account's quota is used, as codex reports it: one or two windows of time for each limit of the plan.

Source: `RateLimitSnapshot` and `AccountRateLimitsUpdatedNotification` of app-server's schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import field

from codex_rpc.shape import Shape


class Window(Shape, frozen=True):
    """A window of time: how much of it is used, in percent, its length, and when it resets (epoch seconds)."""

    used_percent: float
    minutes: int | None = field(default=None, name="windowDurationMins")
    resets_at: int | None = None


class RateLimit(Shape, frozen=True):
    """One limit; a field that codex does not know is None."""

    limit_id: str | None = None
    name: str | None = field(default=None, name="limitName")
    plan: str | None = field(default=None, name="planType")
    primary: Window | None = None
    secondary: Window | None = None

    @property
    def id(self) -> str:
        """The limit's id; a limit without one is the main limit."""
        return self.limit_id or "codex"

    @property
    def windows(self) -> Mapping[str, Window]:
        """The windows that are known, by name."""
        known = {"primary": self.primary, "secondary": self.secondary}
        return {name: window for name, window in known.items() if window is not None}


Quota: TypeAlias = Mapping[str, RateLimit]
"""All limits, by id."""


def updated(quota: Quota, news: RateLimit) -> Quota:
    """Return the quota with an update merged in; fields that the update leaves out keep their values."""
    known = quota.get(news.id, news)
    merged = RateLimit(
        news.id,
        news.name or known.name,
        news.plan or known.plan,
        news.primary or known.primary,
        news.secondary or known.secondary,
    )
    return {**quota, news.id: merged}


def exhausted_until(quota: Quota) -> int | None:
    """Return when a used-up quota is available again, in epoch seconds; None if that is not known.

    This is the reset of the fullest window; if several are full, the latest of their resets.
    """
    windows = [window for limit in quota.values() for window in limit.windows.values() if window.resets_at]
    full = min(100.0, max((window.used_percent for window in windows), default=100.0))
    return max((window.resets_at or 0 for window in windows if window.used_percent >= full), default=None)
