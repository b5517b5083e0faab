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


USED_UP = 99.0
"""Percent from which a window counts as used up; codex reports rounded figures, and sometimes a little late."""


def exhausted_until(quota: Quota, epoch: float) -> int | None:
    """Return when a used-up quota is available again, in epoch seconds; None if no window is known to be used up.

    This is the latest reset of the used-up windows. `epoch` is the current time; after its reset, a window is new.
    """
    windows = [window for limit in quota.values() for window in limit.windows.values()]
    resets = [window.resets_at for window in windows if window.used_percent >= USED_UP and window.resets_at]
    return max((reset for reset in resets if reset > epoch), default=None)
