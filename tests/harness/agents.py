"""The proxy with an agent, its folder, and a scripted model that works in it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from bridge.agents.sandbox import NOTHING
from bridge.config import AgentSettings
from codex_rpc.process.process import find_codex
from tests.harness.proxy import Proxy, proxy
from tests.harness.script import Action, Call, Reply, Text, Usage, reply
from tests.harness.upstream import Upstream

KEY = "the-key-of-the-agents"
AUTHORIZED = {"authorization": f"Bearer {KEY}"}

PATIENCE = 20.0
"""Seconds that a test waits for processes and files."""

DIRECT = "gpt-5.5"
"""A model that calls Codex's tools directly."""

CODE_MODE = "gpt-5.6-sol"
"""A model that has one tool, which runs scripts that call the others."""

BOTH_MODES = pytest.mark.parametrize("agent_model", [DIRECT, CODE_MODE], ids=["direct", "code-mode"])


def _sandbox_works() -> bool:
    """Run a command that does nothing in codex's sandbox, which containers often do not allow."""
    codex = find_codex(os.environ.get("CODEX_UNDER_TEST"))
    command = [codex, "sandbox", "-P", ":workspace", "-C", "/", "--", *NOTHING]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_sandbox = pytest.mark.skipif(not _sandbox_works(), reason="codex's sandbox does not work on this machine")
"""Without the sandbox no agent runs, and nothing that a test could install would change that."""

WITH_AGENTS = [needs_sandbox, pytest.mark.usefixtures("quick_agents")]
"""The marks of a module that tests agents. A test that writes the home itself gets codex's defaults."""


@dataclass(frozen=True, slots=True)
class Script:
    """A call of the tool that runs a script."""

    source: str
    call_id: str = "call_1"

    def item(self, item_id: str) -> dict[str, Any]:
        call = {"type": "custom_tool_call", "id": item_id, "call_id": self.call_id, "name": "exec"}
        return {**call, "input": self.source, "status": "completed"}

    def actions(self, item_id: str, index: int) -> Iterator[Action]:
        opened = {**self.item(item_id), "input": "", "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": index, "item": opened}
        yield {"type": "response.output_item.done", "output_index": index, "item": self.item(item_id)}


@dataclass(frozen=True, slots=True)
class Said:
    """A message with a phase, in two pieces."""

    text: str
    phase: str | None

    def item(self, item_id: str) -> dict[str, Any]:
        return {**Text((self.text,)).item(item_id), "phase": self.phase}

    def actions(self, item_id: str, index: int) -> Iterator[Action]:
        half = len(self.text) // 2
        for action in Text((self.text[:half], self.text[half:])).actions(item_id, index):
            if isinstance(action, dict) and "item" in action:
                yield {**action, "item": {**action["item"], "phase": self.phase}}
            else:
                yield action


def runs(
    model: str, command: str, *, before: Sequence[Said] = (), usage: Usage | None = None, **arguments: Any
) -> Reply:
    """Return the reply of a model of this name that says something and runs a command."""
    asked = json.dumps({"cmd": command, **arguments})
    if model == DIRECT:
        return reply(*before, Call("exec_command", asked), usage=usage)
    return reply(*before, Script(f"text(JSON.stringify(await tools.exec_command({asked})))"), usage=usage)


def tool_outputs(upstream: Upstream) -> str:
    """Return all that the model has read of its tools, as one text."""
    kinds = {"function_call_output", "custom_tool_call_output"}
    return "\n".join(
        json.dumps(item["output"], ensure_ascii=False).replace("\\n", "\n")
        for item in upstream.conversation()
        if item["type"] in kinds
    )


def sleepers(marker: str) -> list[psutil.Process]:
    """Return the processes whose command line contains a text."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline"]):
        if process.pid != os.getpid() and any(marker in part for part in process.info["cmdline"] or ()):
            found.append(process)
    return found


async def until(condition: Any) -> None:
    """Wait until the condition holds."""
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - processes and files have no event
            await anyio.sleep(0.02)


def without_a_sandbox(folder: Path) -> str:
    """Return the path of a codex whose sandbox does not work on this machine."""
    real, wrapper = find_codex(os.environ.get("CODEX_UNDER_TEST")), folder / "codex"
    fails = '[ "$1" = sandbox ] && { echo "no namespaces here" >&2; exit 8; }'
    wrapper.write_text(f'#!/bin/sh\n{fails}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)


@asynccontextmanager
async def agent_proxy(
    upstream: Upstream,
    home: Path,
    folder: Path,
    model: str = DIRECT,
    *,
    settings: dict[str, Any] | None = None,
    **may: Any,
) -> AsyncGenerator[Proxy]:
    """Run the proxy with the agent `site` in a folder; its client sends the key.

    Headers that say which thread answers wait for the start of the agents' codex, however long it takes.
    """
    folder.mkdir(exist_ok=True)
    agent = AgentSettings("site", str(folder.resolve()), model=model, **may)
    given = {"head_patience": 60, **(settings or {})}
    async with proxy(upstream, home, agents=(agent,), api_key=KEY, **given) as running:
        running.client.headers.update(AUTHORIZED)
        yield running
