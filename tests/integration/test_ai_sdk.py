"""AI SDK 6 drives an agent: it runs the client's tool, and approves and declines."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import anyio
import pytest

from tests.harness.agents import DIRECT, KEY, needs_sandbox
from tests.harness.approvals import writes
from tests.harness.program import program
from tests.harness.script import Call, reply
from tests.harness.upstream import Upstream

SCRIPT = Path(__file__).parent / "ai_sdk" / "agent.mjs"
INSTALL = f"npm install --no-package-lock --prefix tests/integration/{SCRIPT.parent.name}"

# The tests install Python packages only: their lock files hold nothing else, and a lock of npm would name the hosts of
# its registry. So this runs where Node and the packages are there already.
pytestmark = [
    needs_sandbox,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (SCRIPT.parent / "node_modules").is_dir(), reason=f"AI SDK is not installed; `{INSTALL}` installs it"
    ),
]


@pytest.mark.parametrize(("way", "decision"), [("stream", "approve"), ("whole", "decline")])
async def test_ai_sdk_runs_its_tool_and_approves_and_declines(
    way: str, decision: str, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "site", tmp_path / "outside"
    folder.mkdir()
    with (home / "config.toml").open("r+") as file:
        rest = file.read()
        file.seek(0)
        file.write(f'model = "{DIRECT}"\n{rest}')
    upstream.will_reply(reply(Call("lookup", '{"q": "a"}')), writes(DIRECT, out), reply("Done."))
    settings = tmp_path / "agents.toml"
    settings.write_text(f'[agents.site]\nfolder = "{folder}"\nask = "client"\n')
    async with program("--config", str(settings), CODEX_OPENAI_PROXY_API_KEY=KEY) as server:
        with anyio.fail_after(60):
            done = await anyio.run_process(
                ["node", str(SCRIPT), server.base_url, KEY, way, decision], check=False, stderr=subprocess.STDOUT
            )
    assert done.returncode == 0, done.stdout.decode()
    seen = json.loads(done.stdout.decode().splitlines()[-1])
    assert seen == {"text": "Done.", "looked": ["a"], "asked": ["mcp.shell"]}
    assert out.exists() == (decision == "approve")
