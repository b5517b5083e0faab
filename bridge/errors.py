"""The errors that clients receive, and the translation of a failed connection to codex into them.

Every error on the wire is an `ApiError`; docs/errors.md lists them in a table. The shape is the error object of the
OpenAI API, always with all four keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

from codex_rpc.errors import (
    CodexError,
    CodexUnavailableError,
    DeadlineExceededError,
    InboxOverflowError,
    OverloadedError,
    RequestRefusedError,
    UnsendableError,
)

TOO_MANY = 429
USAGE_LIMIT = "usage_limit_reached"
KEY_REVOKED = "key_revoked"
MODEL_NOT_FOUND = "model_not_found"
CONTEXT_TOO_LONG = "context_length_exceeded"

CODINGS = ("gzip", "deflate", "zstd", "identity")
"""The content codings of request bodies that the server accepts."""

HOW_TO_LOG_IN = (
    "Run `codex login` or `codex-openai-proxy login` (with --device-auth on a machine without a browser) as the user "
    "who runs this server, then repeat the request; the server does not need a restart."
)
LOG_IN = f"Codex is not logged in. {HOW_TO_LOG_IN}"


@dataclass(eq=False)
class ApiError(Exception):
    """A failure in the form that the client receives."""

    status: int
    type: str
    code: str | None
    message: str
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def __str__(self) -> str:
        return self.message

    @property
    def name(self) -> str:
        """The code or, without one, the type: what the log and the counters call it."""
        return self.code or self.type

    def body(self) -> dict[str, Any]:
        """Return the error object of the OpenAI API."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def invalid_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Return a 400: the request is invalid; `param` names the field."""
    return ApiError(400, "invalid_request_error", code, message, param)


def body_too_large(limit: int) -> ApiError:
    """Return a 413: the request body is larger than `limit` bytes."""
    message = f"The request body is larger than {limit} bytes, the limit of this server (--max-body)."
    return ApiError(413, "invalid_request_error", "request_too_large", message)


def too_many_values(limit: int) -> ApiError:
    """Return a 400: the request body has more than `limit` values."""
    message = f"The request body has more than {limit} values, the limit of this server."
    return invalid_request(message, code="too_many_values")


def body_not_decodable(coding: str, reason: str) -> ApiError:
    """Return a 400: the request body is not valid data of its content coding."""
    return invalid_request(f"The request body is not valid {coding} data: {reason}.", code="invalid_encoding")


def unsupported_coding(coding: str) -> ApiError:
    """Return a 415: the request body is compressed in a way that this server does not decode."""
    message = f"This server does not decode the Content-Encoding {coding!r}; it accepts {', '.join(CODINGS)}."
    headers = {"accept-encoding": ", ".join(CODINGS)}
    return ApiError(415, "invalid_request_error", "unsupported_encoding", message, headers=headers)


def body_too_slow(seconds: float) -> ApiError:
    """Return a 408: the rest of the request body did not arrive."""
    message = f"No more of the request body arrived within {seconds:g} seconds."
    return ApiError(408, "invalid_request_error", "request_timeout", message)


def invalid_api_key(message: str) -> ApiError:
    """Return a 401: the API key is missing or wrong."""
    return ApiError(401, "authentication_error", "invalid_api_key", message, headers={"www-authenticate": "Bearer"})


def key_revoked(name: str) -> ApiError:
    """Return a 401: the named key was revoked, or has expired, while it was in use."""
    message = f"The API key {name!r} was revoked or has expired, which also ended what ran with it."
    return ApiError(401, "authentication_error", KEY_REVOKED, message, headers={"www-authenticate": "Bearer"})


def key_not_allowed() -> ApiError:
    """Return a 403: a named key requests something about the account."""
    message = "A named key may not see this, because it shows the account. Use the server's own key."
    return ApiError(403, "permission_error", "key_not_allowed", message)


def key_budget_exhausted(name: str, budget: int, seconds: float) -> ApiError:
    """Return a 429: a named key has used its tokens of this day, which ends in `seconds` seconds."""
    message = (
        f"The API key {name!r} has used its {budget:,} tokens of today. It gets new ones at midnight UTC, in "
        f"{_span(seconds)}."
    )
    return ApiError(429, "rate_limit_error", "key_budget_exhausted", message, headers=retry_after(seconds))


def foreign_page(message: str) -> ApiError:
    """Return a 403: a web page requests something that its origin may not have."""
    return ApiError(403, "permission_error", "foreign_page", message)


def not_logged_in() -> ApiError:
    """Return a 401: Codex is not logged in."""
    return ApiError(401, "authentication_error", "codex_not_logged_in", LOG_IN)


def model_not_found(name: str, available: list[str]) -> ApiError:
    """Return a 404: the requested model does not exist."""
    message = f"The model {name!r} does not exist. This server has: {', '.join(available)}."
    return ApiError(404, "invalid_request_error", MODEL_NOT_FOUND, message, "model")


def model_not_allowed(name: str, key: str, available: list[str]) -> ApiError:
    """Return a 404: the requested model does not exist, or a named key may not use it."""
    allowed = f"It may use: {', '.join(available)}." if available else "It may use none of the models of this server."
    message = f"The API key {key!r} may not use the model {name!r}, or there is no such model. {allowed}"
    return ApiError(404, "invalid_request_error", MODEL_NOT_FOUND, message, "model")


