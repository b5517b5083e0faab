"""The errors that a client can get, and how codex's failures become them.

Every wire error is an `ApiError`; its kinds are the rows of the table in docs/errors.md. Source of the shape: the error
object of the OpenAI API, all four keys always present.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

from codex_rpc.errors import (
    CodexError,
    CodexUnavailableError,
    DeadlineExceededError,
    InboxOverflowError,
    OverloadedError,
    RequestRefusedError,
    UnsendableError,
)
from codex_rpc.wire.protocol import CodexFailure

USAGE_LIMIT = "usage_limit_reached"
CONTEXT_TOO_LONG = "context_length_exceeded"

LOG_IN = (
    "Codex is not logged in. Run `codex login` or `codex-openai-proxy login` (with --device-auth on a machine without "
    "a browser) as the user who runs this server, then repeat the request; the server need not be restarted."
)


@dataclass(eq=False)
class ApiError(Exception):
    """A failure as the client sees it."""

    status: int
    type: str
    code: str | None
    message: str
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def __str__(self) -> str:
        return self.message

    def body(self) -> dict[str, Any]:
        """The error object of the OpenAI API."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def invalid_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """The client's fault: 400, or what is wrong with the body."""
    return ApiError(400, "invalid_request_error", code, message, param)


def body_too_large(limit: int) -> ApiError:
    """The request body is over the limit (bytes)."""
    message = f"The request body is larger than {limit} bytes, the limit of this server (--max-body)."
    return ApiError(413, "invalid_request_error", "request_too_large", message)


def body_too_slow(seconds: float) -> ApiError:
    """Nothing more came of a request body that is not complete."""
    message = f"Nothing more of the request body came within {seconds:g} seconds."
    return ApiError(408, "invalid_request_error", "request_timeout", message)


def invalid_api_key(message: str) -> ApiError:
    """No key, a wrong key, or a peer that may not come without one."""
    return ApiError(401, "authentication_error", "invalid_api_key", message, headers={"www-authenticate": "Bearer"})


def foreign_page(message: str) -> ApiError:
    """A web page asks for what only a person at this machine, or somebody with the key, may see."""
    return ApiError(403, "permission_error", "foreign_page", message)


def not_logged_in() -> ApiError:
    """Codex has no account to answer with."""
    return ApiError(401, "authentication_error", "codex_not_logged_in", LOG_IN)


def model_not_found(name: str, known: list[str]) -> ApiError:
    """The request names a model that nobody knows."""
    message = f"The model {name!r} does not exist. This server has: {', '.join(known)}."
    return ApiError(404, "invalid_request_error", "model_not_found", message, "model")


def route_not_found(path: str) -> ApiError:
    """There is nothing at this path."""
    return ApiError(404, "invalid_request_error", "not_found", f"There is no route {path}. Try GET /v1/models.")


def response_not_found(response_id: str) -> ApiError:
    """There is no stored response with this id."""
    message = f"There is no stored response {response_id!r} (any more)."
    return ApiError(404, "invalid_request_error", "response_not_found", message, "response_id")


def store_failed(reason: str) -> ApiError:
    """Stored responses cannot be read or written."""
    return ApiError(500, "server_error", "store_failed", f"{reason}. The log of the server says more.")


def method_not_allowed(method: str, path: str, allowed: str) -> ApiError:
    """The path exists, with other methods."""
    message = f"{method} is not allowed for {path}; use {allowed}."
    return ApiError(405, "invalid_request_error", "method_not_allowed", message, headers={"allow": allowed})


def no_websocket() -> ApiError:
    """A client asked to speak WebSocket; 426 is what makes Codex go on over HTTP at once."""
    message = "This server does not speak WebSocket. Send the request over HTTP."
    return ApiError(426, "invalid_request_error", "no_websocket", message)


def too_many_requests(most: int, retry_after: float) -> ApiError:
    """More answers are asked for than may run at once."""
    message = f"More than {most} answers run at once, the limit of this server (--answers). Try again in a moment."
    return ApiError(429, "rate_limit_error", "too_many_requests", message, headers=_retry_after(retry_after))


