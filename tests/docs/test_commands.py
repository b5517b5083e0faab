"""Runs every command and program of the README and docs, with stand-ins for other programs.

The blocks of a page run in order in one home, as a reader would run them. The real program answers; commands that would
change this machine or need another system are stand-ins that log how they were called.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from operator import itemgetter
from pathlib import Path

import anyio
import psutil
import pytest
import yaml

from bridge.cli import main
from bridge.cli.serve import serve
from bridge.codex.models import NAMED
from codex_rpc.process.process import find_codex
from tests.harness.agents import needs_sandbox
from tests.harness.cloudflared import write_stand_in
from tests.harness.program import free_port
from tests.harness.script import Reply, http_error, reply
from tests.harness.services import redis_server
from tests.harness.system_programs import program_of
from tests.harness.systemd import write_stand_ins as write_systemd_stand_ins
from tests.harness.upstream import Received, Upstream

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = [page for page in PAGES if page.name != "README.zh-CN.md"]
"""Pages to run. A translation shows the same code (`test_settings.py` compares it), so it is run once."""
NEEDS = {"agents.md": needs_sandbox}
"""What the commands of a page need of the machine."""
SERVED = {"agents.md": ("--agent", "site={home}/code/site", "--api-key-file", "{home}/agents.key")}
"""The flags of the server that the programs of a page need; its commands have made the files."""
STAND_INS = ("aider", "docker", "llm", "pip", "uv")
"""Programs that cannot run here; only their calls are checked."""
NOT_RUN = {
    "powershell": "needs Windows; `test_the_commands_for_windows_exist` reads it",
    "mermaid": "a diagram",
    "": "shows output, not commands",
}
"""Kinds of blocks that are not run, and why."""

SERVE = """\
#!/bin/sh
# A server runs until it is stopped: stop the previous one, start this one, and continue when it answers.
case "$1" in
serve | record | replay)
    # Nothing was asked of a server that records here: what it would have written comes from elsewhere.
    [ "$1 $2" = "replay my-cases" ] && cp -R "{root}/fixtures/." my-cases
    case "$*" in *--print-config*) exec "{python}" -m bridge "$@";; esac
    address=$CODEX_OPENAI_PROXY_ADDR
    for word; do
        [ "$before" = --addr ] && address=$word
        before=$word
    done
    if [ -f "$HOME/$address.pid" ]; then
        kill "$(cat "$HOME/$address.pid")"
        while kill -0 "$(cat "$HOME/$address.pid")" 2> /dev/null; do sleep 0.05; done
    fi
    "{python}" -m bridge "$@" >> "$HOME/server.log" 2>&1 &
    echo $! > "$HOME/$address.pid"
    "{python}" -ISc "{answers}" "$address" $! || {{ cat "$HOME/server.log" >&2; exit 1; }};;
doctor)
    # What it finds is a matter of the machine; here it is to run and to say something of each check.
    "{python}" -m bridge "$@"; test $? -le 1;;
*) exec "{python}" -m bridge "$@";;
esac
"""
ANSWERS = """\
import http.client, os, sys, time
while True:
    try:
        server = http.client.HTTPConnection(sys.argv[1])
        server.request('GET', '/healthz')
        sys.exit(server.getresponse().status != 200)
    except OSError:
        os.kill(int(sys.argv[2]), 0)  # fails if the server has ended
        time.sleep(0.05)
"""
PROGRAMS = """\
import sys
for program in sys.argv[1:]:  # each has names of its own, but the libraries are imported once
    exec(program, {"__name__": "__main__"})
