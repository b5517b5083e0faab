"""Sets behind the server what the settings ask for."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from bridge.config import Settings
from bridge.mint import Mint
from bridge.stage import Stage, live_stage


def open_stage(settings: Settings, mint: Mint) -> AbstractAsyncContextManager[Stage]:
    """Return codex, a codex that is recorded, or recordings in its place, for the length of a block.

    Entering it raises CaseError if the recordings cannot be read.
    """
    if settings.replay is settings.record is None:
        return live_stage(settings, mint)
    from bridge.case_stages import recording_stage, replaying_stage  # noqa: PLC0415 - most servers do neither

    if settings.replay is not None:
        return replaying_stage(settings.replay, settings, mint)
    assert settings.record is not None
    return recording_stage(settings.record, settings, mint)
