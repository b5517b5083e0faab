"""Reads and writes recorded cases, each in its own folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bridge.recordings.cases import META, Case, CaseError, read_case, write_case


def save_case(case: Case, folder: Path) -> None:
    """Write the files of a case into `folder`, which is created if necessary."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in write_case(case).items():
        (folder / name).write_bytes(content)


def load_cases(folder: Path) -> Sequence[Case]:
    """Read the case in the folder, or every case in its subfolders, ordered by path.

    Raises:
        CaseError: there is no case, or one of them cannot be read.
    """
    found = sorted({meta.parent for meta in folder.rglob(META)})
    if not found:
        raise CaseError(f"{folder} holds no recorded case (a folder with {META})")
    return [read_case(one.name, lambda name, one=one: (one / name).read_bytes()) for one in found]
