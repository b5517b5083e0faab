"""Reports on the account, its quota and the requests, as JSON, response headers and text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bridge.errors import TOO_MANY, ApiError, retry_after
from bridge.refusals import seconds_named
from bridge.telemetry.ledger import Day, Ledger, RequestLogEntry
from codex_rpc.quota import Quota, RateLimit, Window, exhausted_until
from codex_rpc.wire.calls import Account
from codex_rpc.wire.events import TokenUsage

_ACCOUNT_TYPES = {"apiKey": "an OpenAI API key", "amazonBedrock": "Amazon Bedrock"}


def account_report(account: Account | None) -> Mapping[str, Any]:
    """Return the type and plan of codex's account, None if unknown, and whether codex is ready to answer."""
    if account is None:
        return {"type": None, "plan": None, "ready": False}
    return {"type": account.kind, "plan": account.plan, "ready": account.ready}


def mask_email(email: str) -> str:
    """Keep the first letter and the domain of an address: `a…@example.com`."""
    name, at, domain = email.rpartition("@")
    return f"{name[:1]}…{at}{domain}" if at else "…"


def describe_account(account: Account) -> str:
    """Return the account in words, e.g. `ChatGPT Plus, a…@example.com`; the e-mail address is masked."""
    match account.kind:
        case None if account.needs_login:
            return "not logged in"
        case None:
            return "your own model provider, which needs no login"
        case "chatgpt":
            plan = f" {account.plan.replace('_', ' ').title()}" if account.plan and account.plan != "unknown" else ""
            return f"ChatGPT{plan}" + (f", {mask_email(account.email)}" if account.email else "")
        case kind:
            return _ACCOUNT_TYPES.get(kind, kind)


def quota_report(quota: Quota) -> list[Mapping[str, Any]]:
    """Return each limit with its windows; `resets_at` is in epoch seconds."""
    return [_limit(limit) for limit in quota.values()]


def quota_headers(quota: Quota, epoch: float) -> dict[str, str]:
    """Return the windows of the account's main limit as response headers; `epoch` is the current time.

    `x-codex-…` are the names that codex's backend uses; `x-ratelimit-…` are OpenAI's, but count percent of a window,
    because the number of requests or tokens is unknown.
    """
    headers: dict[str, str] = {}
    for name, window in quota.get("codex", RateLimit("codex")).windows.items():
        details = {"window-minutes": window.minutes, "reset-at": window.resets_at}
        headers[f"x-codex-{name}-used-percent"] = f"{window.used_percent:g}"
        headers |= {f"x-codex-{name}-{field}": str(value) for field, value in details.items() if value is not None}
        headers[f"x-ratelimit-limit-{name}"] = "100"
        headers[f"x-ratelimit-remaining-{name}"] = f"{max(0.0, 100 - window.used_percent):g}"
        if window.resets_at is not None:
            headers[f"x-ratelimit-reset-{name}"] = f"{max(0, round(window.resets_at - epoch))}s"
    return headers


def with_quota(error: ApiError, quota: Quota, epoch: float) -> ApiError:
    """Return the error with the quota headers.

    The `retry-after` of a 429 is the reset of the used-up quota, or else the time that the message names.
    """
    headers = quota_headers(quota, epoch)
    if error.status == TOO_MANY:
        until = exhausted_until(quota, epoch)
        seconds = seconds_named(error.message, epoch) if until is None else until - epoch
        headers |= {} if seconds is None else retry_after(seconds)
    return replace(error, headers=error.headers | headers)


def ledger_report(ledger: Ledger, moment: float) -> Mapping[str, Any]:
    """Return the running answers, the recent ones (newest first), and the sums of the day."""
    return {
        "today": _day(ledger.today),
        "running": [entry_report(entry, moment) for entry in ledger.running],
        "recent": [entry_report(entry, moment) for entry in reversed(ledger.recent)],
    }


def entry_report(entry: RequestLogEntry, moment: float) -> Mapping[str, Any]:
    """Return one request; durations are in seconds, `began` in epoch seconds, `cache_share` is between 0 and 1."""
    return {
        "id": entry.id,
        "method": entry.method,
        "path": entry.path,
        "key": entry.key,
        "model": entry.model,
        "thread": entry.thread,
        "began": round(entry.epoch, 3),
        "seconds": round(moment - entry.moment if entry.seconds is None else entry.seconds, 3),
        "first_token_seconds": None if entry.first_token is None else round(entry.first_token, 3),
        "deltas": entry.deltas,
        **_tokens(entry.usage),
        "status": entry.status,
        "error": entry.error,
    }


def _limit(limit: RateLimit) -> Mapping[str, Any]:
    return {
        "limit": limit.id,
        "name": limit.name,
        "plan": limit.plan,
        "primary": _window(limit.primary),
        "secondary": _window(limit.secondary),
    }


def _window(window: Window | None) -> Mapping[str, Any] | None:
    if window is None:
        return None
    return {"used_percent": window.used_percent, "window_minutes": window.minutes, "resets_at": window.resets_at}


def _day(day: Day) -> Mapping[str, Any]:
    return {"date": day.date, "requests": day.requests, "failed": day.failed, **_tokens(day.usage)}


def _tokens(usage: TokenUsage) -> Mapping[str, Any]:
    return {
        "input_tokens": usage.input,
        "cached_input_tokens": usage.cached_input,
        "output_tokens": usage.output,
        "reasoning_output_tokens": usage.reasoning_output,
        "cache_share": round(usage.cached_input / usage.input, 4) if usage.input else None,
    }
