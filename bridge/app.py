"""The ASGI application: routes, and what each does with a request."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bridge.answers import Answer, Writer
from bridge.backend import Backend
from bridge.config import Settings
from bridge.drain import Drain
from bridge.errors import (
    ApiError,
    body_too_large,
    internal_error,
    invalid_request,
    method_not_allowed,
    model_not_found,
    route_not_found,
)
from bridge.json_body import decode_json
from bridge.middleware import Access, CleanPath, Envelope
from bridge.model_names import choose, listed
from bridge.openai import chat_request
from bridge.openai.chat_completion import ChatCompletion
from bridge.openai.chat_stream import ChatStream
from bridge.openai.models import model_list, model_object
from bridge.threads import run_prompt
from bridge.turns import Turn

WHOLE_PATIENCE = 60.0
"""Seconds before an answer that is not streamed is begun and kept alive by white space; a tunnel cuts it after 100."""


class Api:
    """The handlers and what they share."""

    def __init__(self, backend: Backend, drain: Drain, settings: Settings, cwd: str, started: int) -> None:
        self._backend = backend
        self._drain = drain
        self._settings = settings
        self._cwd = cwd
        self._started = started

    async def health(self, request: Request) -> Response:
        """The process is alive; nothing more."""
        del request
        return JSONResponse({"status": "ok"})

    async def models(self, request: Request) -> Response:
        """GET /models."""
        del request
        return JSONResponse(model_list(listed(await self._backend.models()), self._started))

    async def model(self, request: Request) -> Response:
        """GET /models/{id}."""
        name: str = request.path_params["name"]
        models = await self._backend.models()
        if name not in (names := listed(models)) and choose(name, models) is None:
            raise model_not_found(name, names)
        return JSONResponse(model_object(name, self._started))

    async def chat_completions(self, request: Request) -> ASGIApp:
        """POST /chat/completions."""
        settings = self._settings
        chat = chat_request.parse(decode_json(await _read_body(request, settings.max_body)))
        answer_id, created = f"chatcmpl-codex-{uuid.uuid4()}", int(time.time())
        headers = {"x-codex-proxy-ignored": ", ".join(chat.ignored)} if chat.ignored else {}
        patience = settings.head_patience if chat.stream else WHOLE_PATIENCE

        def new_writer() -> Writer:
            if chat.stream:
                return ChatStream(answer_id, created, chat.model, usage_chunk=chat.usage_chunk)
            return ChatCompletion(answer_id, created, chat.model)

        @asynccontextmanager
        async def run() -> AsyncGenerator[Turn]:
            session = await self._backend.ready_session()
            choice = choose(chat.model, session.models)
            if choice is None:
                raise model_not_found(chat.model, listed(session.models))
            async with run_prompt(session, chat.prompt(choice), self._cwd, settings.idle_timeout) as turn:
                yield turn

        return Answer(run, new_writer, self._drain, headers, patience=patience, pause=settings.keep_alive)


def build_app(api: Api, settings: Settings) -> ASGIApp:
    """Return the whole application, middleware included."""
    routes = [
        Route("/healthz", api.health, methods=["GET"]),
        Route("/models", api.models, methods=["GET"]),
        Route("/models/{name:path}", api.model, methods=["GET"]),
        Route("/chat/completions", api.chat_completions, methods=["POST"]),
    ]

    app = Starlette(
        routes=routes,
        exception_handlers={
            ApiError: _api_error,
            HTTPException: _http_error,
            ClientDisconnect: _nobody_to_answer,
            Exception: _unexpected,
        },
    )
    return Envelope(CleanPath(Access(app, settings.api_key)))


async def _read_body(request: Request, limit: int) -> bytes:
    """Read to the end, up to `limit` bytes; Starlette's own limit would answer in plain text, past all handlers."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise body_too_large(limit)
    return bytes(body)


def _error_response(error: ApiError) -> Response:
    return JSONResponse(error.body(), error.status, headers=error.headers)


async def _api_error(request: Request, error: Exception) -> Response:
    del request
    return _error_response(cast("ApiError", error))


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own refusals, of routes and methods."""
    refusal, path = cast("HTTPException", error), request.url.path
    match refusal.status_code:
        case 404:
            return _error_response(route_not_found(path))
        case 405:
            allowed = refusal.headers["Allow"] if refusal.headers else ""
            return _error_response(method_not_allowed(request.method, path, allowed))
        case _:
            return _error_response(invalid_request(refusal.detail))


async def _nobody_to_answer(request: Request, error: Exception) -> Response:
    del request, error
    return Response(status_code=499)


async def _unexpected(request: Request, error: Exception) -> Response:
    """Starlette raises the exception on after this answer, and Hypercorn logs it."""
    del request, error
    return _error_response(internal_error())
