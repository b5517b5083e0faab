"""What cloudflared says in its log, as far as somebody waits for it."""

from __future__ import annotations

import re
from typing import TypeAlias

from msgspec import Struct


class QuickAddress(Struct, frozen=True):
    """The address that a quick tunnel has been given."""

    url: str


class Registered(Struct, frozen=True):
    """A connection to Cloudflare stands; a tunnel has up to four. `location` is the data centre, e.g. `fra07`."""

    location: str


class Trouble(Struct, frozen=True):
    """A line that cloudflared itself calls a warning or an error."""

    text: str


LogEvent: TypeAlias = QuickAddress | Registered | Trouble

_QUICK = re.compile(r"https://[a-z0-9-]+\.trycloudflare\.com(?=\s|$)")
_REGISTERED = re.compile(r"Registered tunnel connection\b.*?(?:\blocation=(\S+))?(?:\s+protocol=\S+)?\s*$")
_LEVEL = re.compile(r"^\S+\s+(WRN|ERR|FTL)\s+(.*\S)")


def read_line(line: str) -> LogEvent | None:
    """Read one line of the log in its console form; a line that nobody waits for becomes None."""
    if found := _LEVEL.match(line):
        return Trouble(found[2])
    if found := _QUICK.search(line):
        return QuickAddress(found[0])
    if found := _REGISTERED.search(line):
        return Registered(found[1] or "")
    return None
