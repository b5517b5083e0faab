"""The checks that the server makes itself, for its status page."""

from __future__ import annotations

from contextlib import aclosing, nullcontext
from typing import Any

from bridge.config import Settings
from bridge.doctor.checks import CHECKS, INSIDE, examine
from bridge.doctor.findings import report
from bridge.doctor.subject import Subject
from bridge.doctor.tunnel_checks import url_of_the_tunnel
from bridge.tunnel.files import existing_config


async def look_around(settings: Settings) -> dict[str, Any]:
    """Run the checks of `INSIDE`; return the report with the tunnel's address as `url`."""
    subject = Subject(settings.codex, port=settings.port, certfile=settings.certfile, tunnel_config=existing_config())
    checks = [check for check in CHECKS if check.id in INSIDE]
    async with aclosing(examine(subject, checks, lambda _: nullcontext())) as rounds:
        found = [one async for one in rounds]
    return {**report(found), "url": await url_of_the_tunnel(subject)}
