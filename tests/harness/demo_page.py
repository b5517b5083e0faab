"""Takes the docs' pictures of the status page, from a scripted server with some history.

`python -m tests.harness.demo_page FOLDER` writes the pictures.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2

from tests.harness.account_server import account_server
from tests.harness.agents import AUTHORIZED, DIRECT, KEY, runs
from tests.harness.approvals import CODEX
from tests.harness.browser import browser_page
from tests.harness.cloudflared import write_stand_in
from tests.harness.codex_home import write_home
from tests.harness.program import Program, program
from tests.harness.script import Pause, Text, Usage, reply
from tests.harness.upstream import Upstream, scripted_upstream

PORT = 11435
ANSWER = (
    "Sunlight is made of all colours, and the air scatters the short, blue waves far more than the long, red ones. ",
    "So blue light reaches your eyes from every part of the sky, while the rest comes straight from the sun.",
)
CONVERSATIONS = (("xedoc", 5), ("los-1.6-tpg", 2), ("5.5-tpg-low", 2))


PICTURES = (("light", 1160, False, 1), ("dark", 1160, True, 1))
"""Name, width, theme and scale of each picture."""
SPREAD = """{
  const ask = fetch;
  window.fetch = async (path, options) => {
    const response = await ask(path, options);
    if (path !== "/usage" || !response.ok) return response;
    const usage = await response.json();
    usage.recent.forEach((entry, number) => { entry.began -= 47 * number + 13 * (number % 3); });
    return new Response(JSON.stringify(usage));
  };
}"""
"""Makes requests that were sent within seconds appear as ten minutes of work."""

HIDE_PATHS = r"""for (const line of document.querySelectorAll("#checks p")) {
  for (const part of line.childNodes) {
    if (part.nodeType === 3) part.data = part.data.replace(/ \S+\/(codex|cloudflared)$/, " /usr/local/bin/$1");
  }
}"""
"""Replaces the folders of this machine by usual ones in the picture."""


SHORT_FOLDERS = r"""for (const folder of document.querySelectorAll("#agents .head code")) {
  folder.textContent = folder.textContent.replace(/.*\/code/, "~/code");
}"""
"""The same for the folders of agents."""


@asynccontextmanager
async def demo_server(folder: Path) -> AsyncGenerator[Program]:
    """Run a server with a made-up ChatGPT account and tunnel."""
    home = folder / "codex"
    async with scripted_upstream() as upstream:
        with account_server() as accounts:
            write_home(home, upstream.base_url, "websocket", logged_in=False)
            accounts.write_config(home)
            accounts.log_in(home)
            accounts.resets = (int(time.time()) + 8000, int(time.time()) + 400_000)
            environment = {
                "HOME": str(folder),
                "XDG_CONFIG_HOME": str(folder / "config"),
                "XDG_STATE_HOME": str(folder / "state"),
                "CODEX_HOME": str(home),
                "PATH": f"{write_stand_in(folder / 'bin').parent}:{os.environ['PATH']}",
            }
            async with program(
                "--tunnel", "quick", port=PORT, log=None, stdout=None, secure=False, **environment
            ) as server:
                await _work(server, upstream, (folder / "config/codex-openai-proxy/api-key").read_text().strip())
                yield server


async def _work(server: Program, upstream: Upstream, key: str) -> None:
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=60) as client:
        for number, (model, turns) in enumerate(CONVERSATIONS):
            messages: list[dict[str, str]] = []
            for turn in range(turns):
                usage = Usage(2400 + 900 * turn + 700 * number, 2100 * min(turn, 1) + 850 * turn, 160 + 40 * turn, 64)
                upstream.will_reply(reply(Text(ANSWER, Pause(0.2 + 0.3 * number)), usage=usage))
                messages.append({"role": "user", "content": f"Question {turn}"})
                body = {"model": model, "messages": messages}
                answer = (await client.post(f"{server.url}/v1/chat/completions", json=body)).json()
                messages.append({"role": "assistant", "content": answer["choices"][0]["message"]["content"]})
        upstream.respond = lambda _: reply(Text(ANSWER, Pause(0.3)), usage=Usage(2431, 2304, 58, 0))


@asynccontextmanager
async def server_with_agents(folder: Path) -> AsyncGenerator[Program]:
    """Run a server on which one agent asks and another one works."""
    home, settings = folder / "codex", folder / "config/codex-openai-proxy/config.toml"
    for one in (settings.parent, folder / "code/site", folder / "code/docs"):
        one.mkdir(parents=True)
    settings.write_text(
        "".join(
            f"[agents.{name}]\nfolder = '{folder / 'code' / name}'\nask = 'client'\nmodel = '{DIRECT}'\n"
            for name in ("site", "docs")
        )
    )
    (folder / "code/docs/Makefile").write_text("html:\n\t@sleep 120\n")
    environment = {
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
        "CODEX_HOME": str(home),
        "CODEX_OPENAI_PROXY_API_KEY": KEY,
        "SCRIPTED_KEY": "made-up",
    }
    async with scripted_upstream() as upstream:
        write_home(home, upstream.base_url, "websocket")
        why = "The tests need it, and I have no network."
        upstream.will_reply(
            runs(DIRECT, "npm install --save-dev vitest", sandbox_permissions="require_escalated", justification=why),
            runs(DIRECT, "make html", yield_time_ms=30000),
        )
        async with (
            program(port=PORT, log=None, stdout=None, secure=False, **environment) as server,
            httpx2.AsyncClient(headers=AUTHORIZED, timeout=60) as client,
            anyio.create_task_group() as tasks,
        ):
            body = {"input": "Add a test.", "tools": [CODEX]}
            await client.post(f"{server.base_url}/responses", json={"model": "codex-agent-site", **body})
            tasks.start_soon(_work_on_docs, client, server)
            yield server
            tasks.cancel_scope.cancel()


async def _work_on_docs(client: httpx2.AsyncClient, server: Program) -> None:
    await client.post(f"{server.base_url}/responses", json={"model": "codex-agent-docs", "input": "Build the docs."})


async def take_picture_of_agents(target: Path) -> None:
    """Write agents-light.png and agents-dark.png."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        async with server_with_agents(folder) as server, browser_page(folder / "profile") as page:
            remember = f"sessionStorage.setItem('api-key', '{KEY}')"
            await page.call("Page.addScriptToEvaluateOnNewDocument", source=remember)
            await page.open(server.url)
            await page.until("document.querySelector('#agents .doing code') && document.querySelector('#agents pre')")
            await page.evaluate(SHORT_FOLDERS)
            for name, width, dark, scale in PICTURES:
                await page.show_as(width, 1180, dark=dark, scale=scale)
                await page.until("document.querySelector('#agents').matches(':enabled')")
                await page.screenshot(target / f"agents-{name}.png", "#agents-card")


