"""The finding of a check: a mark, the reason in words, and the fix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

Mark: TypeAlias = Literal["ok", "warn", "fail", "skip"]


class Finding(Struct, frozen=True):
    """The result of one check; `fix` is empty when nothing needs to be done."""

    mark: Mark
    reason: str
    fix: str = ""


def ok(reason: str) -> Finding:
    """Return a finding that everything works."""
    return Finding("ok", reason)


def warn(reason: str, fix: str) -> Finding:
    """Return a finding that the user should know of, although it breaks nothing."""
    return Finding("warn", reason, fix)


def fail(reason: str, fix: str) -> Finding:
    """Return a finding that something is wrong."""
    return Finding("fail", reason, fix)


def skip(reason: str, fix: str = "") -> Finding:
    """Return a finding that the check was not made."""
    return Finding("skip", reason, fix)


class Examined(Struct, frozen=True):
    """A check with its finding."""

    id: str
    title: str
    finding: Finding


def report(examined: Iterable[Examined]) -> Mapping[str, Any]:
    """Return all findings as a JSON value; `ok` is false when a check failed."""
    checks = [
        {"id": it.id, "title": it.title, "status": it.finding.mark, "reason": it.finding.reason, "fix": it.finding.fix}
        for it in examined
    ]
    return {"ok": all(check["status"] != "fail" for check in checks), "checks": checks}
