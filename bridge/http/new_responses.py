"""The routes that make a response, compact a conversation, or count the tokens of an input."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bridge.agents.errors import not_for_agents
from bridge.agents.place import Place
from bridge.agents.replies import read_replies, way_of
from bridge.config import Settings
from bridge.conversation.prompt import Item
from bridge.conversation.turns import Turn
from bridge.conversation.warm_up import WarmUp
from bridge.errors import invalid_request
from bridge.http.admission import Admission
from bridge.http.answer import WHOLE_PATIENCE, Answer, AnswerPlan, Writer
from bridge.http.background import Background, Job
from bridge.http.body import read_json
from bridge.http.compaction import compacted_first, exceeds_threshold
from bridge.http.response_data import ResponseData
from bridge.http.running_responses import OnSocket, RunningResponse
from bridge.http.token_counter import TokenCounter
from bridge.http.turn_opener import Opener
from bridge.keys.live import id_of
from bridge.openai.model_settings import ModelSettings
from bridge.openai.responses.compaction import summary_settings, to_summarise
from bridge.openai.responses.compaction_writers import CompactionWriter, SummaryAsItem
from bridge.openai.responses.fields import CompactFields, CountFields, read_body
from bridge.openai.responses.object import Object
from bridge.openai.responses.request import ResponseRequest
from bridge.openai.responses.writers import EventStream, ResponseFrames, ResponseStream, ResponseWhole
from bridge.openai.shapes import body_object
from bridge.recordings.exchanges import Exchange
from bridge.store.response import Stored, id_in_store
from bridge.store.seal import Seal
from bridge.telemetry.ledger import RequestLogEntry, entry_of

if TYPE_CHECKING:
    from bridge.agents.turns import AgentTurn

ESTIMATE_HEADER = "x-codex-proxy-estimate"
"""Says that a number of tokens is an estimate, and how it was made."""

NO_SUMMARY = "none"
"""A summary of reasoning, which the turn that summarises a conversation does not need."""


class NewResponses:
    """The handlers of these routes; `running` has each response while it is generated, by its id in the store."""

    def __init__(
        self,
        opener: Opener,
        data: ResponseData,
        admission: Admission,
        background: Background,
        running: dict[str, RunningResponse],
        *,
        settings: Settings,
    ) -> None:
        self._opener = opener
        self._data = data
        self._admission = admission
        self._background = background
        self._running = running
        self._settings = settings
        self._token_counter = TokenCounter()

    async def create(self, request: Request) -> ASGIApp:
        """POST /responses."""
        return await self.answer(request, await read_json(request, self._settings))

    async def answer(self, request: Request, body: Any, socket: OnSocket | None = None) -> ASGIApp:
        """Return the application that answers a request whose decoded JSON body is `body`.

        Raises:
            ApiError: the request cannot be answered.
        """
        parsed, history = await self._data.read(read_body(body), id_of(request.scope), socket and socket.last)
        opener = await self._opener.for_client(request)
        if not parsed.generate:
            entry_of(request.scope).model = parsed.settings.model
            return self._answer(parsed, opener, opener.unrecorded(), history, socket)
        if opener.agent(parsed.settings):
            _check_for_agent(parsed)
        exchange = opener.begin(request, body, *_turn_of(parsed), summary=parsed.summary)
        seal = await self._data.sealing.get() if parsed.compacts or exceeds_threshold(parsed) else None
        if parsed.background:
            if socket is not None:
                message = "A background response is created over HTTP: over a WebSocket 'background' must be false."
                raise invalid_request(message, "background", "unsupported_value")
            return self._in_background(request, parsed, opener, exchange, seal)
        entry_of(request.scope).model = parsed.settings.model
        return exchange.around(self._answer(parsed, opener, exchange, history, socket, seal=seal))

    async def compact(self, request: Request) -> ASGIApp:
        """POST /responses/compact."""
        body = await read_json(request, self._settings)
        parsed, _ = await self._data.read(read_body(body, CompactFields), id_of(request.scope))
        entry_of(request.scope).model = parsed.settings.model
        opener = await self._opener.for_client(request)
        if opener.agent(parsed.settings):
            raise not_for_agents("a compaction of its conversation", "model")
        settings, items = summary_settings(parsed.settings), to_summarise(parsed.items)
        exchange = opener.begin(request, body, settings, items, summary=NO_SUMMARY)
        seal, headers = await self._data.sealing.get(), dict[str, str]()
        key, created = exchange.ids_and_clock.unique().replace("-", ""), exchange.ids_and_clock.now()
        plan = AnswerPlan(
            run=partial(
                opener.open,
                settings,
                items,
                headers,
                exchange,
                summary=NO_SUMMARY,
                dialect="responses",
                ignored=parsed.ignored,
            ),
            new_writer=lambda: CompactionWriter(key, created, parsed.history, seal.close),
            headers=headers,
            patience=WHOLE_PATIENCE,
            pause=self._settings.keep_alive,
        )
        return exchange.around(Answer(plan, self._admission))

    async def input_tokens(self, request: Request) -> Response:
        """POST /responses/input_tokens."""
        sent = body_object(await read_json(request, self._settings))
        body = {name: value for name, value in sent.items() if value is not None}
        parsed, _ = await self._data.read(read_body(body, CountFields), id_of(request.scope))
        tokens, how = await self._token_counter.count(parsed.items, parsed.settings.toolbox)
        headers = {ESTIMATE_HEADER: how}
        if parsed.ignored:
            headers["x-codex-proxy-ignored"] = ", ".join(parsed.ignored)
        return JSONResponse({"object": "response.input_tokens", "input_tokens": tokens}, headers=headers)

    def _in_background(
        self, request: Request, parsed: ResponseRequest, opener: Opener, exchange: Exchange, seal: Seal | None
    ) -> ASGIApp:
        """Start a response in the background; return its events, or its state."""
        job = self._background.new_job(self._settings.keep_alive)
        answer = self._answer(parsed, opener, exchange, (), None, seal=seal, job=job)
        creating = entry_of(request.scope)
        entry = RequestLogEntry(creating.id, key=creating.key, key_id=creating.key_id, model=parsed.settings.model)
        self._background.start(job, exchange.around(answer), request.scope, entry)
        if parsed.stream:
            return job.follow(-1)
        ignored = {"x-codex-proxy-ignored": ", ".join(parsed.ignored)} if parsed.ignored else None
        return JSONResponse(job.writer.output.response, headers=ignored)

    def _answer(
        self,
        parsed: ResponseRequest,
        opener: Opener,
        exchange: Exchange,
        history: Sequence[Object],
        socket: OnSocket | None,
        *,
        seal: Seal | None = None,
        job: Job | None = None,
    ) -> ASGIApp:
        """Return the answer; `seal` is given if it contains a compaction, `job` if it runs in the background.

        `opener` is that of the client.
        """
        frame = parsed.frame(exchange.ids_and_clock.unique().replace("-", ""), exchange.ids_and_clock.now)
        headers: dict[str, str] = {}
        running, place = RunningResponse(), id_in_store(frame.id, opener.key_id)
        streamed = parsed.stream or socket is not None
        if socket is not None:
            socket.response_id = frame.id

        events = EventStream()
        compaction_id = frame.item_id("cmp", 0)

        def new_writer() -> Writer:
            if socket is not None:
                writer = ResponseFrames(frame, socket.stream_id, events)
            elif job is not None:
                writer = job.new_writer(frame)
            else:
                writer = ResponseStream(frame, events) if parsed.stream else ResponseWhole(frame)
            running.output = writer.output
            if not parsed.compacts or seal is None:
                return writer
            return SummaryAsItem(writer, parsed.history, compaction_id, seal.close)

        def open_turn(settings: ModelSettings, items: tuple[Item, ...]) -> AbstractAsyncContextManager[Turn]:
            return opener.open(
                settings,
                items,
                headers,
                exchange,
                summary=parsed.summary,
                dialect="responses",
                ignored=parsed.ignored,
            )

        def opened() -> AbstractAsyncContextManager[Turn | AgentTurn | WarmUp]:
            settings, items = _turn_of(parsed)
            if not parsed.generate:
                return opener.warm_up(settings, items, headers, summary=parsed.summary, ignored=parsed.ignored)
            if opener.agent(settings):
                way = way_of(settings.toolbox, by_item=parsed.asks)
                return opener.open_agent(
                    settings,
                    items,
                    headers,
                    exchange,
                    place=Place(parsed.previous, frame.id, parsed.conversation_id, opener.key_id),
                    replies=read_replies(way, items, parsed.input, history),
                    summary=parsed.summary,
                    ignored=parsed.ignored,
                )
            if seal is None or parsed.compacts:
                return open_turn(settings, items)
            return compacted_first(parsed, open_turn, running.runs, compaction_id, seal)

        @asynccontextmanager
        async def run() -> AsyncGenerator[Turn | AgentTurn | WarmUp]:
            async with opened() as turn:
                running.output.run_in(turn.prompt.tier)
                if job is not None:
                    job.start()
                await running.runs(turn)
                yield turn

        async def settle() -> None:
            owner = running.turn.owner if isinstance(running.turn, Turn) else None
            output = running.output
            stored = Stored(output.response, parsed.input, output.items, owner, opener.key_id)
            if parsed.store:
                await self._data.keep(stored)
            if parsed.conversation_id is not None:
                await self._data.add_to(parsed.conversation_id, stored)
            if socket is not None:
                socket.settle(stored, history)
            self._running.pop(place, None)
            running.ended.set()

        plan = AnswerPlan(
            run=run,
            new_writer=new_writer,
            headers=headers,
            patience=self._settings.head_patience if streamed else WHOLE_PATIENCE,
            pause=self._settings.keep_alive,
            settle=settle,
        )
        if job is not None:
            self._running[place], running.job, job.settle = running, job, settle
            running.scope = job.scope
            return Answer(plan, self._background.admission)
        answer = Answer(plan, self._admission)

        async def answer_and_forget(scope: Scope, receive: Receive, send: Send) -> None:
            self._running[place] = running
            try:
                with running.scope:
                    await answer(scope, receive, send)
            finally:
                if running.scope.cancelled_caught and running.output.cancel():
                    await settle()
                self._running.pop(place, None)
                running.ended.set()

        return answer_and_forget


def _check_for_agent(parsed: ResponseRequest) -> None:
    """Refuse what an agent does not have.

    Raises:
        ApiError: 400, `param` names the field.
    """
    if parsed.background:
        raise not_for_agents("background responses", "background")
    if parsed.compacts:
        raise not_for_agents("a compaction of its conversation", "input")


def _turn_of(parsed: ResponseRequest) -> tuple[ModelSettings, tuple[Item, ...]]:
    """Return the settings and the items of the turn that answers a request."""
    if parsed.compacts:
        return summary_settings(parsed.settings), to_summarise(parsed.items)
    return parsed.settings, parsed.items
