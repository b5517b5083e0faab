"""The whole server as one ASGI application. Any ASGI server that runs the lifespan protocol can serve it.

    hypercorn 'bridge.asgi:create_app()'
    uvicorn --factory bridge.asgi:create_app

The lifespan starts and stops Codex, the store and the tidy-up tasks.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from msgspec import Struct
from starlette.types import ASGIApp, Receive, Scope, Send

from bridge.codex.backend import Backend
from bridge.codex.models import ModelNames
from bridge.config import Settings
from bridge.conversation.threads import Threads
from bridge.http.admission import Admission
from bridge.http.background import Background
from bridge.http.budgets import Budgets
from bridge.http.conversations import Conversations
from bridge.http.new_responses import NewResponses
from bridge.http.page import Page
from bridge.http.response_data import ResponseData
from bridge.http.routes import Api, build_app
from bridge.http.running_responses import RunningResponse
from bridge.http.status import Status, TunnelUrl, no_tunnel
from bridge.http.stored_responses import StoredResponses
from bridge.http.turn_opener import Opener
from bridge.http.websocket import Sockets
from bridge.keys.live import Keys
from bridge.recordings.backend_mode import BackendMode, open_backend_mode
from bridge.recordings.demo import DemoNotice
from bridge.recordings.exchanges import IdsAndClock
from bridge.store.open import Store, open_store
from bridge.telemetry.history import History
from bridge.telemetry.ledger import Ledger
from codex_rpc.background import running
from codex_rpc.supervisor import Supervisor

if TYPE_CHECKING:
    from bridge.agents.agents import Agents

IDS_AND_CLOCK = IdsAndClock(unique=lambda: str(uuid.uuid4()), now=lambda: int(time.time()))


class Service(Struct, frozen=True):
    """The application and the parts that it uses. `app` serves HTTP requests and WebSockets, but no lifespan."""

    app: ASGIApp
    supervisor: Supervisor
    threads: Threads
    admission: Admission
    background: Background

    async def stop(self, grace: float) -> None:
        """Admit no more answers, give the open ones up to `grace` seconds, then end the rest."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.admission.stop, grace)
            tasks.start_soon(self.background.stop, grace)


@asynccontextmanager
async def service(
    settings: Settings, mode: BackendMode | None = None, tunnel: TunnelUrl = no_tunnel
) -> AsyncGenerator[Service]:
    """Run Codex, the store and the background tasks for the length of the block; all of them end with it.

    Without `mode` the settings decide whether Codex answers live, is recorded or is replayed.

    Raises:
        CaseError: the recordings to serve cannot be read.
        StoreError: the store of responses cannot be opened.
        KeysError: the file of named keys cannot be used.
    """
    opening = open_backend_mode(settings, IDS_AND_CLOCK) if mode is None else nullcontext(mode)
    async with open_store(settings) as store, opening as backend_mode:
        supervisor = Supervisor(backend_mode.open_client)
        admission = Admission(settings.answers, settings.queue_patience)
        backend = Backend(supervisor, settings.start_patience, backend_mode.stamp)
        threads = Threads(
            backend_mode.cwd,
            most=settings.threads,
            # Recordings and replays contain only threads that a request started.
            spares=settings.spares if backend_mode.join_deltas else 0,
            longest=settings.thread_age,
            idle_timeout=settings.idle_timeout,
            join_deltas=backend_mode.join_deltas,
        )
        agents = _agents(settings, backend_mode, store)
        names = ModelNames(settings.aliases, settings.model_names, agents.names if agents else ())
        keys = Keys(settings.api_key, None if settings.keys_file is None else Path(settings.keys_file))
        ledger, budgets = Ledger(time.strftime("%Y-%m-%d")), Budgets(store.token_counts, time.time)
        ledger.listeners.append(budgets.count)
        opener = Opener(backend, threads, backend_mode.exchanges, names, budgets=budgets, agents=agents)
        api = Api(backend, opener, admission, settings, IDS_AND_CLOCK.now(), catalogue=backend_mode.catalogue)
        history = History(store.usage)
        ledger.listeners.append(history.count)
        background = Background(ledger)
        data, being_made = ResponseData(store, threads.owners, settings.store_age), dict[str, RunningResponse]()
        responses = NewResponses(opener, data, admission, background, being_made, settings=settings)
        stored = StoredResponses(data, background, being_made)
        sockets = Sockets(responses, admission, ledger, settings)
        control = None if agents is None else agents.control
        status = Status(
            supervisor,
            backend,
            threads,
            admission,
            ledger,
            keys=keys,
            budgets=budgets,
            history=history,
            agents=control,
            tunnel=tunnel,
        )
        conversations = Conversations(store, IDS_AND_CLOCK.unique, IDS_AND_CLOCK.now, settings)
        page = Page(settings, control, tunnel)
        app = build_app(
            api, responses, stored, conversations, sockets, status=status, keys=keys, page=page, settings=settings
        )
        tidy = (threads.keep_tidy, threads.keep_spares, keys.watch, budgets.run, history.run)
        tasks = (supervisor.run, backend.warm_up, *tidy)
        async with running(*tasks), running(background.run, *((agents.run,) if agents else ())):
            yield Service(DemoNotice(app) if settings.demo else app, supervisor, threads, admission, background)


