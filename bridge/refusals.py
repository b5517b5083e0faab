"""Translates the failure of a turn into the error that the client receives, for both dialects, streamed and whole.

1. Codex's kind of the failure decides; then the code in the upstream's body; then the HTTP status of the upstream.
2. A 4xx of the upstream keeps its status: repeating such a request does not help. Other failures are a 502 or a 503.
3. The message is a sentence that says what happened, in the upstream's words, and one that says what to do. It contains
   no addresses.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from bridge.errors import CONTEXT_TOO_LONG, HOW_TO_LOG_IN, USAGE_LIMIT, ApiError, retry_after
from bridge.json_values import decode_json
from codex_rpc.wire.events import CodexFailure

SOME_TIME = 60
"""Seconds after which a client may repeat a request that was refused with 429, if no better time is known."""

_SOON = 5
"""Seconds after which a client may repeat a request if the upstream is overloaded."""

_DEEPEST = 8
"""Levels of the upstream's body in which its words are looked for."""

_LONGEST = 2000
"""Characters of the upstream's words that are passed on."""


class _Rule(Struct, frozen=True):
    """The error for a kind of refusal; `before` stands before the upstream's words, `advice` after them."""

    status: int
    type: str
    code: str | None
    advice: str
    before: str = ""
    param: str | None = None
    always_advise: bool = False
    """Whether `advice` replaces the upstream's own advice."""
    keeps_code: bool = False
    """Whether the upstream's own `code` and `param` are passed on."""


_ACCOUNT = "Check the plan, the billing and the workspace of Codex's account."
_CHANGE = "Change the request before you repeat it."
_REFUSED = "The upstream refused the request: "
_INVALID = _Rule(400, "invalid_request_error", None, _CHANGE, keeps_code=True)
_POLICY = _Rule(400, "invalid_request_error", "content_policy_violation", _CHANGE)
_TOO_LONG = _Rule(400, "invalid_request_error", CONTEXT_TOO_LONG, "Shorten the conversation.", param="messages")
_NO_LOGIN = _Rule(
    401,
    "authentication_error",
    "codex_not_logged_in",
    HOW_TO_LOG_IN,
    "The upstream does not accept Codex's login: ",
    always_advise=True,
)
_NO_MODEL = _Rule(404, "invalid_request_error", "model_not_found", "GET /v1/models lists the models.", param="model")
_USED_UP = _Rule(429, "rate_limit_error", USAGE_LIMIT, "Try again later.")
_TOO_FAST = _Rule(429, "rate_limit_error", "rate_limit_exceeded", "Try again later.")
_OVERLOADED = _Rule(503, "server_error", "codex_unavailable", "Try again in a moment.")
_FAILED = _Rule(502, "server_error", "upstream_error", "Try again in a moment.")
_OTHER = _Rule(400, "invalid_request_error", "upstream_refused", _CHANGE, _REFUSED, keeps_code=True)

_BY_KIND = {
    "usageLimitExceeded": _USED_UP,
    "rateLimitExceeded": _TOO_FAST,
    "serverOverloaded": _OVERLOADED,
    "flexUnavailable": _OVERLOADED,
    "policyCapacityUnavailable": _OVERLOADED,
    "contextWindowExceeded": _TOO_LONG,
    "unauthorized": _NO_LOGIN,
    "modelNotFound": _NO_MODEL,
    "inferenceHookDenied": _POLICY,
}
_POLICY_KINDS = "Policy", "PolicyViolation"
"""The ends of the kinds with which the upstream's policies refuse a request, such as `bioPolicy`."""

_BY_CODE = {
    "invalid_prompt": _POLICY,
    "content_filter": _POLICY,
    "content_policy_violation": _POLICY,
    "cyber_policy": _POLICY,
    "bio_policy": _POLICY,
    "context_length_exceeded": _TOO_LONG,
    "model_not_found": _NO_MODEL,
}
_BY_STATUS = {
    400: _INVALID,
    401: _NO_LOGIN,
    402: replace(_OTHER, status=402, type="permission_error", code="payment_required", advice=_ACCOUNT),
    403: replace(_OTHER, status=403, type="permission_error", code="permission_denied", advice=_ACCOUNT),
    404: replace(_OTHER, status=404, code="not_found", advice="Check the model and the provider in Codex's settings."),
    413: replace(_OTHER, status=413, code="request_too_large", advice="Shorten the conversation."),
    429: _TOO_FAST,
}

_PERMANENT = frozenset(range(400, 500)) - {401, 408, 409, 425, 426, 429}
"""Statuses that the same request gets again. Codex itself renews the login after a 401."""

