"""The routes of the ASGI application, and the handlers of models and chat completions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import orjson
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bridge.agents.client_tools import ClientTools
from bridge.agents.errors import not_for_agents
from bridge.agents.place import Place
from bridge.agents.replies import read_replies, way_of
from bridge.codex.backend import Backend
from bridge.codex.catalogue import client_models
from bridge.config import Settings
from bridge.errors import (
    ApiError,
    internal_error,
    invalid_request,
    method_not_allowed,
    model_not_found,
    no_websocket,
    route_not_found,
)
from bridge.http.admission import Admission
from bridge.http.answer import WHOLE_PATIENCE, Answer, AnswerPlan
from bridge.http.body import read_json
from bridge.http.conversations import Conversations
from bridge.http.middleware import SENT_PATH, Access, CleanPath, Envelope
from bridge.http.new_responses import NewResponses
from bridge.http.page import Page
from bridge.http.status import Status
from bridge.http.stored_responses import StoredResponses
from bridge.http.turn_opener import Opener
from bridge.http.upgrade import Upgrades, upgrade_of
from bridge.http.websocket import Sockets
from bridge.keys.live import Keys
from bridge.openai.chat import request as chat_request
from bridge.openai.chat.answer import ChatAnswer
from bridge.openai.chat.completion import ChatCompletion
from bridge.openai.chat.stream import ChatStream
from bridge.openai.clients import activity_of, as_shown, conversation_of, is_cursor
from bridge.openai.models import model_list, model_object
from bridge.openai.responses.input import Recent
from bridge.openai.responses.object import PREFIX
from bridge.recordings.exchanges import Exchange
from bridge.telemetry.ledger import entry_of


class ResponseId(Convertor[str]):
    """The id of a response in a path; `/responses/compact` and the like are other routes, or none."""

    regex = f"{PREFIX}[^/]+"

    def convert(self, value: str) -> str:
        """Return the id."""
        return value

    def to_string(self, value: str) -> str:
        """Return the part of the path."""
        return value


register_url_convertor("response_id", ResponseId())


class Api:
    """The handlers of models and chat completions."""

    def __init__(
        self,
        backend: Backend,
        opener: Opener,
        admission: Admission,
        settings: Settings,
        started: int,
        *,
        catalogue: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
    ) -> None:
        """`started` is in epoch seconds; `catalogue` returns codex's models as it describes them."""
        self._backend = backend
        self._catalogue = catalogue
        self._opener = opener
        self._admission = admission
        self._settings = settings
        self._started = started
        self._recent = Recent()
        self._summary = None if settings.reasoning == "off" else "auto"

    async def models(self, request: Request) -> Response:
        """GET /models. The Codex CLI names its version, and takes its own kind of description from `models`."""
        names, known = self._opener.names_for(request), await self._backend.models()
        models = model_list(names.listed(known), self._started)
        if "client_version" in request.query_params:
            allowed = [model for model in self._catalogue() if not names.forbids(model["slug"], known)]
            models["models"] = client_models(allowed)
        return Response(orjson.dumps(models), media_type="application/json")

    async def model(self, request: Request) -> Response:
        """GET /models/{id}."""
        name: str = request.path_params["name"]
        names, known = self._opener.names_for(request), await self._backend.models()
        if name not in (listed := names.listed(known)) and names.choose(name, known) is None:
            raise model_not_found(name, listed)
        return JSONResponse(model_object(name, self._started))

    async def chat_completions(self, request: Request) -> ASGIApp:
        """POST /chat/completions, and its Azure form, whose path contains the model."""
        settings = self._settings
        body = await read_json(request, settings)
        chat = chat_request.parse(body, settings.reasoning, request.path_params.get("deployment"), self._recent)
        entry_of(request.scope).model = chat.settings.model
        cursor = is_cursor(request.headers)
        opener = await self._opener.for_client(request)
        exchange = opener.begin(request, body, chat.settings, chat.items, summary=self._summary, fall_back=cursor)
        answer_id, created = f"chatcmpl-codex-{exchange.ids_and_clock.unique()}", exchange.ids_and_clock.now()
        name, display = chat.settings.model, settings.reasoning
        answer = ChatAnswer(answer_id, created, name, chat.choices, display, cursor, chat.old_calls)
        headers: dict[str, str] = {}
        if opener.agent(chat.settings):
            return self._by_agent(request, opener, exchange, chat, answer)

        def new_writer() -> ChatStream | ChatCompletion:
            return ChatStream(answer, usage_chunk=chat.usage_chunk) if chat.stream else ChatCompletion(answer)

        plan = AnswerPlan(
            run=partial(
                opener.open,
                chat.settings,
                chat.items,
                headers,
                exchange,
                summary=self._summary,
                dialect="chat",
                ignored=chat.ignored,
                fall_back=cursor,
            ),
            new_writer=new_writer,
            headers=headers,
            patience=settings.head_patience if chat.stream else WHOLE_PATIENCE,
            pause=settings.keep_alive,
            choices=chat.choices,
            cursor=cursor,
            overflow=(lambda: new_writer().overflow()) if cursor else None,
        )
        return exchange.around(Answer(plan, self._admission))

    def _by_agent(
        self,
        request: Request,
        opener: Opener,
        exchange: Exchange,
        chat: chat_request.ChatRequest,
        answer: ChatAnswer,
    ) -> ASGIApp:
        """Return the answer of an agent; `answer` describes the completion."""
        if chat.choices > 1:
            raise not_for_agents("more than one choice", "n")
        if chat.old_calls and ClientTools.of(chat.settings.toolbox).tools:
            raise not_for_agents("the old 'functions', whose outputs name no call; use 'tools'", "functions")
        style = activity_of(request.headers) or self._settings.agent_activity
        if answer.cursor and style == "reasoning_content":
            style = "text"
        from bridge.openai.chat.agent_answer import agent_writer  # noqa: PLC0415 - most servers have no agents

        place = Place(conversation=conversation_of(request.headers), key=opener.key_id)
        headers = dict[str, str]()
        # A `function_call` has no id by which its answer could be told from others.
        way = None if chat.old_calls else way_of(chat.settings.toolbox)
        plan = AnswerPlan(
            run=partial(
                opener.open_agent,
                chat.settings,
                chat.items,
                headers,
                exchange,
                place=place,
                replies=read_replies(way, chat.items),
                summary=self._summary,
                ignored=chat.ignored,
            ),
            new_writer=partial(agent_writer, answer, style, stream=chat.stream, usage_chunk=chat.usage_chunk),
            headers=headers,
            patience=self._settings.head_patience if chat.stream else WHOLE_PATIENCE,
            pause=self._settings.keep_alive,
            cursor=answer.cursor,
        )
        return exchange.around(Answer(plan, self._admission))