def unavailable(message: str, retry_after: float = 1) -> ApiError:
    """Codex cannot answer now but will soon."""
    return ApiError(503, "server_error", "codex_unavailable", message, headers=_retry_after(retry_after))


def upstream_failed(message: str) -> ApiError:
    """Codex or its backend failed."""
    return ApiError(502, "server_error", "upstream_error", message)


def upstream_timeout(seconds: float) -> ApiError:
    """Nothing came from the model for too long."""
    message = f"The model sent nothing for {seconds:g} seconds, the limit of this server (--idle-timeout)."
    return ApiError(504, "server_error", "upstream_timeout", message)


def internal_error() -> ApiError:
    """Our own fault; the log knows more."""
    return ApiError(500, "server_error", "internal_error", "The server failed unexpectedly; its log says more.")


def from_codex_error(error: CodexError) -> ApiError:
    """What went wrong between us and codex, for the client."""
    match error:
        case CodexUnavailableError(retry_after=seconds):
            return unavailable(f"{error}. Try again in a moment.", seconds)
        case DeadlineExceededError():
            return ApiError(504, "server_error", "upstream_timeout", f"{error}.")
        case UnsendableError():
            return invalid_request(f"The request cannot be passed on: {error}.")
        case OverloadedError():
            return unavailable("Codex has too much to do. Try again in a moment.", 5)
        case RequestRefusedError(code=-32600, reason=reason):
            return invalid_request(f"codex does not accept the request: {reason}.")
        case InboxOverflowError():
            return upstream_failed(f"The answer was not read in time: {error}.")
        case _:
            return upstream_failed(f"{error}.")


def from_codex_failure(failure: CodexFailure) -> ApiError:
    """Why a turn failed, for the client; an upstream error body inside the message is passed on as it was meant."""
    said = _upstream_error(failure.message)
    message = str(said.get("message") or failure.message)
    match failure.kind:
        case "usageLimitExceeded":
            return ApiError(429, "rate_limit_error", USAGE_LIMIT, message)
        case "rateLimitExceeded":
            return ApiError(429, "rate_limit_error", "rate_limit_exceeded", message, headers=_retry_after(5))
        case "serverOverloaded" | "flexUnavailable" | "policyCapacityUnavailable":
            return unavailable(message, 5)
        case "contextWindowExceeded":
            return invalid_request(message, "messages", CONTEXT_TOO_LONG)
        case "unauthorized":
            return ApiError(401, "authentication_error", "codex_not_logged_in", f"{message} {LOG_IN}")
        case "modelNotFound":
            return ApiError(404, "invalid_request_error", "model_not_found", message, "model")
        case "badRequest":
            return invalid_request(message, _text(said.get("param")), _text(said.get("code")))
        case "cyberPolicy" | "misalignmentPolicyViolation" | "inferenceHookDenied":
            return invalid_request(message, code="content_policy_violation")
        case _ if failure.http_status == 401:
            return ApiError(401, "authentication_error", "codex_not_logged_in", f"{message}. {LOG_IN}")
        case _ if failure.http_status == 429:
            return ApiError(429, "rate_limit_error", "rate_limit_exceeded", message, headers=_retry_after(5))
        case _ if said:
            return invalid_request(message, _text(said.get("param")), _text(said.get("code")))
        case _:
            return upstream_failed(message)


def _upstream_error(message: str) -> dict[str, Any]:
    """An upstream 400 comes as the upstream's JSON body in the message text."""
    start = message.find("{")
    if start < 0:
        return {}
    try:
        body: object = json.loads(message[start:])
    except ValueError:
        return {}
    error: object = cast("dict[str, Any]", body).get("error") if isinstance(body, dict) else None
    return cast("dict[str, Any]", error) if isinstance(error, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _retry_after(seconds: float) -> dict[str, str]:
    return {"retry-after": str(max(1, round(seconds)))}
