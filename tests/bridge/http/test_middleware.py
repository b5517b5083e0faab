from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from email.utils import parsedate_to_datetime
from typing import cast

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from bridge.codex.backend import Backend
from bridge.codex.models import ModelNames
from bridge.config import Settings
from bridge.conversation.reasoning_owners import ReasoningOwners
from bridge.conversation.threads import Threads
from bridge.http.admission import Admission
from bridge.http.answer import response_start
from bridge.http.background import Background
from bridge.http.budgets import Budgets
from bridge.http.conversations import Conversations
from bridge.http.middleware import SENT_PATH, Access, CleanPath, Envelope
from bridge.http.new_responses import NewResponses
from bridge.http.page import Page
from bridge.http.response_data import ResponseData
from bridge.http.routes import Api, build_app
from bridge.http.status import Status
from bridge.http.stored_responses import StoredResponses
from bridge.http.turn_opener import Opener
from bridge.http.websocket import Sockets
from bridge.keys.live import Keys
from bridge.recordings.exchanges import Exchanges, IdsAndClock
from bridge.store.open import Store
from bridge.store.token_counts import TokenCounts
from bridge.store.usage import UsageStore
from bridge.telemetry.history import History
from bridge.telemetry.ledger import Ledger, entry_of
from codex_rpc.client.client import Client
from codex_rpc.supervisor import Supervisor
from tests.bridge.http.exchange import Exchange, http_scope

ELSEWHERE = "203.0.113.9"


