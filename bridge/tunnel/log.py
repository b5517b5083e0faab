"""Reads the events that matter from cloudflared's log."""

from __future__ import annotations

import re
from typing import TypeAlias

from msgspec import Struct


class QuickAddress(Struct, frozen=True):
    """Cloudflare has assigned this address to a quick tunnel."""

    url: str


class Registered(Struct, frozen=True):
    """A connection to Cloudflare is up; a tunnel has up to four. `location` is the data centre, e.g. `fra07`."""

    location: str


class Trouble(Struct, frozen=True):
    """A line that cloudflared logs as a warning or an error."""

    text: str


LogEvent: TypeAlias = QuickAddress | Registered | Trouble

_QUICK = re.compile(r"https://[a-z0-9-]+\.trycloudflare\.com(?=\s|$)")
_REGISTERED = re.compile(r"Registered tunnel connection\b.*?(?:\blocation=(\S+))?(?:\s+protocol=\S+)?\s*$")
_LEVEL = re.compile(r"^\S+\s+(WRN|ERR|FTL)\s+(.*\S)")


def read_line(line: str) -> LogEvent | None:
    """Parse one line of cloudflared's console log; return None for lines without an event."""
    if found := _LEVEL.match(line):
        return Trouble(found[2])
    if found := _QUICK.search(line):
        return QuickAddress(found[0])
    if found := _REGISTERED.search(line):
        return Registered(found[1] or "")
    return None
