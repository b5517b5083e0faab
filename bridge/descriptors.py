"""How many descriptors this process may have, and how many of them are for connections."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    import resource

MOST_DESCRIPTORS = 10_240
"""More than anybody needs here, and the most that macOS lets a process have."""


def allow_descriptors() -> None:
    """Let this process have as many descriptors as it may: some systems give it 256 until it asks."""
    if sys.platform != "win32":
        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_DESCRIPTORS if most == resource.RLIM_INFINITY else min(MOST_DESCRIPTORS, most)
        if now != resource.RLIM_INFINITY and now < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def most_connections() -> int:
    """Return how many connections may be open: the other half of the descriptors is for codex, the store and the log.

    Without descriptors asyncio would write a hundred tracebacks a second.
    """
    if sys.platform == "win32":
        return sys.maxsize
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if most == resource.RLIM_INFINITY else most // 2
