"""Runs the programs of the system that control services."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

DEADLINE = 60
"""Seconds for one command; stopping a server waits for its open answers."""


class ServiceError(Exception):
    """The system refuses; the message says why and what to do."""


def run(*command: str) -> str:
    """Run a command and return its standard output.

    Raises:
        ServiceError: it is not installed, fails, or takes too long.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE)
    except FileNotFoundError:
        raise ServiceError(f"there is no {command[0]} on PATH") from None
    except subprocess.TimeoutExpired:
        raise ServiceError(f"`{' '.join(command)}` took longer than {DEADLINE} seconds") from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip() or f"status {error.returncode}"
        raise ServiceError(f"`{' '.join(command)}` failed: {said}") from None
    return done.stdout


def succeeds(command: Sequence[str]) -> bool:
    """Return whether a command succeeds; its output is dropped."""
    try:
        run(*command)
    except ServiceError:
        return False
    return True
