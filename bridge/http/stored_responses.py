"""The routes of the Responses API: create, retrieve, delete, cancel and list input items; and their stored data."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bridge.agents.agents import Place
from bridge.agents.turns import AgentTurn
from bridge.config import Settings
from bridge.conversation.prompt import Item
from bridge.conversation.reasoning_owners import ReasoningOwners
from bridge.conversation.turns import Turn
from bridge.conversation.warm_up import WarmUp
from bridge.errors import ApiError, invalid_request, not_for_agents, response_not_found, store_failed, upstream_failed
from bridge.http.admission import Admission
from bridge.http.answer import WHOLE_PATIENCE, Answer, AnswerPlan, Writer
from bridge.http.background import Background, Job
from bridge.http.body import read_json
from bridge.http.compaction import Sealing, compacted_first, exceeds_threshold
from bridge.http.token_counter import TokenCounter
from bridge.http.turn_opener import Opener
from bridge.openai.conversations import conversation_not_found
from bridge.openai.model_settings import ModelSettings
from bridge.openai.responses import request as response_request
from bridge.openai.responses.compaction import needs_key, summary_settings, to_summarise
from bridge.openai.responses.compaction_writers import CompactionWriter, SummaryAsItem
from bridge.openai.responses.fields import CompactFields, CountFields, ResponseBody, ResponseFields, read_body
from bridge.openai.responses.input import Recent
from bridge.openai.responses.input_items import Page, input_items, page
from bridge.openai.responses.object import ACTIVE, ENCRYPTED, PREFIX, Object, key_of
from bridge.openai.responses.output import ResponseOutput
from bridge.openai.responses.writers import EventStream, ResponseFrames, ResponseStream, ResponseWhole
from bridge.openai.shapes import body_object
from bridge.recordings.exchanges import Exchange
from bridge.store.histories import Histories
from bridge.store.last_responses import LastResponses
from bridge.store.open import Store
from bridge.store.response import Stored, StoreError
from bridge.store.seal import Seal
from bridge.telemetry.ledger import RequestLogEntry, entry_of

logger = logging.getLogger(__name__)

T = TypeVar("T")

CANCEL_PATIENCE = 5.0
"""Seconds that a cancelled response may take to reach its client, which may have stopped reading."""

ESTIMATE_HEADER = "x-codex-proxy-estimate"
"""Says that a number of tokens is an estimate, and how it was made."""

NO_SUMMARY = "none"
"""A summary of reasoning, which the turn that summarises a conversation does not need."""


class _Running:
    """A response that is being generated; `output` is set when its answer is created."""

    output: ResponseOutput
    turn: Turn | AgentTurn | WarmUp | None = None
    job: Job | None = None
    """Its job if it runs in the background."""
    cancelled = False

    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.scope = anyio.CancelScope()
        """Cancels the answer."""

    async def runs(self, turn: Turn | AgentTurn | WarmUp) -> None:
        """Note the turn that generates it; a turn of a cancelled response is cancelled."""
        self.turn = turn
        if self.cancelled:
            await turn.cancel()


class OnSocket:
    """A request on a WebSocket, and its response."""

    response_id: str | None = None
    """The id of the response once it is created."""
    response: Object | None = None
    """The response object once it is final."""

    def __init__(self, stream_id: str | None, last: LastResponses) -> None:
        self.stream_id = stream_id
        self.last = last

    def settle(self, response: Stored, history: Sequence[Object]) -> None:
        """Keep a response so that the next request can continue it; one that failed ends what it continued.

        A stored response whose predecessors are stored needs no place here.
        """
        self.response = response.response
        before = response.previous
        if response.response["status"] == "failed":
            self.last.forget(before)
        elif not response.response["store"] or (before is not None and self.last.history(before) is not None):
            self.last.keep(self.stream_id, response, history)


class Responses:
    """The handlers of these routes."""

    def __init__(
        self,
        opener: Opener,
        store: Store,
        admission: Admission,
        background: Background,
        owners: ReasoningOwners,
        *,
        settings: Settings,
    ) -> None:
        self._opener = opener
        self._store = store
        self._admission = admission
        self._background = background
        self._settings = settings
        self._owners = owners
        self._histories = Histories(store, settings.store_age, anyio.current_time, note=self._note_reasoning)
        self._recent = Recent()
        self._sealing = Sealing(store)
        self._token_counter = TokenCounter()
        self._running: dict[str, _Running] = {}

    async def create(self, request: Request) -> ASGIApp:
        """POST /responses."""
        return await self.answer(request, await read_json(request, self._settings))

    async def answer(self, request: Request, body: Any, socket: OnSocket | None = None) -> ASGIApp:
        """Return the application that answers a request whose decoded JSON body is `body`.

        Raises:
            ApiError: the request cannot be answered.
        """
        parsed, history = await self._read(read_body(body), socket)
        if not parsed.generate:
            entry_of(request.scope).model = parsed.settings.model
            return self._answer(parsed, self._opener.unrecorded(), history, socket)
        if self._opener.agent(parsed.settings):
            _check_for_agent(parsed)
        exchange = self._opener.begin(request, body, *_turn_of(parsed), summary=parsed.summary)
        seal = await self._sealing.get() if parsed.compacts or exceeds_threshold(parsed) else None
        if parsed.background:
            if socket is not None:
                message = "A background response is created over HTTP: over a WebSocket 'background' must be false."
                raise invalid_request(message, "background", "unsupported_value")
            return self._in_background(request, parsed, exchange, seal)
        entry_of(request.scope).model = parsed.settings.model
        return exchange.around(self._answer(parsed, exchange, history, socket, seal=seal))

    async def compact(self, request: Request) -> ASGIApp:
        """POST /responses/compact."""
        body = await read_json(request, self._settings)
        parsed, _ = await self._read(read_body(body, CompactFields))
        entry_of(request.scope).model = parsed.settings.model
        if self._opener.agent(parsed.settings):
            raise not_for_agents("a compaction of its conversation", "model")
        settings, items = summary_settings(parsed.settings), to_summarise(parsed.items)
        exchange = self._opener.begin(request, body, settings, items, summary=NO_SUMMARY)
        seal, headers = await self._sealing.get(), dict[str, str]()
        key, created = exchange.ids_and_clock.unique().replace("-", ""), exchange.ids_and_clock.now()
        plan = AnswerPlan(
            run=partial(
                self._opener.open,
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
        parsed, _ = await self._read(read_body(body, CountFields))
        tokens, how = await self._token_counter.count(parsed.items, parsed.settings.toolbox)
        headers = {ESTIMATE_HEADER: how}
        if parsed.ignored:
            headers["x-codex-proxy-ignored"] = ", ".join(parsed.ignored)
        return JSONResponse({"object": "response.input_tokens", "input_tokens": tokens}, headers=headers)

    async def retrieve(self, request: Request) -> ASGIApp:
        """GET /responses/{id}."""
        response_id: str = request.path_params["id"]
        if request.query_params.get("stream") == "true":
            return await self._follow(response_id, request.query_params.get("starting_after", "-1"))
        if running := self._running.get(response_id):
            return JSONResponse(running.output.response)
        return JSONResponse((await self._stored(response_id)).response)

    async def delete(self, request: Request) -> Response:
        """DELETE /responses/{id}."""
        response_id: str = request.path_params["id"]
        if response_id in self._running:
            raise invalid_request(f"The response {response_id!r} is still running; cancel it first.", code="running")
        try:
            existed = await self._store.delete(response_id)
        except StoreError as error:
            raise store_failed(str(error)) from error
        if not existed:
            raise response_not_found(response_id)
        self._background.forget(response_id)
        self._recent.clear()  # item references to it are invalid now
        return JSONResponse({"id": response_id, "object": "response", "deleted": True})

    async def cancel(self, request: Request) -> Response:
        """POST /responses/{id}/cancel."""
        response_id: str = request.path_params["id"]
        running = self._running.get(response_id)
        if running is None or running.output.response["status"] not in ACTIVE:
            response = running.output.response if running else (await self._stored(response_id)).response
            if response["background"] and response["status"] == "cancelled":
                return JSONResponse(response)  # as the API has it, to cancel twice is no error
            message = f"The response {response_id!r} is already {response['status']}."
            raise invalid_request(message, code="not_running")
        running.cancelled = True
        if running.turn is not None:
            await running.turn.cancel()
        elif running.job is not None:
            running.scope.cancel()  # a response that waits in the background has no turn that could end it
        with anyio.move_on_after(CANCEL_PATIENCE) as reaching:
            await running.ended.wait()
        if reaching.cancelled_caught:
            running.scope.cancel()
            await running.ended.wait()
        if running.output.response["status"] in ACTIVE:
            raise upstream_failed(f"The response {response_id!r} ended before it could be cancelled.")
        return JSONResponse(running.output.response)

    async def input_items(self, request: Request) -> Response:
        """GET /responses/{id}/input_items."""
        bounds = Page.read(request.query_params)
        response_id: str = request.path_params["id"]
        last = await self._stored(response_id)
        chain = await self._chain(last.previous)
        items = [*input_items(chain), *input_items([last], output=False)]
        wanted = {*request.query_params.getlist("include"), *request.query_params.getlist("include[]")}
        return JSONResponse(page(items, bounds, encrypted=ENCRYPTED in wanted))

    # ── generating ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _in_background(
        self, request: Request, parsed: response_request.ResponseRequest, exchange: Exchange, seal: Seal | None
    ) -> ASGIApp:
        """Start a response in the background; return its events, or its state."""
        job = self._background.new_job(self._settings.keep_alive)
        answer = self._answer(parsed, exchange, (), None, seal=seal, job=job)
        entry = RequestLogEntry(entry_of(request.scope).id, model=parsed.settings.model)
        self._background.start(job, exchange.around(answer), request.scope, entry)
        if parsed.stream:
            return job.follow(-1)
        ignored = {"x-codex-proxy-ignored": ", ".join(parsed.ignored)} if parsed.ignored else None
        return JSONResponse(job.writer.output.response, headers=ignored)

    async def _follow(self, response_id: str, after: str) -> ASGIApp:
        """Return the events of a background response after the one with a number."""
        if re.fullmatch(r"-1|\d{1,9}", after, re.ASCII) is None:
            message = f"Invalid value for 'starting_after': {after!r}; use the number of an event."
            raise invalid_request(message, "starting_after", "invalid_value")
        if (job := self._background.find(response_id)) is not None:
            return job.follow(int(after))
        if response_id not in self._running:
            await self._stored(response_id)
        message = "Only the events of background responses are kept, for a while; omit 'stream' to get the response."
        raise invalid_request(message, "stream", "events_not_kept")

    def _answer(
        self,
        parsed: response_request.ResponseRequest,
        exchange: Exchange,
        history: Sequence[Object],
        socket: OnSocket | None,
        *,
        seal: Seal | None = None,
        job: Job | None = None,
    ) -> ASGIApp:
        """Return the answer; `seal` is given if it contains a compaction, `job` if it runs in the background."""
        frame = parsed.frame(exchange.ids_and_clock.unique().replace("-", ""), exchange.ids_and_clock.now)
        headers: dict[str, str] = {}
        running = _Running()
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
            return self._opener.open(
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
                return self._opener.warm_up(settings, items, headers, summary=parsed.summary, ignored=parsed.ignored)
            if self._opener.agent(settings):
                place = Place(parsed.previous, frame.id, parsed.conversation_id)
                return self._opener.open_agent(
                    settings, items, headers, place, summary=parsed.summary, ignored=parsed.ignored
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
            stored = Stored(running.output.response, parsed.input, running.output.items, owner)
            if parsed.store:
                await self._keep(stored)
            if parsed.conversation_id is not None:
                await self._add_to(parsed.conversation_id, stored)
            if socket is not None:
                socket.settle(stored, history)
            self._running.pop(frame.id, None)
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
            self._running[frame.id], running.job, job.settle = running, job, settle
            running.scope = job.scope
            return Answer(plan, self._background.admission)
        answer = Answer(plan, self._admission)

        async def answer_and_forget(scope: Scope, receive: Receive, send: Send) -> None:
            self._running[frame.id] = running
            try:
                with running.scope:
                    await answer(scope, receive, send)
            finally:
                if running.scope.cancelled_caught and running.output.cancel():
                    await settle()
                self._running.pop(frame.id, None)
                running.ended.set()

        return answer_and_forget

    async def _keep(self, stored: Stored) -> None:
        """Store a response; a failure is only logged, because the answer itself is complete."""
        try:
            await self._store.put(stored)
            self._histories.extend(stored)
        except StoreError as error:
            logger.error("response %s is not stored: %s", stored.id, error)

    def _note_reasoning(self, stored: Stored) -> None:
        if stored.owner is not None:
            self._owners.note(stored.output, stored.owner)

    async def _add_to(self, conversation_id: str, response: Stored) -> None:
        """Add the input and output of a response to its conversation; a failure is only logged, as above.

        A failed or cancelled response adds nothing, so that the client can repeat it.
        """
        if response.response["status"] not in {"completed", "incomplete"}:
            return
        try:
            if not await self._store.conversations.add(conversation_id, list(input_items([response]))):
                logger.warning("conversation %s was deleted before its response was complete", conversation_id)
        except StoreError as error:
            logger.error("response %s is not added to conversation %s: %s", response.id, conversation_id, error)

    async def _read(
        self, sent: ResponseBody, socket: OnSocket | None = None
    ) -> tuple[response_request.ResponseRequest, Sequence[Object]]:
        """Read a request together with the responses that it continues or refers to; return it and their items."""
        history = await self._history(sent.fields, socket)
        values = (*history, *response_request.own_values(sent))
        unseal = (await self._sealing.get()).open if needs_key(values) else None
        half_parsed = response_request.begin(sent, history, self._recent, unseal)
        return half_parsed.read(await self._items(half_parsed.input.references())), history

    # ── looking up ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _stored(self, response_id: str) -> Stored:
        try:
            stored = await self._store.get(response_id)
        except StoreError as error:
            raise store_failed(str(error)) from error
        if stored is None:
            raise response_not_found(response_id)
        return stored

    async def _history(self, fields: ResponseFields, socket: OnSocket | None) -> Sequence[Object]:
        """Return the items of the conversation, or of the responses, that a request continues."""
        if fields.conversation_id is not None:
            return await self._items_of(fields.conversation_id)
        previous = fields.previous_response_id
        if previous is not None and socket is not None and (kept := socket.last.history(previous)) is not None:
            return kept
        return await self._all_before(previous, self._histories.of)

    async def _items_of(self, conversation_id: str) -> Sequence[Object]:
        try:
            items = await self._store.conversations.items(conversation_id)
        except StoreError as error:
            raise store_failed(str(error)) from error
        if items is None:
            raise conversation_not_found(conversation_id)
        return items

    async def _chain(self, previous: str | None) -> Sequence[Stored]:
        return await self._all_before(previous, self._store.chain)

    async def _all_before(
        self, previous: str | None, read: Callable[[str], Awaitable[Sequence[T] | None]]
    ) -> Sequence[T]:
        if previous is None:
            return ()
        try:
            found = await read(previous)
        except StoreError as error:
            raise store_failed(str(error)) from error
        if found is None:
            raise response_request.previous_not_found(previous)
        return found

    async def _items(self, ids: Sequence[str]) -> Mapping[str, Object]:
        """Return items of stored responses by id; the id of an item contains the key of its response."""
        found: dict[str, Object] = {}
        for key in {key for item_id in ids if (key := key_of(item_id))}:
            try:
                stored = await self._stored(PREFIX + key)
            except ApiError:
                continue
            self._note_reasoning(stored)
            found |= {item["id"]: item for item in input_items([stored])}
        return {item_id: found[item_id] for item_id in ids if item_id in found}


def _check_for_agent(parsed: response_request.ResponseRequest) -> None:
    """Refuse what an agent does not have.

    Raises:
        ApiError: 400, `param` names the field.
    """
    if parsed.background:
        raise not_for_agents("background responses", "background")
    if parsed.compacts:
        raise not_for_agents("a compaction of its conversation", "input")


def _turn_of(parsed: response_request.ResponseRequest) -> tuple[ModelSettings, tuple[Item, ...]]:
    """Return the settings and the items of the turn that answers a request."""
    if parsed.compacts:
        return summary_settings(parsed.settings), to_summarise(parsed.items)
    return parsed.settings, parsed.items