_STATUS = re.compile(r"^unexpected status (\d{3})[^:]*: ")
_ATTEMPTS = re.compile(r"^exceeded retry limit, last status: (\d{3}).*", re.DOTALL)
_ADDED = re.compile(r", (?:url|cf-ray|request id|auth error): .*", re.DOTALL)
"""What codex adds to the words of the upstream."""

_UPGRADE = re.compile(r", url: wss?://")
"""The upstream refused the WebSocket and not the request, so that codex goes on over HTTP."""

_REFUSES_MODEL = re.compile(
    r"\bmodel is not supported\b"
    r"|\bmodel\b[^\n]{0,80}\b(does not exist|was not found|not found)\b"
    r"|\bnot have access to (the |this )?model\b",
    re.IGNORECASE,
)
_REFUSES_REASONING = re.compile(r"encrypted content\b.*\bcould not be (verified|decrypted)", re.DOTALL | re.IGNORECASE)

_RATE_PREFIX = re.compile(r"^rate limit exceeded: ")
_OF_CODEX = re.compile(
    r"^$|^(?:stream|internal|fatal|unsupported operation|timeout|timed out|interrupted|sandbox|spawn|io|error|failed"
    r"|incomplete|missing|codex|thread|session|turn|agent|environment|connection)\b",
    re.IGNORECASE,
)
"""The beginnings of codex's own errors. Any other failure without kind and status is a refusal of the upstream with a
code for its policies, of which codex passes on the words alone."""

_URL = re.compile(r"[:\s]*\(?\b(?:https?|wss?)://[^\s)]*\)?")
_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")