"""
MAKE = """\
#!/bin/sh
"{make}" -C "{root}" --dry-run "$1" > /dev/null || exit 1
case "$1" in
run) exec codex-openai-proxy serve;;
login) exec codex-openai-proxy login;;
esac
"""
STAND_IN = """\
#!/bin/sh
echo "{name} $*" >> "$HOME/calls"
"""


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each fenced block."""
    text = page.read_text(encoding="utf-8")
    yield from re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def runs_of_blocks(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the language and the texts of blocks that follow each other in the same language."""
    for language, run in itertools.groupby(blocks(page), itemgetter(0)):
        yield language, [text for _, text in run]


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
async def machine(tmp_path: Path, upstream: Upstream, home: Path) -> AsyncGenerator[dict[str, str]]:
    """The environment of a new user: the program, cloudflared, and stand-ins. Servers stop when the test ends.

    The user's codex knows none of the first version's four models, and the upstream refuses them.
    """
    codex = os.environ.get("CODEX_UNDER_TEST") or str(find_codex())
    catalogue = (await anyio.run_process([codex, "debug", "models"], stdin=subprocess.DEVNULL)).stdout
    assert {model["slug"] for model in json.loads(catalogue)["models"]}.isdisjoint(NAMED)
    upstream.respond = _refuse_retired_models
    del home
    bin_folder = tmp_path / "bin"
    write_stand_in(bin_folder)
    write_systemd_stand_ins(bin_folder)
    write_program(bin_folder / "codex-openai-proxy", SERVE.format(python=sys.executable, root=ROOT, answers=ANSWERS))
    write_program(bin_folder / "make", MAKE.format(root=ROOT, make=shutil.which("make")))
    for name in STAND_INS:
        write_program(bin_folder / name, STAND_IN.format(name=name))
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / ".config"),
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "CODEX_OPENAI_PROXY_ADDR": f"127.0.0.1:{free_port()}",
    }
    del environment["CODEX_OPENAI_PROXY_STORE"]  # a new user's store is in its usual place
    if "CODEX_UNDER_TEST" in os.environ:
        environment["CODEX_OPENAI_PROXY_CODEX"] = os.environ["CODEX_UNDER_TEST"]
    try:
        yield environment
    finally:
        mine = [process for process in psutil.process_iter() if _home_of(process) == str(tmp_path)]
        for process in mine:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        await anyio.to_thread.run_sync(psutil.wait_procs, mine, 20)


def _refuse_retired_models(request: Received) -> Reply:
    model = request.body["model"]
    if model not in NAMED:
        return reply("ok")
    return http_error(400, {"detail": f"The '{model}' model is not supported when using Codex with a ChatGPT account."})


def _home_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("HOME")
    except psutil.Error:
        return None


async def execute(command: list[str], environment: dict[str, str], folder: Path) -> str:
    """Run a block to its end; return its output."""
    with anyio.fail_after(100):
        done = await anyio.run_process(
            command, env=environment, cwd=folder, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
    said = done.stdout.decode()
    assert done.returncode == 0, "\n".join((*command, said))
    assert "Traceback" not in said
    assert '"error"' not in said, said
    return said


@contextmanager
def checkout(folder: Path) -> Generator[Path]:
    """Return a writable folder with the contents of the repository."""
    copy = folder / "checkout"
    copy.mkdir()
    for path in ROOT.iterdir():
        if path.name not in {".git", ".venv"}:
            (copy / path.name).symlink_to(path)
    yield copy


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name, marks=NEEDS.get(page.name, ())) for page in RUN])
async def test_a_page_does_what_it_says(page: Path, machine: dict[str, str], tmp_path: Path) -> None:
    address = machine["CODEX_OPENAI_PROXY_ADDR"]
    here_is = {
        "localhost:11435": address,
        "127.0.0.1:11435": address,
        "0.0.0.0:11435": address.replace("127.0.0.1", "0.0.0.0"),
        "127.0.0.1:11436": f"127.0.0.1:{free_port()}",
    }
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(checkout(tmp_path))
        if re.search(r"^curl ", page.read_text(encoding="utf-8"), re.MULTILINE):
            program_of("curl")
        if "redis://" in page.read_text(encoding="utf-8"):
            redis = await stack.enter_async_context(redis_server(tmp_path))
            here_is["redis://127.0.0.1:6379/0"] = redis
        served = False
        for language, texts in runs_of_blocks(page):
            here = [re.sub("|".join(here_is), lambda found: here_is[found[0]], text) for text in texts]
            match language:
                case "sh":
                    for commands in here:
                        await execute(["bash", "-euo", "pipefail", "-c", commands], machine, folder)
                    served = False  # the commands may have stopped the server, or started another one
                case "python":
                    if not served:
                        flags = [flag.format(home=tmp_path) for flag in SERVED.get(page.name, ())]
                        await execute(["codex-openai-proxy", "serve", *flags], machine, folder)
                        served = True
                    await execute([sys.executable, "-c", PROGRAMS, *here], machine, folder)
                case "toml":
                    for text in texts:
                        _check_toml(tomllib.loads(text))
                case "yaml" | "json":
                    assert all(map(yaml.safe_load, texts))
                case _:
                    assert language in NOT_RUN


def _check_toml(values: dict[str, object]) -> None:
    """Check that a TOML block holds this program's settings, or else Codex's configuration."""
    known = {param.name for param in serve.params}
    assert set(values) <= known or "model_providers" in values


def test_the_commands_for_windows_exist() -> None:
    text = "".join(text for page in PAGES for language, text in blocks(page) if language == "powershell")
    called = set(re.findall(r"Scripts\\codex-openai-proxy (\w+)", text))
    assert called
    assert called <= set(main.commands)


def test_every_link_of_a_page_leads_somewhere() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)|(?:src|srcset)=\"([^\"]+)\"", text):
            link = "".join(target)
            assert "://" in link or (page.parent / link).exists(), f"{page.name}: {link}"
