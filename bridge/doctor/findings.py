"""What a check finds: a mark, the reason in words, and the exact thing to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

Mark: TypeAlias = Literal["ok", "warn", "fail", "skip"]


class Finding(Struct, frozen=True):
    """The outcome of one check; `fix` is empty when there is nothing to do."""

    mark: Mark
    reason: str
    fix: str = ""


def ok(reason: str) -> Finding:
    """All is well."""
    return Finding("ok", reason)


def warn(reason: str, fix: str) -> Finding:
    """It works, or will not be needed, but somebody should know."""
    return Finding("warn", reason, fix)


def fail(reason: str, fix: str) -> Finding:
    """This is what is wrong."""
    return Finding("fail", reason, fix)


def skip(reason: str, fix: str = "") -> Finding:
    """It was not examined."""
    return Finding("skip", reason, fix)


class Examined(Struct, frozen=True):
    """A check that was made."""

    id: str
    title: str
    finding: Finding


def report(examined: Iterable[Examined]) -> Mapping[str, Any]:
    """Return everything as JSON; `ok` is false when a check failed."""
    checks = [
        {"id": it.id, "title": it.title, "status": it.finding.mark, "reason": it.finding.reason, "fix": it.finding.fix}
        for it in examined
    ]
    return {"ok": all(check["status"] != "fail" for check in checks), "checks": checks}
