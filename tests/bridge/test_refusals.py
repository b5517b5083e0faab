"""What the upstream refuses keeps its meaning. The texts are those of codex 0.163 and 0.171."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from time import tzset
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import HOW_TO_LOG_IN, USAGE_LIMIT
from bridge.refusals import from_codex_failure, is_permanent, refuses_model, seconds_named
from codex_rpc.wire.events import CodexFailure, FailureDetails

URL = ", url: http://127.0.0.1:9999/v1/responses, cf-ray: 8f2-FRA, request id: req_1"
CHANGE = "Change the request before you repeat it."
ACCOUNT = "Check the plan, the billing and the workspace of Codex's account."
LATER = "Try again later."
CUT = "stream disconnected before completion: "
NO_MODEL = "The model `gpt-5.1` does not exist or you do not have access to it."
UNREADABLE = "The encrypted content gAAA could not be verified."
USED_UP = "You\u2019ve hit your usage limit."
SHOP = "Upgrade to Pro (https://chatgpt.com/x), visit https://chatgpt.com/settings/usage to purchase more credits"


def http(status: int, reason: str, body: str) -> CodexFailure:
    """Return the failure of a turn whose upstream refused a request over HTTP with anything but a 400."""
    return CodexFailure(f"unexpected status {status} {reason}: {body}{URL}", {"httpConnectionFailed": details(status)})


def body(value: Any) -> CodexFailure:
    """Return the failure of a turn whose upstream answered 400 with a body."""
    return CodexFailure(json.dumps(value), "other")


def details(status: int | None) -> FailureDetails:
    return FailureDetails(status)


def refused(failure: CodexFailure) -> tuple[int, str | None, str]:
    error = from_codex_failure(failure)
    return error.status, error.code, error.message


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (body({"detail": "The model 'x' is not supported."}), (400, None, f"The model 'x' is not supported. {CHANGE}")),
        (
            body({"type": "error", "status": 400, "detail": "Stream must be set to true", "headers": {}}),
            (400, None, f"Stream must be set to true. {CHANGE}"),
        ),
        (body({"error": "just words"}), (400, None, f"just words. {CHANGE}")),
        (
            body({"error": {"code": "strange"}}),
            (400, "strange", f"The upstream refused the request with status 400. {CHANGE}"),
        ),
        (CodexFailure("Bad.", "badRequest"), (400, None, f"Bad. {CHANGE}")),
        (
            http(402, "Payment Required", '{"detail": "Payment required"}'),
            (402, "payment_required", f"The upstream refused the request: Payment required. {ACCOUNT}"),
        ),
        (
            http(403, "Forbidden", "Country, region not supported"),
            (403, "permission_denied", f"The upstream refused the request: Country, region not supported. {ACCOUNT}"),
        ),
        (
            http(403, "Forbidden", '{"detail": {"message": "Deactivated", "code": "deactivated_workspace"}}'),
            (403, "deactivated_workspace", f"The upstream refused the request: Deactivated. {ACCOUNT}"),
        ),
        (
            http(404, "Not Found", '{"detail": "Not Found"}'),
            (
                404,
                "not_found",
                "The upstream refused the request: Not Found. Check the model and the provider in Codex's settings.",
            ),
        ),
        (
            http(413, "Payload Too Large", "<html><body>413</body></html>"),
            (413, "request_too_large", "The upstream refused the request with status 413. Shorten the conversation."),
        ),
        (
            http(422, "Unprocessable Entity", '{"detail": [{"loc": ["body", "input"], "msg": "field required"}]}'),
            (422, "upstream_refused", f"The upstream refused the request: body.input: field required. {CHANGE}"),
        ),
        (
            http(451, "Unavailable For Legal Reasons", "Not here. Ask a lawyer."),
            (451, "upstream_refused", "The upstream refused the request: Not here. Ask a lawyer."),
        ),
        (
            http(401, "Unauthorized", "token expired"),
            (
                401,
                "codex_not_logged_in",
                f"The upstream does not accept Codex's login: token expired. {HOW_TO_LOG_IN}",
            ),
        ),
        (
            CodexFailure("Your token could not be refreshed. Please log out and sign in again.", "unauthorized"),
            (
                401,
                "codex_not_logged_in",
                f"The upstream does not accept Codex's login: Your token could not be refreshed. {HOW_TO_LOG_IN}",
            ),
        ),
        (
            CodexFailure("Too long.", "contextWindowExceeded"),
            (400, "context_length_exceeded", "Too long. Shorten the conversation."),
        ),
        (
            CodexFailure("No such model.", "modelNotFound"),
            (404, "model_not_found", "No such model. GET /v1/models lists the models."),
        ),
    ],
    ids=lambda value: value.message[:40] if isinstance(value, CodexFailure) else "",
)
def test_a_permanent_refusal_keeps_its_status_and_gets_a_readable_message(
    failure: CodexFailure, expected: tuple[int, str | None, str]
) -> None:
    assert refused(failure) == expected


def test_the_upstreams_param_and_code_are_passed_on() -> None:
    inner = {"message": "Unknown parameter: 'x'.", "param": "x", "code": "unknown_parameter"}
    for failure in (body({"error": inner}), CodexFailure(f"Failed: {json.dumps({'error': inner})}", "badRequest")):
        error = from_codex_failure(failure)
        assert (error.status, error.param, error.code) == (400, "x", "unknown_parameter")
        assert error.message == f"Unknown parameter: 'x'. {CHANGE}"
    odd = from_codex_failure(body({"error": {"message": "No.", "param": ["x"], "code": 7}}))
    assert (odd.param, odd.code) == (None, None)


@pytest.mark.parametrize(
    "failure",
    [
        CodexFailure("This request was flagged.", "cyberPolicy"),
        CodexFailure("No.", "bioPolicy"),
        CodexFailure("No.", "misalignmentPolicyViolation"),
        CodexFailure("No.", "policyOfTheFuturePolicy"),
        CodexFailure("No.", "inferenceHookDenied"),
        CodexFailure("Invalid prompt: we've limited access to this content for safety reasons.", "other"),
        CodexFailure("Your prompt was flagged as potentially violating our usage policy.", "other"),
        CodexFailure("We cannot help with that.", "other"),
        CodexFailure("No", "other"),
        body({"error": {"message": "No.", "code": "invalid_prompt"}}),
    ],
    ids=lambda failure: f"{failure.kind} {failure.message[-20:]}",
)
def test_a_refusal_of_policy_is_a_content_policy_violation(failure: CodexFailure) -> None:
    status, code, message = refused(failure)
    assert (status, code) == (400, "content_policy_violation")
    assert message.endswith(CHANGE)


@pytest.mark.parametrize(
    "failure",
    [
        CodexFailure("stream cut", {"responseStreamDisconnected": details(500)}),
        CodexFailure("stream cut", {"responseStreamDisconnected": None}),
        CodexFailure("Oops", "internalServerError"),
        CodexFailure("Oops", "aKindOfTheFuture"),
        CodexFailure("stream disconnected before completion: odd", "other"),
        CodexFailure("internal error; agent loop died unexpectedly", "other"),
        CodexFailure("timeout waiting for child process to exit", "other"),
        CodexFailure(""),
    ],
    ids=["500", "no status", "internal", "unknown kind", "no kind", "dead loop", "time-out", "no words"],
)
def test_any_other_failure_is_the_upstreams(failure: CodexFailure) -> None:
    status, code, message = refused(failure)
    assert (status, code) == (502, "upstream_error")
    assert message == f"{failure.message or 'The upstream failed'}. Try again in a moment."


@pytest.mark.parametrize("kind", ["serverOverloaded", "flexUnavailable", "policyCapacityUnavailable"])
def test_an_overloaded_upstream_is_unavailable_for_a_moment(kind: str) -> None:
    error = from_codex_failure(CodexFailure("Busy.", kind))
    assert (error.status, error.code, error.headers) == (503, "codex_unavailable", {"retry-after": "5"})
    assert error.message == "Busy. Try again in a moment."


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (
            CodexFailure(f"{USED_UP} {SHOP} or try again at Dec 1st, 2026 9:18 PM.", "usageLimitExceeded"),
            USAGE_LIMIT,
            f"{USED_UP} Try again at Dec 1st, 2026 9:18 PM.",
        ),
        (
            CodexFailure(f"{USED_UP} {SHOP} or try again later.", "usageLimitExceeded"),
            USAGE_LIMIT,
            f"{USED_UP} {LATER}",
        ),
        (
            CodexFailure("Quota exceeded. Check your plan and billing details.", "usageLimitExceeded"),
            USAGE_LIMIT,
            "Quota exceeded. Check your plan and billing details.",
        ),
        (
            CodexFailure("To use Codex with your plan, upgrade to Plus: https://x.y/plus.", "usageLimitExceeded"),
            USAGE_LIMIT,
            f"To use Codex with your plan, upgrade to Plus. {LATER}",
        ),
        (
            CodexFailure("rate limit exceeded: Limit reached. Please try again in 11.054s.", "rateLimitExceeded"),
            "rate_limit_exceeded",
            "Limit reached. Please try again in 11.054s.",
        ),
        (
            CodexFailure(
                "exceeded retry limit, last status: 429 Too Many Requests, request id: r1",
                {"responseTooManyFailedAttempts": details(429)},
            ),
            "rate_limit_exceeded",
            f"The upstream answered every attempt with status 429. {LATER}",
        ),
    ],
    ids=["with date", "later", "billing", "plan", "rate", "attempts"],
)
def test_a_429_says_when_to_try_again_without_addresses(failure: CodexFailure, code: str, message: str) -> None:
    assert refused(failure) == (429, code, message)
    assert from_codex_failure(failure).headers == {"retry-after": "60"}


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the test in the time zone UTC."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "UTC")
        tzset()
        yield
    tzset()


@pytest.mark.usefixtures("in_utc")
@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please try again in 20s.", 20),
        ("Please try again in 11.054s.", 11.054),
        ("Retry after 250ms.", 0.25),
        ("Try again in 1m30s.", 90),
        ("The limit resets in 6m0s", 360),
        ("Please wait 30 seconds.", 30),
        ("Try again in 3 days 4 hours 5 minutes.", 273_900),
        ("Try again in 3 days, 4 hours and 5 minutes.", 273_900),
        ("or try again in 1 week", 604_800),
        ("Try again at Dec 1st, 2026 9:18 PM.", 259_200),
        ("try again at 9:30 PM.", 720),
        ("try again at 12:05 AM.", 10_020),
        ("It resets at Nov 29th, 2026 12:18 PM", 54_000),
        ("Try again at Feb 31st, 2026 9:18 PM.", None),
        ("Try again at Foo 1st, 2026 9:18 PM.", None),
        ("Try again later.", None),
        ("You sent 40 requests in 20 seconds.", None),
        ("Try again in 5 parsecs.", None),
    ],
)
def test_the_time_that_a_message_names_is_found(message: str, seconds: float | None) -> None:
    epoch = datetime.fromisoformat("2026-11-28T21:18:00Z").timestamp()
    assert seconds_named(message, epoch) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("failure", "permanent"),
    [
        (CodexFailure("", {"responseStreamDisconnected": details(403)}, "unexpected status 403 Forbidden: no"), True),
        (CodexFailure("", {"responseStreamDisconnected": details(404)}, f"unexpected status 404 x: no{URL}"), True),
        (CodexFailure("", {"httpConnectionFailed": details(422)}), True),
        (CodexFailure("", {"responseStreamDisconnected": details(403)}, "x: no, url: ws://127.0.0.1:1/v1"), False),
        (CodexFailure("", {"responseStreamDisconnected": details(404)}, "x: no, url: wss://x.y/v1"), False),
        (CodexFailure("", {"responseStreamDisconnected": details(401)}), False),
        (CodexFailure("", {"responseTooManyFailedAttempts": details(429)}), False),
        (CodexFailure("", {"responseStreamDisconnected": details(500)}), False),
        (CodexFailure("", {"responseStreamDisconnected": details(None)}), False),
        (CodexFailure("", "other"), False),
        (CodexFailure("Reconnecting... 2/5", {"responseStreamDisconnected": details(None)}, f"{CUT}{NO_MODEL}"), True),
        (
            CodexFailure("Reconnecting... 2/5", {"responseStreamDisconnected": details(None)}, f"{CUT}{UNREADABLE}"),
            True,
        ),
        (CodexFailure("Reconnecting... 2/5", {"responseStreamDisconnected": details(None)}, f"{CUT}closed"), False),
    ],
)
def test_a_refused_request_is_permanent_and_a_refused_websocket_is_not(
    failure: CodexFailure, *, permanent: bool
) -> None:
    assert is_permanent(failure) is permanent


@pytest.mark.parametrize(
    ("message", "refuses"),
    [
        ("The 'gpt-5.2-codex' model is not supported when using Codex with a ChatGPT account.", True),
        (NO_MODEL, True),
        ("The requested model 'gpt-5.2' does not exist.", True),
        ("Model gpt-5.2 not found", True),
        ("Your project does not have access to model gpt-5.2", True),
        ("You do not have access to the model gpt-5.2", True),
        ("Unsupported value: 'high' is not supported with the 'gpt-5.2' model.", False),
        ("Image input is not supported by this model.", False),
    ],
)
def test_the_refusal_of_a_model_is_known_by_its_text(message: str, refuses: bool) -> None:
    assert refuses_model(message) == refuses


@settings(deadline=None)
@given(
    kind=st.sampled_from(["other", "badRequest", "usageLimitExceeded", "unauthorized"]),
    before=st.text(max_size=10) | st.just("unexpected status 403 Forbidden: "),
    inside=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("\ud83d"),
        lambda some: (
            st.lists(some, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "message", "param", "code", "detail", "loc", "status"]), some, max_size=4
            )
        ),
        max_leaves=8,
    ),
)
def test_any_upstream_body_gives_a_message_that_can_be_sent(kind: str, before: str, inside: object) -> None:
    error = from_codex_failure(CodexFailure(before + json.dumps(inside), kind))
    assert error.message.encode()
    assert isinstance(error.param, str | None)
    assert isinstance(error.code, str | None)
    assert 400 <= error.status < 600
    assert "://" not in error.message