_IN = re.compile(
    r"\b(?:(?:again|retry|retrying|resets?|wait)\b[^.!?]{0,40}?\b(?:in|after|for)|wait)\s+"
    r"((?:(?:,\s*|\s*and\s+|\s*)\d{1,9}(?:\.\d+)?\s*[a-z]+)+)",
    re.IGNORECASE,
)
_MINUTE = 60
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AT = re.compile(
    r"\b(?:again|resets?|retry)\b[^.!?]{0,40}?\bat\s+"
    r"(?:([A-Z][a-z]{2})[a-z]* (\d{1,2})(?:st|nd|rd|th)?, (\d{4}),? )?(\d{1,2}):(\d\d) ([AP]M)"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def is_permanent(failure: CodexFailure) -> bool:
    """Return whether the upstream refuses the request, so that codex should not repeat it.

    Codex takes a `response.failed` whose code it does not know for a cut stream; only the words tell the two apart.
    """
    words = failure.reason
    is_refusal = failure.http_status in _PERMANENT or refuses_model(words) or refuses_reasoning(words)
    return is_refusal and not _UPGRADE.search(words)


def refuses_model(words: str) -> bool:
    """Return whether the upstream's words say that the login does not have the model."""
    return bool(_REFUSES_MODEL.search(words))


def refuses_reasoning(words: str) -> bool:
    """Return whether the upstream's words say that it cannot read the encrypted reasoning of the request."""
    return bool(_REFUSES_REASONING.search(words))


def from_codex_failure(failure: CodexFailure) -> ApiError:
    """Translate the failure of a turn; `retry-after` is a guess that `seconds_named` can improve on."""
    said = _Said.read(failure.reason)
    status = failure.http_status or said.status
    if status is None and (failure.kind == "badRequest" or (failure.kind == "other" and said.is_body)):
        status = 400  # codex passes on the body of a 400 alone
    rule = _rule(failure.kind, said, status)
    if rule.keeps_code:
        rule = replace(rule, code=said.code or rule.code, param=said.param)
    error = ApiError(rule.status, rule.type, rule.code, _message(rule, said.words, status), rule.param)
    if rule.status in {429, 503}:
        error.headers = retry_after(SOME_TIME if rule.status == 429 else _SOON)
    return error


def seconds_named(message: str, epoch: float) -> float | None:
    """Return after how many seconds a message says that the request may be repeated; None if it does not say.

    `epoch` is the current time; codex writes times of day in this machine's time zone.
    """
    if found := _IN.search(message):
        amounts = [(float(number), _unit(unit)) for number, unit in _AMOUNT.findall(found[1])]
        known = [number * unit for number, unit in amounts if unit is not None]
        return sum(known) if known else None
    if found := _AT.search(message):
        moment = _moment(found, datetime.fromtimestamp(epoch))  # noqa: DTZ006 - codex writes local time
        return None if moment is None else _wait(moment.timestamp() - epoch, has_date=found[1] is not None)
    return None


def _unit(word: str) -> float | None:
    """Return the seconds in a unit of time, such as `ms`, `min` or `hours`."""
    word = word.lower()
    return _SECONDS["ms"] if word in {"ms", "msec"} or word.startswith("milli") else _SECONDS.get(word[0])


def _moment(found: re.Match[str], today: datetime) -> datetime | None:
    month, day, year, hour, minute, half = found.groups()
    try:
        date = today if month is None else today.replace(int(year), _MONTHS.index(month) + 1, int(day))
        return date.replace(
            hour=int(hour) % 12 + (12 if half == "PM" else 0), minute=int(minute), second=0, microsecond=0
        )
    except ValueError:
        return None  # no such day or month


def _wait(seconds: float, *, has_date: bool) -> float:
    """Return the seconds until a moment; a time of day without a date that is long past means tomorrow."""
    return seconds if has_date or seconds > -_MINUTE else seconds + _SECONDS["d"]


def _rule(kind: str, said: _Said, status: int | None) -> _Rule:
    if rule := _BY_KIND.get(kind):
        return rule
    if kind.endswith(_POLICY_KINDS) or (kind == "other" and status is None and not _OF_CODEX.search(said.words)):
        return _POLICY
    if status is None or not 400 <= status < 500:
        return _FAILED
    return _BY_CODE.get(said.code or "") or _BY_STATUS.get(status) or replace(_OTHER, status=status)


def _message(rule: _Rule, words: str, status: int | None) -> str:
    """Return what happened and what to do; the upstream's own advice stays unless the rule's replaces it."""
    words = words[:_LONGEST]
    first, *rest = _SENTENCES.split(words)
    advice = [one for one in rest if not _URL.search(one)]
    first = _URL.sub("", first).strip(" :,")
    if not first:
        with_status = f" with status {status}" if status is not None else ""
        first = (
            f"The upstream failed{with_status}" if rule is _FAILED else f"The upstream refused the request{with_status}"
        )
    else:
        first = rule.before + first
    if not first.endswith((".", "!", "?")):
        first += "."
    if advice and not rule.always_advise:
        return " ".join([first, *advice])
    if rule.status == 429 and (when := _IN.search(words) or _AT.search(words)) and when[0] not in first:
        return f"{first} Try {when[0]}."
    return f"{first} {rule.advice}"


class _Said(Struct, frozen=True):
    """What the upstream said, as far as codex passes it on."""

    words: str
    status: int | None = None
    code: str | None = None
    param: str | None = None
    is_body: bool = False
    """Whether codex passes on a body and nothing else."""

    @classmethod
    def read(cls, text: str) -> _Said:
        """Read codex's message of a failure: words, a body of the upstream, or words that a body follows."""
        if attempts := _ATTEMPTS.match(text):
            return cls(f"The upstream answered every attempt with status {attempts[1]}.", int(attempts[1]))
        found = _STATUS.match(text)
        status = int(found[1]) if found else None
        text = _RATE_PREFIX.sub("", _ADDED.sub("", text[found.end() :] if found else text)).strip()
        if text.startswith("<"):
            return cls("", status, is_body=True)  # a page for people
        body, before = _body(text)
        if body is None:
            return cls(text, status)
        inner: object = body.get("error") or body.get("detail") or body
        details = cast("dict[str, Any]", inner) if isinstance(inner, dict) else body
        named = body.get("status") or body.get("status_code")
        return cls(
            _words(cast("object", inner), _DEEPEST),
            status or (named if isinstance(named, int) else None),
            _text(details.get("code")),
            _text(details.get("param")),
            not before,
        )


def _body(text: str) -> tuple[dict[str, Any] | None, str]:
    """Return the JSON object at the end of a text, and the text before it."""
    before, brace, rest = text.partition("{")
    if not brace:
        return None, text
    try:
        value = decode_json((brace + rest).encode("utf-8", "replace"))
    except ApiError:
        return None, text
    return (cast("dict[str, Any]", value), before) if isinstance(value, dict) else (None, text)


def _words(value: object, levels: int) -> str:
    """Return the words for people in a part of the body: a text, or what is called a message inside it."""
    if isinstance(value, str):
        return value
    if not levels:
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_words(one, levels - 1) for one in cast("list[object]", value))))
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        names = ("message", "msg", "detail", "error", "description", "title")
        words = next((found for name in names if (found := _words(fields.get(name), levels - 1))), "")
        place = fields.get("loc")
        where = ".".join(map(str, cast("list[object]", place))) if isinstance(place, list) else ""
        return f"{where}: {words}" if where and words else words
    return ""


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
