"""The modules that a start imports: each costs time, and a heavy one is easily added unnoticed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import pytest

HEAVY = {"anyio", "asyncio", "codex_rpc", "h11", "hypercorn", "orjson", "starlette"}
"""Packages that help and the completion of commands and options do not need."""

UNASKED = {
    "bridge.agents.agents",
    "bridge.agents.turns",
    "bridge.cli.check",
    "bridge.doctor",
    "bridge.openai.chat.agent_answer",
    "bridge.recordings.library",
    "bridge.recordings.recorder",
    "bridge.recordings.redaction",
    "bridge.store.redis",
    "bridge.tunnel.cloudflared",
    "bridge.telemetry.metrics",
    "codex_rpc.recording.player",
    "cryptography",
    "httpx2",
    "prometheus_client",
    "redis",
    "rich",
    "tiktoken",
    "yaml",
}
"""Modules that a server needs only with certain settings or requests."""

RUN = """
import sys
from bridge.cli import main
try:
    main(sys.argv[1:], "codex-openai-proxy")
finally:
    print(*sys.modules, sep="\\n", file=sys.stderr)
"""

SERVE = """
import sys
import anyio
from bridge.cli import serving
from bridge.config import Settings
from bridge.http.listeners import listen
from bridge.serve import serve

async def at_once(stop):
    stop.set()

settings = Settings(codex=sys.argv[1] or None)
anyio.run(serve, settings, listen("127.0.0.1", 0), lambda: print(*sys.modules, sep="\\n", file=sys.stderr), at_once)
"""


RUN_TO_THE_LOOP = """
import gc
from bridge.cli import serving
from bridge.config import Settings

serving.anyio.run = lambda *arguments, **options: print(gc.get_freeze_count() > 10_000, len(gc.get_objects()) < 1000)
serving.run(Settings(port=0), None, None, demo=False)
"""


async def imported(script: str, *arguments: str, **variables: str) -> set[str]:
    """Run a script that prints its imported modules; return them and the packages that contain them."""
    done = await anyio.run_process([sys.executable, "-c", script, *arguments], env={**os.environ, **variables})
    modules = done.stderr.decode().split()
    return {name.rsplit(".", depth)[0] for name in modules for depth in range(name.count(".") + 1)}


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("serve", "--help"), ("completion", "bash")])
async def test_help_and_version_do_not_import_the_server(arguments: tuple[str, ...]) -> None:
    loaded = await imported(RUN, *arguments)
    assert "bridge.cli" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("typed", ["", "ser", "serve --", "record "])
async def test_shell_completion_does_not_import_the_server(typed: str) -> None:
    words = ["codex-openai-proxy", *typed.split(" ")]
    asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    loaded = await imported(RUN, **asked, _CODEX_OPENAI_PROXY_COMPLETE="bash_complete")
    assert "click.shell_completion" in loaded
    assert loaded & HEAVY == set()


async def test_a_server_imports_only_what_its_settings_need(home: Path) -> None:
    del home
    loaded = await imported(SERVE, os.environ.get("CODEX_UNDER_TEST", ""))
    assert "bridge.http.routes" in loaded
    assert loaded & UNASKED == set()


async def test_the_garbage_collector_of_a_server_ignores_imported_objects() -> None:
    done = await anyio.run_process([sys.executable, "-c", RUN_TO_THE_LOOP])
    assert done.stdout.split() == [b"True", b"True"]
