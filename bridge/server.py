"""Runs the server: the socket, the application, codex's supervisor, and the way all of them stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any, TypeAlias

import anyio
from msgspec import Struct
from starlette.types import ASGIApp

from bridge.admission import Admission
from bridge.app import Api, build_app
from bridge.backend import Backend
from bridge.config import Settings
from bridge.demo import DemoNotice
from bridge.ledger import Ledger
from bridge.mint import Mint
from bridge.opener import Opener
from bridge.page import Page
from bridge.responses import Responses
from bridge.stage import Stage
from bridge.stages import open_stage
from bridge.status import Status
from bridge.stores import open_store
from bridge.threads import Threads
from bridge.web_server import serve_http
from codex_rpc.background import running
from codex_rpc.errors import CodexNotFoundError, CodexTooOldError
from codex_rpc.supervisor import Down, Supervisor

logger = logging.getLogger(__name__)

MINT = Mint(unique=lambda: str(uuid.uuid4()), now=lambda: int(time.time()))

Watch: TypeAlias = Callable[[anyio.Event], Coroutine[Any, Any, None]]
"""Sets the event when the server is to stop."""

Beside: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""What runs for as long as the server does."""


def listen(host: str, port: int) -> socket.socket:
    """Take the address before anything else starts: a port in use is noticed first, and early clients wait.

    Raises:
        OSError: it cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only of a socket that says that it is TCP asyncio lets nothing wait for the client's acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class Service(Struct, frozen=True):
    """The application with its codex behind it."""

    app: ASGIApp
    supervisor: Supervisor
    threads: Threads
    admission: Admission


@asynccontextmanager
async def service(settings: Settings, behind: Stage | None = None) -> AsyncGenerator[Service]:
    """Keep codex running for the length of the block; afterwards no process of it is left.

    What stands behind the server is what the settings say unless it is given.
    """
    behind_it = open_stage(settings, MINT) if behind is None else nullcontext(behind)
    async with open_store(settings) as store, behind_it as it:
        supervisor, admission = Supervisor(it.open_client), Admission(settings.answers, settings.queue_patience)
        backend = Backend(supervisor, settings.start_patience, it.stamp)
        threads = Threads(
            it.cwd,
            most=settings.threads,
            # Neither a recording nor a replay knows threads that nobody asked for.
            spares=settings.spares if it.join_deltas else 0,
            longest=settings.thread_age,
            idle_timeout=settings.idle_timeout,
            join_deltas=it.join_deltas,
        )
        opener = Opener(backend, threads, it.exchanges)
        api = Api(backend, opener, admission, settings, MINT.now())
        responses = Responses(opener, store, admission, settings)
        status = Status(supervisor, backend, threads, admission, Ledger(time.strftime("%Y-%m-%d")))
        app = build_app(api, responses, status, Page(settings), settings)
        async with running(supervisor.run, backend.warm_up, threads.keep_tidy, threads.keep_spares):
            yield Service(DemoNotice(app) if settings.demo else app, supervisor, threads, admission)


async def watch_signals(stop: anyio.Event) -> None:
    """Set `stop` at the first SIGINT or SIGTERM; the second one ends the process at once, as it would without us."""
    wanted = (signal.SIGINT, signal.SIGTERM)
    if sys.platform == "win32":
        loop = asyncio.get_running_loop()
        for number in wanted:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        return
    with anyio.open_signal_receiver(*wanted) as signals:
        async for number in signals:
            logger.info("received %s; stopping", signal.Signals(number).name)
            stop.set()
            break


async def serve(
    settings: Settings,
    listener: socket.socket,
    announce: Callable[[], None],
    watch: Watch = watch_signals,
    beside: Sequence[Beside] = (),
) -> None:
    """Serve on `listener` until `watch` says stop; `announce` is called when requests are answered.

    Raises:
        CaseError: the recordings that are to be served cannot be read.
        CodexNotFoundError, CodexTooOldError: at the first start; the machine's set-up is to be mended.
    """
    stop = anyio.Event()
    async with service(settings) as it:

        async def stop_if_codex_cannot_start() -> None:
            match await it.supervisor.first_outcome():
                case Down(CodexNotFoundError() | CodexTooOldError()):
                    stop.set()
                case _:
                    pass

        async def stop_gracefully() -> None:
            await stop.wait()
            await it.admission.stop(settings.grace)

        async with running(partial(watch, stop), stop_if_codex_cannot_start, *beside):
            announce()
            await serve_http(it.app, listener, stop_gracefully)
        match it.supervisor.state:
            case Down(CodexNotFoundError() | CodexTooOldError() as failure):
                raise failure
            case _:
                pass