class Inner:
    """The application inside a middleware: answers 200 and keeps the scopes it was called with."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self.scopes: list[Scope] = []
        self._headers = headers or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            await send(response_start(200, self._headers))
            await send({"type": "http.response.body", "body": b"fine"})


def no_codex() -> AbstractAsyncContextManager[Client]:
    raise AssertionError("no request of these tests needs codex")


def whole_app(api_key: str | None = None) -> ASGIApp:
    """Return the application with all its middleware, but without codex."""
    settings = Settings(api_key=api_key, max_body=1024)
    threads = Threads("/nowhere", most=0, longest=1, idle_timeout=1)
    supervisor, admission, ledger = Supervisor(no_codex), Admission(), Ledger()
    keys = Keys(api_key)
    backend = Backend(supervisor, patience=0)
    no_store, exchanges = cast("Store", None), Exchanges(IdsAndClock(unique=lambda: "0", now=lambda: 0))
    budgets = Budgets(cast("TokenCounts", None), lambda: 0)
    opener = Opener(backend, threads, exchanges, ModelNames(), budgets=budgets)
    background = Background(ledger)
    data = ResponseData(no_store, ReasoningOwners(), longest=0)
    responses = NewResponses(opener, data, admission, background, {}, settings=settings)
    stored = StoredResponses(data, background, {})
    history = History(cast("UsageStore", None))
    status = Status(supervisor, backend, threads, admission, ledger, keys=keys, budgets=budgets, history=history)
    sockets = Sockets(responses, admission, ledger, settings)
    conversations = Conversations(no_store, lambda: "0", lambda: 0, settings)
    api = Api(backend, opener, admission, settings, 0)
    page = Page(settings)
    return build_app(
        api, responses, stored, conversations, sockets, status=status, keys=keys, page=page, settings=settings
    )


async def ask(app: ASGIApp, scope: Scope, body: bytes = b"") -> Exchange:
    exchange = Exchange(body)
    await app(scope, exchange.receive, exchange.send)
    return exchange


@pytest.mark.parametrize(
    ("method", "path", "peer", "body", "status"),
    [
        ("GET", "/healthz", "127.0.0.1", b"", 200),
        ("GET", "/nowhere", "127.0.0.1", b"", 404),
        ("GET", "/v1/chat/completions", "127.0.0.1", b"", 405),
        ("POST", "/v1/chat/completions", "127.0.0.1", b"{", 400),
        ("POST", "/v1/chat/completions", "127.0.0.1", b"[" * 1025, 413),
        ("GET", "/v1/models", ELSEWHERE, b"", 401),
        ("OPTIONS", "/v1/models", ELSEWHERE, b"", 204),
    ],
    ids=["answer", "no route", "wrong method", "wrong body", "too large a body", "refused peer", "preflight"],
)
async def test_every_response_may_be_read_from_any_origin_and_has_a_request_id(
    method: str, path: str, peer: str, body: bytes, status: int
) -> None:
    exchange = await ask(whole_app(), http_scope(path, method, peer=peer), body)
    assert exchange.complete
    assert exchange.status == status
    assert exchange.headers["access-control-allow-origin"] == "*"
    assert exchange.headers["access-control-expose-headers"] == "*"
    assert re.fullmatch(r"req_[0-9a-f]{32}", exchange.headers["x-request-id"])
    if status >= 400:
        assert set(json.loads(exchange.body)["error"]) == {"message", "type", "param", "code"}


async def test_the_request_id_of_the_client_is_returned() -> None:
    exchange = await ask(Envelope(Inner(), Ledger()), http_scope("/models", headers={"x-request-id": "mine-7"}))
    assert exchange.headers["x-request-id"] == "mine-7"


async def test_without_a_request_id_or_with_an_empty_one_each_request_gets_its_own() -> None:
    app = Envelope(Inner(), Ledger())
    scopes = [http_scope("/models"), http_scope("/models"), http_scope("/models", headers={"x-request-id": ""})]
    ids = [(await ask(app, scope)).headers["x-request-id"] for scope in scopes]
    assert len(set(ids)) == 3
    assert all(one.startswith("req_") for one in ids)


async def test_headers_of_the_application_are_kept_and_ours_occur_once() -> None:
    inner = Inner({"x-request-id": "theirs", "access-control-allow-origin": "https://one.example", "x-own": "1"})
    exchange = await ask(Envelope(inner, Ledger()), http_scope("/models", headers={"x-request-id": "mine"}))
    sent = parsedate_to_datetime(exchange.headers.pop("date"))
    assert abs(sent.timestamp() - time.time()) < 60
    assert exchange.headers == {
        "x-request-id": "mine",
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "*",
        "vary": "origin",
        "x-own": "1",
    }
    assert exchange.body == b"fine"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/healthz", "/nowhere"])
async def test_a_preflight_is_answered_before_anything_else(path: str) -> None:
    inner = Inner()
    app = CleanPath(Envelope(Access(inner, Keys("s3cret")), Ledger()))
    wanted = {"access-control-request-headers": "authorization,x-stainless-os"}
    exchange = await ask(app, http_scope(path, "OPTIONS", wanted, ELSEWHERE))
    assert (exchange.status, exchange.body) == (204, b"")
    assert exchange.headers["access-control-allow-headers"] == "authorization,x-stainless-os"
    assert exchange.headers["access-control-allow-methods"] == "GET, POST, DELETE, OPTIONS"
    assert exchange.headers["access-control-max-age"] == "86400"
    assert inner.scopes == []


async def test_a_preflight_that_requests_no_headers_gets_the_usual_ones() -> None:
    exchange = await ask(Envelope(Inner(), Ledger()), http_scope("/models", "OPTIONS"))
    assert exchange.headers["access-control-allow-headers"] == "authorization, content-type"


async def test_every_response_leaves_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "bridge.telemetry.logs"):
        await ask(CleanPath(Envelope(Inner(), Ledger())), http_scope("/v1/models", headers={"x-request-id": "mine"}))
    (line,) = caplog.messages
    assert re.fullmatch(r"GET /models 200 \d+\.\d{3}s mine", line)


async def test_a_client_that_left_before_the_answer_is_logged_as_gone(caplog: pytest.LogCaptureFixture) -> None:
    async def leave_unanswered(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    with caplog.at_level(logging.INFO, "bridge.telemetry.logs"):
        await ask(Envelope(leave_unanswered, Ledger()), http_scope("/v1/models"))
    (line,) = caplog.messages
    assert line.startswith("GET /v1/models gone ")


async def test_an_answer_counts_as_running_until_its_last_byte_and_is_counted_once() -> None:
    ledger, running = Ledger(), list[int]()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        entry_of(scope).model = "m"
        await send(response_start(200, {}))
        for more in (True, False):
            await send({"type": "http.response.body", "body": b"fine", "more_body": more})
            running.append(len(ledger.running))

    await ask(Envelope(answer, ledger), http_scope("/v1/responses"))
    assert running == [1, 0]
    assert len(ledger.recent) == 1


@pytest.mark.parametrize(
    ("typed", "normalized"),
    [
        ("/chat/completions", "/chat/completions"),
        ("/v1/chat/completions", "/chat/completions"),
        ("//chat/completions", "/chat/completions"),
        ("/v1//chat/completions", "/chat/completions"),
        ("//v1///chat//completions//", "/chat/completions"),
        ("/v1/models/", "/models"),
        ("/models/xedoc-2.5-tpg", "/models/xedoc-2.5-tpg"),
        ("/v1/models/v1", "/models/v1"),
        ("/v10/models", "/v10/models"),
        ("/v1models", "/v1models"),
        ("/v1", "/"),
        ("/v1/", "/"),
        ("/v1/v1/chat/completions", "/chat/completions"),
        ("/v1/v1//v1/models", "/models"),
        ("/openai/v1/chat/completions", "/chat/completions"),
        ("/openai/v1/v1/responses/resp_1", "/responses/resp_1"),
        ("/openai/responses", "/responses"),
        ("/openai/models", "/models"),
        ("/v1/openai/v1/models", "/models"),
        ("/api/v1/chat/completions", "/chat/completions"),
        ("/openai/deployments/x/chat/completions", "/openai/deployments/x/chat/completions"),
        ("/v1/openai/deployments/x/chat/completions", "/openai/deployments/x/chat/completions"),
        ("/openai", "/openai"),
        ("/api", "/api"),
        ("/api/models", "/api/models"),
        ("/openai/usage", "/openai/usage"),
        ("/models/openai/v1", "/models/openai/v1"),
        ("/", "/"),
        ("//", "/"),
        ("", "/"),
        ("/models/schön", "/models/schön"),
        ("/models/x", "/models/x"),
    ],
)
async def test_every_form_of_a_path_leads_to_the_same_route(typed: str, normalized: str) -> None:
    inner, scope = Inner(), http_scope(typed)
    before = dict(scope)
    await ask(CleanPath(inner), scope)
    assert inner.scopes == [{**before, "path": normalized, "raw_path": normalized.encode(), SENT_PATH: typed}]
    assert scope == before


@pytest.mark.parametrize("path", ["/healthz", "/v1/healthz", "//healthz/"])
async def test_healthz_needs_no_key(path: str) -> None:
    exchange = await ask(whole_app("s3cret"), http_scope(path, peer=ELSEWHERE))
    assert (exchange.status, json.loads(exchange.body)) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("headers", "peer", "api_key"),
    [
        ({}, ELSEWHERE, None),
        ({}, "127.0.0.1", "s3cret"),
        ({"authorization": "Bearer wrong"}, None, "s3cret"),
    ],
    ids=["from elsewhere", "no key", "wrong key"],
)
@pytest.mark.parametrize("path", ["/models", "/doctor", "/usage", "/healthz/more", "/nowhere"])
async def test_a_refused_request_does_not_reach_the_application(
    path: str, headers: dict[str, str], peer: str | None, api_key: str | None
) -> None:
    inner = Inner()
    exchange = await ask(Access(inner, Keys(api_key)), http_scope(path, headers=headers, peer=peer))
    assert inner.scopes == []
    assert (exchange.status, exchange.headers["www-authenticate"]) == (401, "Bearer")
    assert json.loads(exchange.body)["error"]["code"] == "invalid_api_key"
    assert exchange.headers["content-length"] == str(len(exchange.body))


@pytest.mark.parametrize(
    ("headers", "peer", "api_key"),
    [
        ({}, "127.0.0.1", None),
        ({"authorization": "Bearer s3cret"}, None, "s3cret"),
        ({"authorization": "Bearer s3cret"}, ELSEWHERE, "s3cret"),
        ({"api-key": "s3cret"}, ELSEWHERE, "s3cret"),
    ],
    ids=["this machine", "no address", "Bearer", "Azure"],
)
async def test_an_admitted_request_reaches_the_application(
    headers: dict[str, str], peer: str | None, api_key: str | None
) -> None:
    inner, scope = Inner(), http_scope("/models", headers=headers, peer=peer)
    exchange = await ask(Access(inner, Keys(api_key)), scope)
    assert (exchange.status, exchange.body, inner.scopes) == (200, b"fine", [scope])


TUNNELLED = {"cf-ray": "8f2a1b3c4d5e6f70-FRA"}


async def test_requests_through_a_tunnel_without_a_key_are_warned_about_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inner = Inner()
    app = Access(inner, Keys(None))
    await ask(app, http_scope("/models"))
    assert caplog.messages == []
    for path in ("/models", "/chat/completions"):
        await ask(app, http_scope(path, headers=TUNNELLED))
    (warning,) = caplog.records
    assert (warning.name, warning.levelname) == ("bridge.http.middleware", "WARNING")
    assert "CODEX_OPENAI_PROXY_API_KEY" in warning.getMessage()
    assert len(inner.scopes) == 3


@pytest.mark.parametrize(
    ("scope", "api_key", "status"),
    [
        (http_scope("/models", headers={**TUNNELLED, "authorization": "Bearer s3cret"}), "s3cret", 200),
        (http_scope("/models", headers=TUNNELLED), "s3cret", 401),
        (http_scope("/models", headers=TUNNELLED, peer=ELSEWHERE), None, 401),
        (http_scope("/healthz", headers=TUNNELLED), None, 200),
    ],
    ids=["right key", "no key sent", "refused peer", "open path"],
)
async def test_a_tunnel_that_does_not_expose_the_account_causes_no_warning(
    scope: Scope, api_key: str | None, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    exchange = await ask(Access(Inner(), Keys(api_key)), scope)
    assert exchange.status == status
    assert caplog.messages == []


async def test_a_refused_request_does_not_use_up_the_warning(caplog: pytest.LogCaptureFixture) -> None:
    app = Access(Inner(), Keys(None))
    await ask(app, http_scope("/models", headers=TUNNELLED, peer=ELSEWHERE))
    assert caplog.messages == []
    await ask(app, http_scope("/models", headers=TUNNELLED))
    assert len(caplog.messages) == 1


async def test_scopes_other_than_http_pass_unchanged() -> None:
    inner, scope, exchange = Inner(), {"type": "lifespan", "asgi": {"version": "3.0"}}, Exchange()
    await CleanPath(Envelope(Access(inner, Keys("s3cret")), Ledger()))(scope, exchange.receive, exchange.send)
    assert inner.scopes == [scope]
    assert exchange.status is None


# ── private pages ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "path", ["/usage", "/v1/usage", "//metrics", "/metrics", "/doctor", "/usage\n", "/v1/metrics\n", "/doctor\n/"]
)
async def test_no_page_of_another_origin_may_read_a_private_path(path: str) -> None:
    for headers in (
        {"host": "localhost"},
        {"host": "localhost", "origin": "https://foreign.example"},
        {"host": "x.example"},
    ):
        exchange = await ask(whole_app(), http_scope(path, headers=headers))
        assert "access-control-allow-origin" not in exchange.headers
        assert exchange.headers["cross-origin-resource-policy"] == "same-origin"
        assert exchange.headers["x-frame-options"] == "DENY"
        assert (exchange.status == 403) == (headers != {"host": "localhost"})


async def test_a_foreign_page_may_use_the_api_only_with_the_key_and_can_read_why() -> None:
    page = {"host": "localhost", "origin": "https://foreign.example", "content-type": "text/plain"}
    refused = await ask(whole_app(), http_scope("/v1/chat/completions", "POST", page))
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (403, "*")
    assert b"foreign_page" in refused.body

    admitted = await ask(
        whole_app("s3cret"), http_scope("/v1/nothing", "GET", page | {"authorization": "Bearer s3cret"})
    )
    assert admitted.status == 404


async def test_a_page_of_an_allowed_origin_may_use_the_api_but_needs_the_key_if_there_is_one() -> None:
    page = {"host": "localhost", "origin": "https://chat.example"}
    for key, headers, status in ((None, {}, 200), ("s3cret", {}, 401), ("s3cret", {"api-key": "s3cret"}, 200)):
        app = CleanPath(Envelope(Access(Inner(), Keys(key), ("https://chat.example",)), Ledger()))
        answer = await ask(app, http_scope("/v1/chat/completions", "POST", page | headers))
        assert answer.status == status
        assert (answer.headers["access-control-allow-origin"], answer.headers["vary"]) == ("*", "origin")
        for origin in ("https://chat.example.org", "http://chat.example", "https://chat.example:8443"):
            other = await ask(app, http_scope("/v1/models", headers=page | headers | {"origin": origin}))
            assert other.status == (403 if key is None else status)
        private = await ask(app, http_scope("/usage", headers=page | headers))
        assert private.status in {401, 403}
        assert "access-control-allow-origin" not in private.headers


async def test_a_preflight_from_a_public_page_allows_requests_to_this_machine() -> None:
    """Chromium asks so before a page of the internet connects to an address of the local network."""
    wanted = {"origin": "https://chat.example", "access-control-request-private-network": "true"}
    exchange = await ask(whole_app(), http_scope("/v1/models", "OPTIONS", wanted))
    assert (exchange.status, exchange.headers["access-control-allow-private-network"]) == (204, "true")


@pytest.mark.parametrize("path", ["/usage", "/metrics", "/doctor"])
async def test_a_preflight_for_a_private_path_allows_nothing(path: str) -> None:
    wanted = {
        "host": "localhost",
        "origin": "https://foreign.example",
        "access-control-request-headers": "authorization",
    }
    exchange = await ask(whole_app("s3cret"), http_scope(path, "OPTIONS", wanted))
    assert exchange.status == 401
    assert not [name for name in exchange.headers if name.startswith("access-control")]


async def test_a_request_id_that_is_unsafe_to_log_is_replaced() -> None:
    for sent in ("with space", "x" * 129, "\u00ff"):
        exchange = await ask(Envelope(Inner(), Ledger()), http_scope("/models", headers={"x-request-id": sent}))
        assert re.fullmatch(r"req_[0-9a-f]{32}", exchange.headers["x-request-id"])