async def take_pictures(target: Path) -> None:
    """Write status-light.png and status-dark.png, and the pictures of agents."""
    await take_picture_of_agents(target)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        async with demo_server(folder) as server, browser_page(folder / "profile") as page:
            await page.show_as(1160, 1180)
            await page.call("Page.addScriptToEvaluateOnNewDocument", source=SPREAD)
            await page.open(server.url)
            key = (folder / "config/codex-openai-proxy/api-key").read_text().strip()
            await page.until("document.querySelector('#ask-key:not([hidden])')")
            await page.evaluate(f"document.querySelector('#key').value = '{key}'")
            await page.evaluate("document.querySelector('#ask-key').requestSubmit()")
            await page.until("document.querySelectorAll('#checks li.ok').length > 3")
            await page.evaluate(HIDE_PATHS)
            await page.evaluate("document.querySelector('#try').requestSubmit()")
            await page.until("document.querySelector('#answer-note').textContent")
            for name, width, dark, scale in PICTURES:
                await page.show_as(width, 1180, dark=dark, scale=scale)
                await anyio.sleep(2.5)  # the charts are redrawn for the new width
                height = await page.evaluate("document.documentElement.scrollHeight")
                await page.show_as(width, height, dark=dark, scale=scale)
                await page.screenshot(target / f"status-{name}.png")


if __name__ == "__main__":
    anyio.run(take_pictures, Path(sys.argv[1]))