def build_app(
    api: Api,
    responses: NewResponses,
    stored: StoredResponses,
    conversations: Conversations,
    sockets: Sockets,
    *,
    status: Status,
    keys: Keys,
    page: Page,
    settings: Settings,
) -> ASGIApp:
    """Return the application with its middleware."""
    routes = [
        # Matched in order: the most frequent routes come first.
        Route("/chat/completions", api.chat_completions, methods=["POST"]),
        Route("/responses", responses.create, methods=["POST"]),
        Route("/responses", sockets.connect, methods=["GET"]),
        Route("/", page.index, methods=["GET"]),
        Route("/page/{name}", page.file, methods=["GET"]),
        Route("/doctor", page.doctor, methods=["GET"]),
        Route("/doctor/stream", page.stream, methods=["GET"]),
        Route("/agents/stop", page.stop_agent, methods=["POST"]),
        Route("/agents/answer", page.answer_agent, methods=["POST"]),
        Route("/healthz", status.health, methods=["GET"]),
        Route("/readyz", status.ready, methods=["GET"]),
        Route("/usage", status.usage, methods=["GET"]),
        Route("/metrics", status.metrics, methods=["GET"]),
        Route("/models", api.models, methods=["GET"]),
        Route("/models/{name:path}", api.model, methods=["GET"]),
        Route("/responses/compact", responses.compact, methods=["POST"]),
        Route("/responses/input_tokens", responses.input_tokens, methods=["POST"]),
        Route("/responses/{id:response_id}", stored.retrieve, methods=["GET"]),
        Route("/responses/{id:response_id}", stored.delete, methods=["DELETE"]),
        Route("/responses/{id:response_id}/cancel", stored.cancel, methods=["POST"]),
        Route("/responses/{id:response_id}/input_items", stored.input_items, methods=["GET"]),
        Route("/conversations", conversations.create, methods=["POST"]),
        Route("/conversations/{id}", conversations.retrieve, methods=["GET"]),
        Route("/conversations/{id}", conversations.update, methods=["POST"]),
        Route("/conversations/{id}", conversations.delete, methods=["DELETE"]),
        Route("/conversations/{id}/items", conversations.list_items, methods=["GET"]),
        Route("/conversations/{id}/items", conversations.add_items, methods=["POST"]),
        Route("/conversations/{id}/items/{item}", conversations.retrieve_item, methods=["GET"]),
        Route("/conversations/{id}/items/{item}", conversations.delete_item, methods=["DELETE"]),
        Route("/openai/deployments/{deployment}/chat/completions", api.chat_completions, methods=["POST"]),
    ]

    app = Starlette(
        routes=routes,
        exception_handlers={
            ApiError: _api_error,
            HTTPException: _http_error,
            ClientDisconnect: _client_left,
            Exception: _unexpected,
        },
    )
    access = Access(app, keys, settings.allow_origin)
    return Upgrades(CleanPath(Envelope(access, status.ledger, settings.idle_timeout)))


def _error_response(error: ApiError) -> Response:
    return JSONResponse(error.body(), error.status, headers=error.headers)


async def _api_error(request: Request, error: Exception) -> Response:
    refusal = cast("ApiError", error)
    entry_of(request.scope).error = refusal.name
    return _error_response(as_shown(refusal, cursor=is_cursor(request.headers)))


async def _http_error(request: Request, error: Exception) -> Response:
    """Translate Starlette's own errors, such as unknown routes and methods."""
    refused, path = cast("HTTPException", error), request.scope[SENT_PATH]
    if upgrade_of(request.scope):
        return _error_response(no_websocket())
    match refused.status_code:
        case 404:
            return _error_response(route_not_found(path))
        case 405:
            allowed = refused.headers["Allow"] if refused.headers else ""
            return _error_response(method_not_allowed(request.method, path, allowed))
        case _:
            return _error_response(invalid_request(refused.detail))


async def _client_left(request: Request, error: Exception) -> Response:
    del request, error
    return Response(status_code=499)


async def _unexpected(request: Request, error: Exception) -> Response:
    """Answer 500; Starlette then re-raises the exception, and the server logs it."""
    del request, error
    return _error_response(internal_error())
