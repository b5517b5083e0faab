"""Starts codex once with a backend of ours on this machine, and looks at what codex adds to the model's input.

Nothing leaves the machine, and nothing is charged. A codex that passed is remembered until its file changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio

from bridge import __version__
from bridge.codex.config import to_toml
from bridge.codex.home import file_stamp, write_privately
from bridge.codex.launch import CLIENT_NAME, Start, digest
from bridge.conversation.foreign_text import foreign_text
from bridge.conversation.prompt import Prompt, message
from bridge.conversation.thread_params import thread_start_params
from bridge.conversation.tools import NO_NAMESPACE, Tool, Toolbox
from codex_rpc.client.client import Client, connect
from codex_rpc.errors import CodexAddsTextError, CodexError
from codex_rpc.process.process import codex_process
from codex_rpc.wire.calls import thread_inject_items, thread_start, turn_start

logger = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds for codex to start and to ask; it usually takes less than one."""
MOST_SHOWN = 200
"""Characters of each foreign text that the error shows."""
PROVIDER = "self-check"

_TOOL = Tool.function("self_check", "A tool of the self-check.", {"properties": {"text": {"type": "string"}}})
_ITEMS = (message("developer", "The system text of the self-check."), message("user", "The text of the self-check."))
_OURS = [_ITEMS, _TOOL.spec()]
_NAMES = frozenset({_TOOL.codex_name, NO_NAMESPACE})
_USAGE = {"input_tokens": 1, "input_tokens_details": None, "output_tokens": 1, "output_tokens_details": None}
_RESPONSE: dict[str, Any] = {"id": "resp_1", "output": [], "usage": {**_USAGE, "total_tokens": 2}}
_ANSWER = b"".join(
    b"data: %b\n\n" % json.dumps({"type": f"response.{step}", "response": _RESPONSE}).encode()
    for step in ("created", "completed")
)


async def check_model_input(start: Start) -> None:
    """Raise an error if this codex adds anything to the model's input; log a warning if that cannot be found out.

    Raises:
        CodexAddsTextError: it does; the message shows what.
    """
    passed, mark = start.folder / f"checked-{digest(start.codex)}", _mark(start)
    if passed.is_file() and passed.read_bytes() == mark:
        return
    if any("model_provider" in layer for layer in start.foreign):
        logger.warning("%s was not checked: the administrator's configuration names its provider", start.version)
        return
    try:
        with anyio.fail_after(PATIENCE):
            found = await _found(start)
    except (CodexError, OSError, TimeoutError) as error:
        logger.warning("what %s adds to the model's input could not be checked: %r", start.version, error)
        return
    if found:
        shown = ", ".join(json.dumps(" ".join(text.split())[:MOST_SHOWN], ensure_ascii=False) for text in found)
        raise CodexAddsTextError(
            f"{start.version} adds to what the model is given: {shown}. "
            "Use another version of codex, or accept this with --codex-unchecked true"
        )
    logger.info("%s adds nothing to the model's input", start.version)
    write_privately(passed, mark)


def _mark(start: Start) -> bytes:
    """Return what identifies a codex and our way to start it."""
    parts = __version__, str(start.codex), file_stamp(start.codex), start.version, start.command
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest().encode()


async def _found(start: Start) -> list[str]:
    home = start.folder / "self-check"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _backend() as (url, asked):
        provider = {"name": PROVIDER, "base_url": url, "wire_api": "responses"}
        values = {"model_provider": PROVIDER, "model_providers": {PROVIDER: provider}}
        options = [option for key, value in values.items() for option in ("-c", f"{key}={to_toml(value)}")]
        env = {**start.env, "CODEX_HOME": str(home), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        async with (
            codex_process([*start.command, *options], env, start.cwd) as process,
            connect(process, CLIENT_NAME, __version__) as client,
        ):
            found: list[str] = []
            for model in _one_of_each_kind(start.models):
                await _ask(client, model, str(start.cwd))
                found += foreign_text(await asked.get(), _OURS, _NAMES)
            return list(dict.fromkeys(found))


def _one_of_each_kind(models: bytes) -> Iterator[str]:
    """Yield a model of each kind of request: whether its tools are part of the input."""
    kinds = {bool(model.get("use_responses_lite")): model["slug"] for model in json.loads(models)["models"]}
    yield from kinds.values()


async def _ask(client: Client, model: str, cwd: str) -> None:
    prompt = Prompt(model, _ITEMS, Toolbox((_TOOL,)))
    thread_id = await client.call(thread_start(thread_start_params(prompt, cwd)))
    client.subscribe(thread_id)
    await client.call_both(thread_inject_items(thread_id, _ITEMS), turn_start(thread_id))


@contextmanager
def _backend() -> Generator[tuple[str, asyncio.Queue[dict[str, Any]]]]:
    """Run a backend on a free port of this machine; yield its URL and the bodies of its requests."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: PLC0415 - most starts need no check

    asked, loop = asyncio.Queue[dict[str, Any]](), asyncio.get_running_loop()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(_ANSWER)))
            self.end_headers()
            with suppress(ConnectionError):  # codex may end before it has read the answer
                self.wfile.write(_ANSWER)
            loop.call_soon_threadsafe(asked.put_nowait, body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
            logger.debug(format, *args)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
