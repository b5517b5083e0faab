"""What every kind of service can do, and what all use to write their definition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from bridge.service.definitions import Definition


class State(Struct, frozen=True):
    """What the system knows of the service."""

    installed: bool
    running: bool = False
    detail: str = "stopped"
    """The state in the system's own words."""
    since: str | None = None
    """When it reached that state, in the system's own words; None if the system does not know."""
    pid: int | None = None


class Service(Protocol):
    """A service of one system. Every method raises `ServiceError` when the system refuses."""

    @property
    def file(self) -> Path:
        """The file that defines the service."""
        ...

    def install(self, definition: Definition) -> Sequence[str]:
        """Write the definition, load it and start the service, also again after a change.

        Returns what the user should know, a sentence each.
        """
        ...

    def uninstall(self) -> None:
        """Stop the service and remove its definition, if there is one."""
        ...

    def start(self) -> None:
        """Start the service; nothing happens if it runs."""
        ...

    def stop(self) -> None:
        """Stop the service until it is started again or its user logs in again."""
        ...

    def state(self) -> State:
        """Return what the system knows of the service."""
        ...

    def logs(self, lines: int, *, follow: bool) -> Sequence[str]:
        """Return the command that shows the last lines of the log and, with `follow`, what is added to it."""
        ...


def write(file: Path, text: str, encoding: str = "utf-8") -> bool:
    """Write a definition; return whether it is new or has changed.

    Raises:
        OSError: it cannot be written.
    """
    if file.is_file() and file.read_text(encoding=encoding) == text:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding=encoding)
    return True
