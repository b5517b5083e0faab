"""How much of the account's quota is used, as codex reports it: some windows of time for each limit of the plan.

Source: `RateLimitSnapshot` and `AccountRateLimitsUpdatedNotification` of app-server's schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from msgspec import Struct


class Window(Struct, frozen=True):
    """A window of time: how much of it is used, in percent, how long it is, and when it begins anew (epoch seconds)."""

    used_percent: float
    minutes: int | None = None
    resets_at: int | None = None


class RateLimit(Struct, frozen=True):
    """One limit; a field that codex does not know is None."""

    id: str
    name: str | None = None
    plan: str | None = None
    primary: Window | None = None
    secondary: Window | None = None

    @property
    def windows(self) -> Mapping[str, Window]:
        """The windows that are known, by name."""
        known = {"primary": self.primary, "secondary": self.secondary}
        return {name: window for name, window in known.items() if window is not None}


Quota: TypeAlias = Mapping[str, RateLimit]
"""All limits, by id."""


def read_rate_limit(snapshot: Mapping[str, Any]) -> RateLimit:
    """Read a RateLimitSnapshot.

    Raises:
        KeyError, TypeError, ValueError: it is not what the schema promises.
    """
    return RateLimit(
        snapshot.get("limitId") or "codex",
        snapshot.get("limitName"),
        snapshot.get("planType"),
        _window(snapshot.get("primary")),
        _window(snapshot.get("secondary")),
    )


def updated(quota: Quota, news: RateLimit) -> Quota:
    """Return the quota with what is new in it; what an update leaves out is not thereby unknown."""
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
    """Return when a quota that is used up is there again, in epoch seconds; None if that is not known.

    It is the fullest window that ends it; of several that are full, the last to begin anew.
    """
    windows = [window for limit in quota.values() for window in limit.windows.values() if window.resets_at]
    full = min(100.0, max((window.used_percent for window in windows), default=100.0))
    return max((window.resets_at or 0 for window in windows if window.used_percent >= full), default=None)


def _window(wire: Mapping[str, Any] | None) -> Window | None:
    if wire is None:
        return None
    return Window(float(wire["usedPercent"]), wire.get("windowDurationMins"), wire.get("resetsAt"))
