"""Middleware for all routes: CORS, request ids, the date, clean paths, access control, one log line per request."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Collection
from email.utils import formatdate

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge.errors import ApiError, key_not_allowed
from bridge.http.access import OF_THE_OWNER, PRIVATE, check_access, check_origin, check_page, sent_key
from bridge.http.answer import now, response_start, send_error
from bridge.http.last_part import LastPart
from bridge.http.unread_answer import UnreadAnswer
from bridge.keys.live import SCOPE, Keys, id_of, name_of
from bridge.telemetry.ledger import ENTRY, Ledger, RequestLogEntry, entry_of
from bridge.telemetry.logs import log_request

logger = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/", "/healthz"})
"""Paths that need no key; they reveal nothing about the account."""

PAGE_FILES = "/page/"
"""The path prefix of the status page's files, which need no key either."""

TUNNEL_HEADER = "cf-ray"
"""A header that Cloudflare adds to each request. Its tunnel connects from this machine, so it needs no key."""

_CORS = {
    b"access-control-allow-origin": b"*",
    b"access-control-expose-headers": b"*",
    b"vary": b"origin",
}
"""Headers of all other paths. Each page may read the answer, if only why it is refused: access is checked elsewhere."""

_NO_CORS = {
    b"cross-origin-resource-policy": b"same-origin",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}
"""Headers of private paths: no other page may read, embed or frame them."""

_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_SLASHES = re.compile(r"/{2,}")
_PREFIX = re.compile(r"^(?:/v1(?=/|$)|/api(?=/v1(?:/|$))|/openai(?=/(?:v1|chat|models|responses)(?:/|$)))+")
"""What may precede a route: the ends of base URLs in any number, of OpenAI, Azure and other servers.

Azure's `/openai/deployments/` is a route."""

SENT_PATH = "codex_openai_proxy.sent_path"
"""The key of a scope for the path as the client sent it."""


class Envelope:
    """Answers preflights; gives every response its common headers, an entry in the ledger and a log line.

    An answer of which the client takes nothing for `patience` seconds is given up; None is for a `send` with its own
    limit.
    """

    def __init__(self, app: ASGIApp, ledger: Ledger, patience: float | None = None) -> None:
        self._app = app
        self._ledger = ledger
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        entry = RequestLogEntry(
            id=_request_id(headers),
            method=scope["method"],
            path=scope["path"],
            epoch=time.time(),
            moment=now(),
            key=name_of(scope),
            key_id=id_of(scope),
        )
        scope[ENTRY] = entry
        added = _NO_CORS if scope["path"] in PRIVATE else _CORS
        request = anyio.CancelScope()

        def give_up() -> None:
            logger.warning("%s: the client took nothing for %g seconds; giving it up", entry.id, self._patience)
            request.cancel()

        unread = None if self._patience is None else UnreadAnswer(send, self._patience, give_up)
        send_in_time = send if unread is None else unread.send
        last_part = LastPart(scope, receive, send_in_time)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.status = message["status"]
                ours = {b"x-request-id": entry.id.encode(), b"date": formatdate(usegmt=True).encode(), **added}
                theirs = [header for header in message["headers"] if header[0] not in ours]
                message["headers"] = [*theirs, *ours.items()]
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                await last_part.send(message)
                close()  # before returning: a client with the whole answer must not see it as running
            else:
                await send_in_time(message)

        def close() -> None:
            if entry.seconds is None:
                route = getattr(scope.get("route"), "path", "")
                self._ledger.close(entry, route, now(), time.strftime("%Y-%m-%d"))
                log_request(entry)

        self._ledger.open(entry)
        try:
            with request:
                if scope["method"] == "OPTIONS" and scope["path"] not in PRIVATE:
                    await _answer_preflight(headers, send_with_headers)
                else:
                    await self._app(scope, last_part.receive, send_with_headers)
        finally:
            if unread is not None:
                unread.close()
            close()


def _request_id(headers: Headers) -> str:
    """Return the client's request id if it is safe to log, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else f"req_{os.urandom(16).hex()}"


async def _answer_preflight(headers: Headers, send: Send) -> None:
    """Allow the headers that the browser requests; a wildcard would not cover `Authorization`."""
    allowed = {
        "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
        "access-control-allow-headers": headers.get("access-control-request-headers", "authorization, content-type"),
        "access-control-max-age": "86400",
    }
    if "access-control-request-private-network" in headers:
        allowed["access-control-allow-private-network"] = "true"
    await send(response_start(204, allowed))
    await send({"type": "http.response.body", "body": b""})


class CleanPath:
    """Normalizes paths: base URLs with or without `/v1` or the like, and stray slashes, lead to the same routes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            # Starlette's routes ignore a trailing newline, but exact comparisons of the path do not.
            sent = scope["path"]
            path = _PREFIX.sub("", _SLASHES.sub("/", sent)).rstrip("/\n") or "/"
            scope = {**scope, "path": path, "raw_path": path.encode(), SENT_PATH: sent}
        await self._app(scope, receive, send)


class Access:
    """Rejects requests that are not allowed."""

    def __init__(self, app: ASGIApp, keys: Keys, origins: Collection[str] = ()) -> None:
        """`origins` are the web pages that need no key, as `check_page` takes them."""
        self._app = app
        self._keys = keys
        self._origins = origins
        self._warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not scope["path"].startswith(PAGE_FILES):
            refusal = self._refusal(scope, Headers(scope=scope))
            if refusal is not None:
                await send_error(refusal, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> ApiError | None:
        """Return why a request is refused; note the named key with which another one is admitted."""
        path, client = scope["path"], scope.get("client")
        key, keyed = self._keys.find(sent_key(headers) or ""), self._keys.required
        if key is not None:
            scope[SCOPE] = key
            entry = entry_of(scope)
            entry.key, entry.key_id = key.name, key.id
            if path in OF_THE_OWNER:
                return key_not_allowed()
        elif refusal := check_access(client[0] if client else None, headers, self._keys.own, keyed=keyed):
            return refusal
        if not keyed and TUNNEL_HEADER in headers and not self._warned:
            self._warned = True
            logger.warning(
                "requests arrive through a tunnel and no API key is set: anyone who knows the tunnel's address can "
                "use your account. Set CODEX_OPENAI_PROXY_API_KEY"
            )
        if path in PRIVATE:
            return check_origin(headers, keyed=keyed)
        return check_page(headers, self._origins, keyed=keyed)
