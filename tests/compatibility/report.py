"""Compares what two codex versions did, and formats the comparison for a terminal and for docs/codex-versions.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from codex_rpc.wire.calls import UNWANTED
from codex_rpc.wire.protocol import READ_NOTIFICATIONS
from tests.compatibility.requests import AGENT, Observed

INTRODUCTION = """# Codex versions

Made by `make codex`; do not edit. For each version, every kind of request (plain, effort, tools, custom tool,
namespace, format, image, web search, tool loop, agent) is sent on every model of its catalogue, over HTTP and
WebSocket, to a scripted upstream. What codex sends there is compared with what the floor, {floor}, sends for the same
model; the notifications are compared with those that this server reads or declines, and the features with the floor's.
Then the integration tests run with that version. Agents get Codex's own instructions and tools as they are, so what
changed in their requests needs no answer.

"""

OF_AGENTS = "agent: "
"""Stands before what changed in a request of an agent."""

CONTEXT = 20
"""How many characters of a text are shown before its first difference."""

NOTES: Mapping[str, str] = {
    "`input`": "a Responses-Lite model is warmed up without tools, and its first request brings them: nothing to do",
}
"""Where a request changed → what was done about it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a version differs from the floor."""

    version: str
    requests: int
    """How many requests both versions sent."""
    changes: Mapping[str, int]
    """What changed in a request's body → in how many requests."""
    models: tuple[Sequence[str], Sequence[str]]
    """The models that only this version has, and those that only the floor has."""
    notifications: Sequence[str]
    """The notifications that this server neither reads nor declines."""
    features: tuple[Sequence[str], Sequence[str]]
    """The features that only this version has, and those that only the floor has."""


def compare(floor: Observed, other: Observed) -> Comparison:
    """Return how `other` differs from `floor`."""
    both = floor.bodies.keys() & other.bodies.keys()
    changes = Counter(
        f"{OF_AGENTS}{change}" if name.startswith(AGENT) else change
        for name in both
        for change in set(_changes(floor.bodies[name], other.bodies[name]))
    )
    return Comparison(
        other.version,
        len(both),
        dict(sorted(changes.items())),
        _apart(_models(floor), _models(other)),
        sorted(other.notifications - {*READ_NOTIFICATIONS, *UNWANTED}),
        _apart(set(floor.features), set(other.features)),
    )


def _apart(before: set[str], after: set[str]) -> tuple[Sequence[str], Sequence[str]]:
    return sorted(after - before), sorted(before - after)


def _models(observed: Observed) -> set[str]:
    return {name.split(", ")[2] for name in observed.bodies}


def _changes(before: Any, after: Any, path: str = "") -> Iterator[str]:
    match before, after:
        case dict(), dict():
            ours, theirs = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
            for key in {**ours, **theirs}:
                yield from _changes(ours.get(key), theirs.get(key), f"{path}.{key}" if path else key)
        case list(), list() if len(cast("list[Any]", before)) == len(cast("list[Any]", after)):
            for one, other in zip(cast("list[Any]", before), cast("list[Any]", after), strict=True):
                yield from _changes(one, other, f"{path}[]")
        case str(), str() if before != after:
            ends = min(len(before), len(after))
            differs = next((at for at in range(ends) if before[at] != after[at]), ends)
            same = max(differs - CONTEXT, 0)
            yield f"`{path}`: {_short(before[same:])} → {_short(after[same:])}"
        case _ if before != after:
            yield f"`{path}`: {_short(before)} → {_short(after)}"
        case _:
            pass


def _short(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case list() | dict():
            return f"{len(cast('list[Any]', value))} element(s)"
        case _:
            return repr(value)[:60]


def page(floor: str, date: str, rows: Sequence[tuple[Comparison, str]]) -> str:
    """Return docs/codex-versions.md; each comparison stands with the result of the integration tests."""
    lines = ["| version | tested | integration tests | requests | differences |", "| --- | --- | --- | ---: | --- |"]
    lines += [f"| {one.version} | {date} | {tests} | {one.requests} | {summary(one)} |" for one, tests in rows]
    return INTRODUCTION.format(floor=floor) + "\n".join(lines) + "\n" + "".join(_details(one) for one, _ in rows)


def summary(one: Comparison) -> str:
    """Return the comparison in one line."""
    parts = [
        f"{len(one.changes)} in requests" if one.changes else "",
        *(f"{len(names)} models {word}" for names, word in zip(one.models, ("more", "fewer"), strict=True) if names),
        f"{len(one.notifications)} unread notifications" if one.notifications else "",
        *(
            f"{len(names)} features {word}"
            for names, word in zip(one.features, ("more", "fewer"), strict=True)
            if names
        ),
    ]
    return ", ".join(filter(None, parts)) or "none"


def _details(one: Comparison) -> str:
    lists = {
        "Requests": [f"{change} ({count} requests){_note(change)}" for change, count in one.changes.items()],
        "New models": one.models[0],
        "Models no longer listed": one.models[1],
        "Notifications that this server neither reads nor declines": one.notifications,
        "New features": [", ".join(one.features[0])] if one.features[0] else [],
        "Features that are gone": [", ".join(one.features[1])] if one.features[1] else [],
    }
    text = "".join(
        f"\n{title}:\n\n" + "".join(f"- {line}\n" for line in lines) for title, lines in lists.items() if lines
    )
    return f"\n## {one.version}\n{text or chr(10) + 'No differences.' + chr(10)}"


def _note(change: str) -> str:
    if change.startswith(OF_AGENTS):
        return ""  # Codex's own instructions and tools, which an agent gets as they are
    note = NOTES.get(change.partition(":")[0])
    return f": {note}" if note else ": **not looked at yet**"
