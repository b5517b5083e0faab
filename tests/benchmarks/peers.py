"""`make bench ARGS=--peers`: the servers that people use instead, beside the proxy, with the same upstream.

Each is installed from the package index into its own virtual environment, in build/peers, and gets made-up credentials.
"""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import orjson
import psutil

from codex_rpc.process.process import find_codex
from tests.benchmarks.costs import agent_steps
from tests.benchmarks.figures import Row
from tests.benchmarks.lab import upstream_in_use
from tests.benchmarks.scenarios import SHORT, bursts, first_texts, short_requests
from tests.benchmarks.servers import KEY, Server, free_port, proxy
from tests.benchmarks.subjects import CODEX, MODEL
from tests.benchmarks.upstream import RunningUpstream

ENVIRONMENTS = Path("build/peers")
DELTAS = 2_000
"""Deltas of a burst: enough for servers that need milliseconds for each."""
STEPS = 50
LISTENS_AFTER = 60
"""Seconds that a peer may take to start."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer: its package, and the start of its command line; `{…}` is replaced by the values of `_start`."""

    package: str
    version: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """File name in the home → content."""
    extra: str = ""
    prefix: str = "/v1"
    tools: bool = True
    """Whether it passes the client's tools on."""


_CHATMOCK = (
    "import sys, chatmock.upstream as upstream; from chatmock.cli import main;"
    "upstream.CHATGPT_RESPONSES_URL = sys.argv.pop() + '/responses'; main()"
)
"""ChatMock has no setting for the upstream's address."""
_LITELLM = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/responses/{model}, api_base: "{upstream}", api_key: made-up}}
"""
PEERS: Sequence[Peer] = (
    Peer(
        "chatmock",
        "1.40",
        ("{bin}/python", "-c", _CHATMOCK, "serve", "--port", "{port}", "--no-model-sync", "{upstream}"),
        {"CHATGPT_LOCAL_HOME": "{home}/.codex"},
    ),
    Peer(
        "openai-api-server-via-codex",
        "0.2.3",
        ("{bin}/openai-api-server-via-codex", "-port", "{port}"),
        {"OPENAI_VIA_CODEX_BACKEND_BASE_URL": "{upstream}", "OPENAI_VIA_CODEX_MAX_CONCURRENT_REQUESTS": "100"},
    ),
    Peer(
        "ccproxy-api",
        "0.2.10",
        ("{bin}/ccproxy", "serve", "--port", "{port}", "--log-level", "ERROR"),
        {"ENABLED_PLUGINS": '["codex","oauth_codex"]', "PLUGINS__CODEX__BASE_URL": "{upstream}", "PATH": "{bin}"},
        prefix="/codex/v1",
    ),
    Peer(
        "litellm",
        "1.110.2",
        ("{bin}/litellm", "--config", "{home}/litellm.yaml", "--port", "{port}"),
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"},
        {"litellm.yaml": _LITELLM},
        extra="proxy",
    ),
    Peer(
        "codex-gateway",
        "0.1.2",
        ("{bin}/codex-gateway", "--port", "{port}", "--token", KEY, "--cwd", "{home}"),
        {"CODEX_HOME": "{codex_home}", "PATH": "{codex_folder}:{path}"},
        tools=False,
    ),
)
COLUMNS = ("proxy", *(peer.package for peer in PEERS))


class Tree(Server):
    """A server with its child processes, such as codex."""

    def cpu(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self._processes())

    def memory(self) -> int:
        """Resident memory of all its processes, in bytes."""
        return sum(one.memory_info().rss for one in self._processes())

    def _processes(self) -> list[psutil.Process]:
        top = psutil.Process(self.pid)
        return [top, *top.children(recursive=True)]


async def measure(rounds: int) -> AsyncGenerator[Row]:
    """Yield the rows of the proxy and of all peers; progress goes to stderr."""
    for peer in PEERS:
        _install(peer)
    async with upstream_in_use("websocket") as upstream, AsyncExitStack() as stack:
        ours = await stack.enter_async_context(proxy())
        servers = [Tree(ours.name, ours.port, ours.pid)]
        servers += [await stack.enter_async_context(_start(peer, upstream)) for peer in PEERS]
        with_tools = [server for server in servers if server.name in {ours.name, *_packages_with_tools()}]
        new, living = await first_texts(servers, rounds)
        yield Row("peers new", "First text, new conversation", "ms", new)
        yield Row("peers living", "First text, living conversation", "ms", living)
        rates, _ = await bursts(servers, rounds, DELTAS)
        yield Row("peers burst", f"Burst of {DELTAS:,} deltas", "deltas/s", rates, "more")
        rates, costs = await short_requests(servers, rounds)
        yield Row("peers short", f"Rounds of {SHORT} short requests", "requests/s", rates, "more")
        yield Row("peers CPU", "CPU of a short request, child processes included", "ms", costs)
        yield await _steps(with_tools, upstream)
        memory = {server.name: [server.memory() / 1e6] for server in servers}
        yield Row("peers memory", "Memory afterwards, child processes included", "MB", memory)


def _packages_with_tools() -> set[str]:
    return {peer.package for peer in PEERS if peer.tools}


async def _steps(servers: Sequence[Server], upstream: RunningUpstream) -> Row:
    sizes: dict[str, list[float]] = {}
    for server in servers:
        await upstream.received()
        await agent_steps(server, STEPS)
        requests, size = await upstream.received()
        sizes[server.name] = [size / requests / 1000]
    return Row("peers agent", f"{STEPS} steps of an agent, sent upstream", "kB a step", sizes)


def _install(peer: Peer) -> None:
    place = ENVIRONMENTS / f"{peer.package}-{peer.version}"
    if (place / "installed").exists():
        return
    print(f"installs {peer.package} {peer.version} in {place}", file=sys.stderr, flush=True)  # noqa: T201
    subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
    what = f"{peer.package}{f'[{peer.extra}]' if peer.extra else ''}=={peer.version}"
    subprocess.run([place / "bin" / "pip", "install", "--quiet", what], check=True)
    (place / "installed").touch()


@asynccontextmanager
async def _start(peer: Peer, upstream: RunningUpstream) -> AsyncGenerator[Tree]:
    """Start a peer in a home of its own; yield when it has answered once."""
    port = free_port()
    home = Path(os.environ["XDG_STATE_HOME"]) / peer.package
    values = {
        "bin": str((ENVIRONMENTS / f"{peer.package}-{peer.version}" / "bin").absolute()),
        "codex_folder": str(Path(find_codex(os.environ.get(CODEX))).parent),
        "codex_home": os.environ["CODEX_HOME"],
        "home": str(home),
        "model": MODEL,
        "path": os.environ["PATH"],
        "port": str(port),
        "upstream": upstream.base_url,
    }
    _log_in(home)
    for name, content in peer.files.items():
        (home / name).write_text(content.format(**values), encoding="utf-8")
    added = {name: value.format(**values) for name, value in peer.environment.items()}
    environment = {"PATH": values["path"], "HOME": str(home), **added}
    command = [part if part is _CHATMOCK else part.format(**values) for part in peer.command]
    with (home / "log").open("wb") as log:
        process = await anyio.open_process(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home, env=environment, start_new_session=True
        )
    try:
        await _until_it_listens(port, process, home / "log")
        server = Tree(peer.package, port, process.pid, peer.prefix)
        await server.conversation().ask({"deltas": 1})
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with the codex that it has started
        await process.wait()


async def _until_it_listens(port: int, process: anyio.abc.Process, log: Path) -> None:
    with anyio.fail_after(LISTENS_AFTER):
        while True:
            assert process.returncode is None, log.read_text(errors="replace")[-2000:]
            try:
                await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
            except OSError:
                await anyio.sleep(0.1)
            else:
                return


def _log_in(home: Path) -> None:
    """Write a made-up login into a home, as the peers expect it."""
    claims = {
        "exp": int(time.time()) + 10**7,
        "iat": int(time.time()),
        "email": "made-up@example.com",
        "https://api.openai.com/auth": {"chatgpt_account_id": "account", "chatgpt_plan_type": "pro"},
    }
    parts = (orjson.dumps({"alg": "none"}), orjson.dumps(claims), b"no signature")
    token = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts).decode()
    tokens = {"id_token": token, "access_token": token, "refresh_token": "made-up", "account_id": "account"}
    login = {
        "auth_mode": "chatgpt",
        "OPENAI_API_KEY": None,
        "tokens": tokens,
        "last_refresh": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    (home / ".codex").mkdir(parents=True, exist_ok=True)
    (home / ".codex" / "auth.json").write_bytes(orjson.dumps(login))
