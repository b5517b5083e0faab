from __future__ import annotations

from dataclasses import asdict

import pytest

from bridge.errors import (
    LOG_IN,
    ApiError,
    body_too_large,
    from_codex_error,
    internal_error,
    invalid_api_key,
    invalid_request,
    method_not_allowed,
    model_not_found,
    not_logged_in,
    route_not_found,
    unavailable,
    upstream_failed,
    upstream_timeout,
)
from codex_rpc.errors import (
    CodexError,
    CodexNotFoundError,
    CodexTooOldError,
    CodexUnavailableError,
    ConnectionLostError,
    DeadlineExceededError,
    InboxOverflowError,
    OverloadedError,
    ProtocolError,
    RequestRefusedError,
    UnsendableError,
)


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (
            invalid_request("No.", "n", "unsupported_value"),
            400,
            {"message": "No.", "type": "invalid_request_error", "param": "n", "code": "unsupported_value"},
        ),
        (
            invalid_request("No."),
            400,
            {"message": "No.", "type": "invalid_request_error", "param": None, "code": None},
        ),
        (
            body_too_large(1024),
            413,
            {
                "message": "The request body is larger than 1024 bytes, the limit of this server (--max-body).",
                "type": "invalid_request_error",
                "param": None,
                "code": "request_too_large",
            },
        ),
        (
            invalid_api_key("Wrong."),
            401,
            {"message": "Wrong.", "type": "authentication_error", "param": None, "code": "invalid_api_key"},
        ),
        (
            not_logged_in(),
            401,
            {"message": LOG_IN, "type": "authentication_error", "param": None, "code": "codex_not_logged_in"},
        ),
        (
            model_not_found("gtp-4", ["2.5-tpg", "6-tpg"]),
            404,
            {
                "message": "The model 'gtp-4' does not exist. This server has: 2.5-tpg, 6-tpg.",
                "type": "invalid_request_error",
                "param": "model",
                "code": "model_not_found",
            },
        ),
        (
            route_not_found("/nowhere"),
            404,
            {
                "message": "There is no route /nowhere. Try GET /v1/models.",
                "type": "invalid_request_error",
                "param": None,
                "code": "not_found",
            },
        ),
        (
            method_not_allowed("PUT", "/models", "GET, HEAD"),
            405,
            {
                "message": "PUT is not allowed for /models; use GET, HEAD.",
                "type": "invalid_request_error",
                "param": None,
                "code": "method_not_allowed",
            },
        ),
        (
            unavailable("Soon."),
            503,
            {"message": "Soon.", "type": "server_error", "param": None, "code": "codex_unavailable"},
        ),
        (
            upstream_failed("Broken."),
            502,
            {"message": "Broken.", "type": "server_error", "param": None, "code": "upstream_error"},
        ),
        (
            upstream_timeout(1.5),
            504,
            {
                "message": "The model sent nothing for 1.5 seconds, the limit of this server (--idle-timeout).",
                "type": "server_error",
                "param": None,
                "code": "upstream_timeout",
            },
        ),
        (
            internal_error(),
            500,
            {
                "message": "The server failed unexpectedly; see its log for details.",
                "type": "server_error",
                "param": None,
                "code": "internal_error",
            },
        ),
    ],
    ids=[
        "invalid request",
        "bare invalid request",
        "body too large",
        "key",
        "not logged in",
        "model",
        "route",
        "method",
        "unavailable",
        "upstream failed",
        "upstream timeout",
        "internal",
    ],
)
def test_an_error_is_the_openai_error_object_with_all_four_keys(
    error: ApiError, status: int, body: dict[str, str | None]
) -> None:
    assert (error.status, error.body()) == (status, {"error": body})


def test_the_text_of_an_error_is_its_message() -> None:
    assert str(upstream_failed("Broken.")) == "Broken."


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (invalid_api_key("Wrong."), {"www-authenticate": "Bearer"}),
        (method_not_allowed("PUT", "/models", "GET, HEAD"), {"allow": "GET, HEAD"}),
        (unavailable("Soon."), {"retry-after": "1"}),
        (unavailable("Soon.", 4.2), {"retry-after": "5"}),
        (unavailable("Soon.", 0.01), {"retry-after": "1"}),
        (invalid_request("No."), {}),
        (internal_error(), {}),
    ],
    ids=["key", "method", "soon", "rounded", "never zero", "request", "internal"],
)
def test_an_error_has_the_headers_that_belong_to_its_status(error: ApiError, headers: dict[str, str]) -> None:
    assert error.headers == headers


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            CodexUnavailableError("codex is still starting", retry_after=3),
            unavailable("codex is still starting. Try again in a moment.", 3),
        ),
        (ConnectionLostError("codex ended"), unavailable("codex ended. Try again in a moment.", 1)),
        (
            DeadlineExceededError("codex did not answer turn/start"),
            ApiError(504, "server_error", "upstream_timeout", "codex did not answer turn/start."),
        ),
        (
            UnsendableError("nested too deeply"),
            invalid_request("The request cannot be sent to Codex: nested too deeply."),
        ),
        (
            RequestRefusedError("thread/inject_items", -32600, "no such tool name"),
            invalid_request("Codex does not accept the request: no such tool name."),
        ),
        (
            RequestRefusedError("thread/start", -32603, "disk full"),
            upstream_failed("codex refused thread/start: disk full (-32603)."),
        ),
        (
            OverloadedError("thread/start", -32001, "busy"),
            unavailable("Codex is overloaded. Try again in a moment.", 5),
        ),
        (InboxOverflowError("9 bytes"), upstream_failed("The answer was not read in time: 9 bytes.")),
        (ProtocolError("no JSON"), upstream_failed("no JSON.")),
        (CodexNotFoundError("no codex"), upstream_failed("no codex.")),
        (CodexTooOldError("codex 0.1"), upstream_failed("codex 0.1.")),
        (CodexError("something"), upstream_failed("something.")),
    ],
    ids=[
        "unavailable",
        "connection lost",
        "deadline",
        "unsendable",
        "refused, the client's fault",
        "refused, codex's fault",
        "overloaded",
        "overflow",
        "protocol",
        "not found",
        "too old",
        "any other",
    ],
)
def test_a_codex_error_becomes_a_client_error_or_a_server_error(error: CodexError, expected: ApiError) -> None:
    assert asdict(from_codex_error(error)) == asdict(expected)
