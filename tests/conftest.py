"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.harness.codex_home import Transport, write_home
from tests.harness.proxy import Proxy, proxy
from tests.harness.upstream import Upstream, scripted_upstream


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Hypercorn's asyncio worker is what we run on."""
    return "asyncio"


@pytest.fixture
async def upstream() -> AsyncGenerator[Upstream]:
    """A scripted upstream that answers `ok` until it is told otherwise."""
    async with scripted_upstream() as running:
        yield running


@pytest.fixture
def transport() -> Transport:
    """How codex talks to the upstream; tests that want another one parametrise this name."""
    return "http"


@pytest.fixture
def home(tmp_path: Path, upstream: Upstream, transport: Transport, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CODEX_HOME that leads to the upstream, set in the environment."""
    folder = tmp_path / "codex_home"
    write_home(folder, upstream.base_url, transport)
    for name in [name for name in os.environ if name.startswith(("CODEX_", "OPENAI_"))]:
        if name != "CODEX_UNDER_TEST":
            monkeypatch.delenv(name)
    monkeypatch.setenv("CODEX_HOME", str(folder))
    monkeypatch.setenv("SCRIPTED_KEY", "made-up")
    monkeypatch.setenv("CODEX_OPENAI_PROXY_STORE", "memory")
    return folder


@pytest.fixture
async def bridge(upstream: Upstream, home: Path) -> AsyncGenerator[Proxy]:
    """The running proxy with default settings."""
    async with proxy(upstream, home) as running:
        yield running