def _agents(settings: Settings, mode: BackendMode, store: Store) -> Agents | None:
    """Return the live agents of the settings or the recorded ones of a replay; None if there are none."""
    live = settings.agents if mode.open_agents is None else ()
    if not live and not mode.agents:
        return None
    from bridge.agents.agents import Agents  # noqa: PLC0415 - most servers have none
    from bridge.agents.backend import AgentLauncher  # noqa: PLC0415
    from bridge.agents.played import PlayedCodex  # noqa: PLC0415

    if mode.open_agents is not None:
        agents, codex = mode.agents, PlayedCodex(mode.open_agents)
    else:
        agents, codex = live, AgentLauncher(settings, mode.tap_agents)
    return Agents(settings, agents, codex, store.agent_turns, join_deltas=mode.join_deltas)


class Application:
    """Answers requests between the startup and the shutdown of its lifespan."""

    failure: Exception | None = None
    """Why the lifespan failed; the ASGI server gets only the message."""

    def __init__(self, settings: Settings, tunnel: TunnelUrl = no_tunnel) -> None:
        self._settings = settings
        self._tunnel = tunnel
        self._service: Service | None = None
        self.failed = anyio.Event()
        """Set when the lifespan ends with an exception, during startup or later."""

    @property
    def service(self) -> Service:
        """The running service.

        Raises:
            RuntimeError: the lifespan has not started.
        """
        if self._service is None:
            raise RuntimeError("this application starts Codex in its ASGI lifespan, which this server does not run")
        return self._service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket, or run the lifespan."""
        match scope["type"]:
            case "lifespan":
                await self._run_lifespan(receive, send)
            case _:
                await self.service.app(scope, receive, send)

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with AsyncExitStack() as stack:
                try:
                    self._service = await stack.enter_async_context(service(self._settings, tunnel=self._tunnel))
                except Exception as error:
                    self.failure = error
                    await send({"type": "lifespan.startup.failed", "message": str(error)})  # Hypercorn raises here
                    raise
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            self.failure = self.failure or error
            self.failed.set()
            raise
        finally:
            self._service = None
        await send({"type": "lifespan.shutdown.complete"})


def create_app(settings: Settings | None = None, tunnel: TunnelUrl = no_tunnel) -> Application:
    """Return the application; without settings it reads them as `serve` does, from environment and TOML file.

    `tunnel` returns the public address, while a tunnel that was started with the server has one.

    The settings for address, certificate, tunnel, demo and log apply to `serve` only; other servers have their own.

    Raises:
        click.ClickException: a setting is invalid.
    """
    if settings is None:
        from bridge.settings.server import settings_from_environment  # noqa: PLC0415 - `serve` has them already

        settings = settings_from_environment()
    return Application(settings, tunnel)
