"""The pytest plugin `codex_openai_proxy`: recorded conversations as a server, for the tests of other projects."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest


@pytest.fixture
def codex_openai_proxy() -> Iterator[Callable[[str | os.PathLike[str]], str]]:
    """Call it with a folder of recordings: it returns the base URL of a server that gives them till the test ends."""
    from bridge.pytest_plugin.server import replay_server  # noqa: PLC0415 - nobody pays for it who does not use it

    with ExitStack() as servers:
        yield lambda replay_dir: servers.enter_context(replay_server(Path(replay_dir)))