def model_refused(name: str, slug: str, available: list[str]) -> ApiError:
    """Return a 404: the upstream refuses the requested model for this login."""
    message = (
        f"The upstream refuses the model {name!r} ({slug} in Codex) for this login. It has: {', '.join(available)}; "
        "reversed names mean the same models."
    )
    return ApiError(404, "invalid_request_error", MODEL_NOT_FOUND, message, "model")


def route_not_found(path: str) -> ApiError:
    """Return a 404: there is no route for this path."""
    return ApiError(404, "invalid_request_error", "not_found", f"There is no route {path}. Try GET /v1/models.")


def response_not_found(response_id: str) -> ApiError:
    """Return a 404: no response is stored under this id."""
    message = f"There is no stored response {response_id!r}; it may have expired or been deleted."
    return ApiError(404, "invalid_request_error", "response_not_found", message, "response_id")


def store_failed(reason: str) -> ApiError:
    """Return a 500: the store of responses cannot be read or written."""
    return ApiError(500, "server_error", "store_failed", f"{reason}. See the log of the server for details.")


def method_not_allowed(method: str, path: str, allowed: str) -> ApiError:
    """Return a 405: the path exists, but not for this method."""
    message = f"{method} is not allowed for {path}; use {allowed}."
    return ApiError(405, "invalid_request_error", "method_not_allowed", message, headers={"allow": allowed})


def no_websocket() -> ApiError:
    """Return a 426: no WebSocket here; the status makes Codex continue over HTTP at once."""
    message = "This server offers no WebSocket at this address. Send the request over HTTP."
    return ApiError(426, "invalid_request_error", "no_websocket", message)


def socket_too_old(seconds: float) -> ApiError:
    """Return the error that ends a WebSocket which has been open for `seconds` seconds."""
    message = f"This WebSocket has been open for {seconds / 60:g} minutes, the limit. Open a new one."
    return invalid_request(message, code="websocket_connection_limit_reached")


def too_many_frames(most: int, seconds: float) -> ApiError:
    """Return a 429: more requests wait on one WebSocket than it may hold."""
    message = f"At most {most} requests may wait on one WebSocket, 32 MB in all. Send it again after the next answer."
    return ApiError(429, "rate_limit_error", "too_many_requests", message, headers=retry_after(seconds))


def too_many_requests(most: int, seconds: float) -> ApiError:
    """Return a 429: more answers are requested than may run at once."""
    message = f"This server already runs {most} answers at once, its limit (--answers). Try again in a moment."
    return ApiError(429, "rate_limit_error", "too_many_requests", message, headers=retry_after(seconds))


def unavailable(message: str, seconds: float = 1) -> ApiError:
    """Return a 503: Codex cannot answer now, but a retry after `seconds` may succeed."""
    return ApiError(503, "server_error", "codex_unavailable", message, headers=retry_after(seconds))


def upstream_failed(message: str) -> ApiError:
    """Return a 502: Codex or its upstream failed."""
    return ApiError(502, "server_error", "upstream_error", message)


def upstream_timeout(seconds: float) -> ApiError:
    """Return a 504: the model sent nothing for `seconds` seconds."""
    message = f"The model sent nothing for {seconds:g} seconds, the limit of this server (--idle-timeout)."
    return ApiError(504, "server_error", "upstream_timeout", message)


def internal_error() -> ApiError:
    """Return a 500: this server has a bug; the details are in its log only."""
    return ApiError(500, "server_error", "internal_error", "The server failed unexpectedly; see its log for details.")


def from_codex_error(error: CodexError) -> ApiError:
    """Translate a failure of the connection to codex."""
    match error:
        case CodexUnavailableError(retry_after=seconds):
            return unavailable(f"{error}. Try again in a moment.", seconds)
        case DeadlineExceededError():
            return ApiError(504, "server_error", "upstream_timeout", f"{error}.")
        case UnsendableError():
            return invalid_request(f"The request cannot be sent to Codex: {error}.")
        case OverloadedError():
            return unavailable("Codex is overloaded. Try again in a moment.", 5)
        case RequestRefusedError(code=-32600, reason=reason):
            return invalid_request(f"Codex does not accept the request: {reason}.")
        case InboxOverflowError():
            return upstream_failed(f"The answer was not read in time: {error}.")
        case _:
            return upstream_failed(f"{error}.")


NO_RETRY = {"x-should-retry": "false"}
"""The header that keeps clients from repeating a request by themselves."""


def not_repeated(error: ApiError) -> ApiError:
    """Return the error of a request that must not be repeated by itself: an agent may already have acted on it."""
    return replace(error, headers=error.headers | NO_RETRY)


def may_be_repeated(error: ApiError) -> bool:
    """Return whether the request may be repeated without asking the user."""
    return not error.headers.items() >= NO_RETRY.items()


def retry_after(seconds: float) -> dict[str, str]:
    """Return the header that says when to repeat a request: whole seconds, at least one."""
    return {"retry-after": str(max(1, ceil(seconds)))}


def _span(seconds: float) -> str:
    hours, minutes = divmod(max(1, ceil(seconds / 60)), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
