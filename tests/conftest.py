"""Fixtures for all tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # pyright: ignore[reportMissingTypeStubs] - it has its types inline

from bridge.codex.launch import digest
from bridge.config import PROGRAM, AgentSettings
from tests.harness.codex_home import Transport, copy_databases, make_databases, write_home
from tests.harness.proxy import LITE, MODEL, Proxy, proxy
from tests.harness.system_programs import how_to_run
from tests.harness.upstream import Upstream, scripted_upstream

IN_TURN = (
    "tests/docs/test_commands.py",
    *(f"tests/integration/test_{name}.py" for name in ("doctor", "page", "service", "tunnel")),
    "tests/integration/test_commands.py::test_a_clients_entry_names_the_running_server",
)
"""Tests that start or look for cloudflared run one at a time, because its metrics ports are few and fixed."""


KEY = "any"
"""The key that most tests send: a server with an agent requires one."""

WITH_FRAMEWORKS = (
    "tests/bridge/openai/responses/test_agent_clients.py",
    "tests/integration/test_agents_approvals.py::test_openai_agents_",
    "tests/integration/test_agents_clients.py::test_popular_libraries_",
    "tests/integration/test_conversations.py::test_an_agents_session_",
    "tests/integration/test_frameworks.py",
    "tests/integration/test_responses_clients.py::test_an_agent_whose_server_",
    "tests/integration/test_websocket_clients.py::test_openai_agents_",
    "tests/integration/test_websocket_clients.py::test_pydantic_ai_",
)
"""Tests that import an agent framework, which takes seconds, run in one process, so that the others need not."""

MOST_PROCESSES = 8
"""Each process imports and collects all tests, so many of them gain nothing."""


class InTurn(LoadScopeScheduling):
    """Spreads tests over the worker processes, but runs all of `IN_TURN` in one of them, and all of `WITH_FRAMEWORKS`.

    The mark `xdist_group` does not work: pytest-xdist 3.8 does not find it with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(IN_TURN):
            return "in turn"
        return "with frameworks" if nodeid.startswith(WITH_FRAMEWORKS) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> InTurn:
    """Return the scheduler; a pytest-xdist hook."""
    return InTurn(config, log)


def pytest_xdist_auto_num_workers() -> int:
    """Use one process more than there are processors, because many tests wait; a pytest-xdist hook."""
    return min((os.cpu_count() or 1) + 1, MOST_PROCESSES)


def pytest_configure(config: pytest.Config) -> None:
    """Give all tests an empty home of their own; a pytest hook.

    The login shells that codex starts read the files of the home. Tests that end such a shell must not leave the user's
    home in a bad state (pyenv keeps a lock, for which each further shell then waits a minute), nor depend on it.
    """
    folder = tempfile.TemporaryDirectory(prefix="home-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ["HOME"] = folder.name


def pytest_unconfigure(config: pytest.Config) -> None:
    """Write as the last lines how to run the skipped tests; a pytest hook."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter:  # the processes of pytest-xdist have none
        reasons = (report.longrepr[2].removeprefix("Skipped: ") for report in reporter.getreports("skipped"))
        for line in how_to_run(reasons):
            reporter.write_line(line)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio only, like the server under Hypercorn."""
    return "asyncio"


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program's state folder, separate from the user's."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder / PROGRAM


@pytest.fixture
async def upstream() -> AsyncGenerator[Upstream]:
    """A scripted upstream that answers `ok` by default."""
    async with scripted_upstream() as running:
        yield running


@pytest.fixture(autouse=True)
def asked_model() -> str:
    """The model that a test requests; tests for several models parametrise this fixture with `BOTH_KINDS`."""
    return MODEL


@pytest.fixture(autouse=True)
def ask_for_the_model(asked_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every proxy of this test request `asked_model`."""
    monkeypatch.setattr("tests.harness.proxy.asked", asked_model)


@pytest.fixture
def transport(asked_model: str) -> Transport:
    """How codex talks to the upstream; tests for another transport parametrise this fixture."""
    return "websocket" if asked_model == LITE else "http"


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CODEX_HOME with codex's empty databases; to make them takes more than half of the time of codex's start."""
    folder = tmp_path_factory.mktemp("databases")
    make_databases(folder)
    return folder


@pytest.fixture
def codex_home(tmp_path: Path, state: Path, databases: Path) -> Path:
    """A CODEX_HOME that holds only codex's databases, like the private home that belongs to it."""
    folder = tmp_path / "codex_home"
    for one in (folder, state / "codex" / digest(folder) / "home"):
        copy_databases(databases, one)
    return folder


@pytest.fixture
def home(codex_home: Path, upstream: Upstream, transport: Transport, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CODEX_HOME that points to the upstream, set in the environment."""
    write_home(codex_home, upstream.base_url, transport)
    for name in [name for name in os.environ if name.startswith(("CODEX_", "OPENAI_"))]:
        if name != "CODEX_UNDER_TEST":
            monkeypatch.delenv(name)
    monkeypatch.setenv("CODEX_HOME", str(codex_home))
    monkeypatch.setenv("SCRIPTED_KEY", "made-up")
    monkeypatch.setenv("CODEX_OPENAI_PROXY_STORE", "memory")
    monkeypatch.setenv("CODEX_OPENAI_PROXY_CODEX_UNCHECKED", "true")
    return codex_home


@pytest.fixture
def quick_agents(home: Path) -> None:
    """Let codex look for a repository, its instructions and its configuration in the agent's folder alone.

    It otherwise looks into every folder above, for each turn and with a process in the sandbox for each file: half of
    the time of a test. It would also ask GitHub for its list of plugins.
    """
    config = home / "config.toml"
    config.write_text(f"project_root_markers = []\nfeatures.plugins = false\n{config.read_text()}")


@pytest.fixture
async def bridge(upstream: Upstream, home: Path, tmp_path: Path) -> AsyncGenerator[Proxy]:
    """The running proxy with default settings, and with an agent, of which chat mode must notice nothing."""
    beside = AgentSettings("beside", str(tmp_path))
    async with proxy(upstream, home, agents=(beside,), api_key=KEY) as running:
        running.client.headers["authorization"] = f"Bearer {KEY}"
        yield running
