"""The pytest plugin `codex_openai_proxy`: serves recorded conversations to the tests of other projects."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest


@pytest.fixture
def codex_openai_proxy() -> Iterator[Callable[[str | os.PathLike[str]], str]]:
    """Return a function that serves a folder of recordings until the test ends and returns the server's base URL."""
    from bridge.pytest_plugin.server import replay_server  # noqa: PLC0415 - only tests that use it pay for it

    with ExitStack() as servers:
        yield lambda replay_dir: servers.enter_context(replay_server(Path(replay_dir)))
