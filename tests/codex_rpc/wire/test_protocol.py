"""Calls with their parameters and results, notifications and tool calls as events: in the form that codex uses."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import ValidationError, convert

from codex_rpc.quota import RateLimit, Window
from codex_rpc.wire.calls import (
    UNWANTED,
    Account,
    Call,
    Model,
    account_read,
    config_read,
    initialize,
    model_list,
    thread_inject_items,
    thread_start,
    thread_unsubscribe,
    turn_interrupt,
    turn_start,
)
from codex_rpc.wire.events import (
    AccountChanged,
    CodexFailure,
    CompactionStarted,
    ErrorReported,
    Event,
    FailureDetails,
    FinishedTurn,
    LoginCompleted,
    MessageDelta,
    QuotaReported,
    RawItemCompleted,
    ReasoningDelta,
    ResponseCompleted,
    TokenUsage,
    ToolCallAsked,
    TurnCompleted,
    Warned,
)
from codex_rpc.wire.messages import Request
from codex_rpc.wire.protocol import read_event, read_request, tool_call_result

ACCOUNT_EVENTS = (AccountChanged, LoginCompleted)

MALFORMED = (KeyError, TypeError, ValueError, AttributeError)
"""The exceptions that the client handles as a malformed result of codex."""

ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
TURN: dict[str, Any] = {"id": "u", "items": [], "status": "completed", "error": None}
USAGE = {"totalTokens": 15, "inputTokens": 10, "cachedInputTokens": 4, "outputTokens": 5, "reasoningOutputTokens": 2}
MODEL = {
    "id": "gpt-x",
    "model": "gpt-x-codex",
    "displayName": "GPT X",
    "hidden": False,
    "isDefault": True,
    "supportedReasoningEfforts": [
        {"reasoningEffort": "low", "description": "quick"},
        {"reasoningEffort": "xhigh", "description": "thorough"},
    ],
    "serviceTiers": [{"id": "priority", "name": "Fast", "description": "1.5x"}],
}

CALLS: list[tuple[Call[Any], str, dict[str, Any], Any, Any]] = [
    (
        initialize("proxy", "1.2"),
        "initialize",
        {
            "clientInfo": {"name": "proxy", "title": None, "version": "1.2"},
            "capabilities": {"experimentalApi": True, "optOutNotificationMethods": list(UNWANTED)},
        },
        {"userAgent": "proxy/0.169.0 (Linux)", "codexHome": "/home/me/.codex"},
        "proxy/0.169.0 (Linux)",
    ),
    (
        account_read(),
        "account/read",
        {},
        {"account": {"type": "chatgpt", "email": "me@example.com", "planType": "plus"}, "requiresOpenaiAuth": True},
        Account("chatgpt", "plus", needs_login=True, email="me@example.com"),
    ),
    (
        account_read(),
        "account/read",
        {},
        {"account": {"type": "apiKey"}, "requiresOpenaiAuth": True},
        Account("apiKey", None, needs_login=True),
    ),
    (account_read(), "account/read", {}, {"requiresOpenaiAuth": False}, Account(None, None, needs_login=False)),
    (
        account_read(),
        "account/read",
        {},
        {"account": None, "requiresOpenaiAuth": True},
        Account(None, None, needs_login=True),
    ),
    (
        config_read(),
        "config/read",
        {},
        {"config": {"model": None, "mcp_servers": {"files": {}}}, "origins": {}},
        {"model": None, "mcp_servers": {"files": {}}},
    ),
    (model_list(), "model/list", {"includeHidden": True, "limit": 1000}, {"data": []}, ()),
    (
        model_list(),
        "model/list",
        {"includeHidden": True, "limit": 1000},
        {
            "data": [
                MODEL,
                {"model": "bare", "supportedReasoningEfforts": [], "hidden": True},
            ],
            "nextCursor": None,
        },
        (
            Model("gpt-x-codex", ("low", "xhigh"), {"fast": "priority"}, hidden=False, is_default=True),
            Model("bare", (), {}, hidden=True),
        ),
    ),
    (
        thread_start({"ephemeral": True}),
        "thread/start",
        {"ephemeral": True},
        {"thread": {"id": "t"}, "model": "m"},
        "t",
    ),
    (
        thread_inject_items("t", (ITEM, ITEM)),
        "thread/inject_items",
        {"threadId": "t", "items": [ITEM, ITEM]},
        {},
        None,
    ),
    (thread_unsubscribe("t"), "thread/unsubscribe", {"threadId": "t"}, {"status": "unsubscribed"}, None),
    (turn_start("t"), "turn/start", {"threadId": "t", "input": []}, {"turn": TURN}, "u"),
    (
        turn_start("t", effort="low", outputSchema={"type": "object"}),
        "turn/start",
        {"threadId": "t", "input": [], "effort": "low", "outputSchema": {"type": "object"}},
        {"turn": TURN},
        "u",
    ),
    (turn_interrupt("t", "u"), "turn/interrupt", {"threadId": "t", "turnId": "u"}, {}, None),
]

EVENTS: list[tuple[str, dict[str, Any], Event]] = [
    (
        "item/agentMessage/delta",
        {"threadId": "t", "turnId": "u", "itemId": "i", "delta": "Hel"},
        MessageDelta("t", "u", "i", "Hel", pieces=1),
    ),
    (
        "item/reasoning/summaryTextDelta",
        {"threadId": "t", "turnId": "u", "itemId": "i", "summaryIndex": 0, "delta": "**Plan"},
        ReasoningDelta("t", "u", "i", "**Plan"),
    ),
    (
        "item/reasoning/summaryPartAdded",
        {"threadId": "t", "turnId": "u", "itemId": "i", "summaryIndex": 1},
        ReasoningDelta("t", "u", "i", ""),
    ),
    (
        "item/reasoning/textDelta",
        {"threadId": "t", "turnId": "u", "itemId": "i", "contentIndex": 0, "delta": "hm"},
        ReasoningDelta("t", "u", "i", "hm"),
    ),
    ("warning", {"threadId": "t", "message": "careful"}, Warned("t", "careful")),
    (
        "rawResponseItem/completed",
        {"threadId": "t", "turnId": "u", "item": ITEM},
        RawItemCompleted("t", "u", ITEM),
    ),
    (
        "rawResponse/completed",
        {"threadId": "t", "turnId": "u", "responseId": "r", "usage": USAGE},
        ResponseCompleted("t", "u", TokenUsage(input=10, cached_input=4, output=5, reasoning_output=2)),
    ),
    (
        "rawResponse/completed",
        {"threadId": "t", "turnId": "u", "responseId": "r", "usage": None},
        ResponseCompleted("t", "u", None),
    ),
    ("rawResponse/completed", {"threadId": "t", "turnId": "u", "responseId": "r"}, ResponseCompleted("t", "u", None)),
    (
        "error",
        {
            "threadId": "t",
            "turnId": "u",
            "error": {"message": "slow down", "codexErrorInfo": "usageLimitExceeded", "additionalDetails": None},
            "willRetry": False,
        },
        ErrorReported("t", "u", CodexFailure("slow down", "usageLimitExceeded"), will_retry=False),
    ),
    (
        "error",
        {"threadId": "t", "turnId": "u", "error": {"message": "Reconnecting... 1/5"}, "willRetry": True},
        ErrorReported("t", "u", CodexFailure("Reconnecting... 1/5"), will_retry=True),
    ),
    (
        "item/started",
        {"threadId": "t", "turnId": "u", "item": {"type": "contextCompaction", "id": "i"}, "startedAtMs": 1},
        CompactionStarted("t", "u"),
    ),
    ("turn/completed", {"threadId": "t", "turn": TURN}, TurnCompleted("t", FinishedTurn("u", "completed"))),
    (
        "turn/completed",
        {"threadId": "t", "turn": {"id": "u", "items": [], "status": "interrupted"}},
        TurnCompleted("t", FinishedTurn("u", "interrupted")),
    ),
    (
        "turn/completed",
        {
            "threadId": "t",
            "turn": {
                "id": "u",
                "items": [],
                "status": "failed",
                "error": {"message": "cut", "codexErrorInfo": {"responseStreamDisconnected": {"httpStatusCode": 502}}},
            },
        },
        TurnCompleted(
            "t",
            FinishedTurn("u", "failed", CodexFailure("cut", {"responseStreamDisconnected": FailureDetails(502)})),
        ),
    ),
    ("account/updated", {"authMode": "chatgpt", "planType": "plus"}, AccountChanged()),
    (
        "account/login/completed",
        {"loginId": "l", "success": True, "error": None},
        LoginCompleted(success=True, login_id="l"),
    ),
    (
        "account/login/completed",
        {"loginId": "l", "success": False, "error": "no"},
        LoginCompleted(success=False, login_id="l", error="no"),
    ),
    ("account/login/completed", {"success": False}, LoginCompleted(success=False)),
    (
        "account/rateLimits/updated",
        {"rateLimits": {"limitId": "codex", "primary": {"usedPercent": 43}}},
        QuotaReported(RateLimit("codex", primary=Window(43))),
    ),
]
METHODS = sorted({method for method, _, _ in EVENTS})

LEFT_OPEN: dict[tuple[str, str], Event | None] = {
    ("rawResponse/completed", "usage"): ResponseCompleted("t", "u", None),
    ("warning", "threadId"): None,
}
"""Optional parameters, and the meaning of a notification without them."""

UNREAD = {
    ("rawResponse/completed", "responseId"),
    ("item/reasoning/summaryTextDelta", "summaryIndex"),
    ("item/reasoning/summaryPartAdded", "summaryIndex"),
    ("item/reasoning/textDelta", "contentIndex"),
    ("item/started", "startedAtMs"),
}
"""Parameters that we do not read."""

TOOL_CALL = {"threadId": "t", "turnId": "u", "callId": "c", "tool": "add", "arguments": {"a": 1}, "namespace": None}


@pytest.mark.parametrize(("call", "method", "params", "result", "value"), CALLS)
def test_a_call_has_its_parameters_and_reads_its_result(
    call: Call[Any], method: str, params: dict[str, Any], result: Any, value: Any
):
    assert (call.method, call.params) == (method, params)
    assert call.read(result) == value


@pytest.mark.parametrize(
    "call", [initialize("n", "1"), account_read(), config_read(), model_list(), thread_start({}), turn_start("t")]
)
@pytest.mark.parametrize("result", ["null", "{}", "[]", '"text"', '{"thread":{}}', '{"turn":null}', '{"data":[{}]}'])
def test_a_result_that_does_not_fit_the_schema_is_malformed(call: Call[Any], result: str):
    with pytest.raises(MALFORMED):
        call.read(json.loads(result))


@pytest.mark.parametrize(
    ("account", "ready"),
    [
        (Account("chatgpt", "plus", needs_login=True), True),
        (Account("apiKey", None, needs_login=True), True),
        (Account(None, None, needs_login=False), True),
        (Account(None, None, needs_login=True), False),
    ],
)
def test_codex_is_ready_with_a_login_or_without_the_need_of_one(account: Account, ready: bool):
    assert account.ready is ready


@pytest.mark.parametrize(("method", "params", "event"), EVENTS)
def test_a_notification_is_read_as_its_event(method: str, params: dict[str, Any], event: Event):
    assert read_event(method, params) == event


@pytest.mark.parametrize("method", ["thread/tokenUsage/updated", "brand/new", "", "Error"])
def test_an_unused_notification_is_skipped_unread(method: str):
    assert read_event(method, None) is None


def test_the_echo_of_an_injected_item_is_not_an_event():
    echo = {"threadId": "t", "turnId": "auto-compact-0", "item": ITEM}

    assert read_event("rawResponseItem/completed", echo) is None


def test_a_new_part_of_a_summary_is_an_empty_delta():
    part = {"threadId": "t", "turnId": "u", "itemId": "i", "summaryIndex": 0}

    assert read_event("item/reasoning/summaryPartAdded", part) == ReasoningDelta("t", "u", "i", "")


@pytest.mark.parametrize("method", sorted({method for method, _, _ in EVENTS}))
@pytest.mark.parametrize("params", [None, [], "text", 7])
def test_parameters_that_are_not_an_object_are_malformed(method: str, params: Any):
    with pytest.raises(ValidationError):
        read_event(method, params)


@pytest.mark.parametrize(
    ("method", "changed", "path"),
    [
        ("item/agentMessage/delta", {"delta": 7}, "delta"),
        ("item/agentMessage/delta", {"threadId": ["t"]}, "threadId"),
        ("rawResponseItem/completed", {"item": "text"}, "item"),
        ("rawResponse/completed", {"usage": {**USAGE, "inputTokens": None}}, "usage.inputTokens"),
        ("error", {"error": "text"}, "error"),
        ("turn/completed", {"turn": {**TURN, "id": None}}, "turn.id"),
        ("account/rateLimits/updated", {"rateLimits": {"planType": 5}}, "rateLimits.planType"),
    ],
)
def test_the_reason_why_a_notification_is_malformed_names_the_parameter(
    method: str, changed: dict[str, Any], path: str
):
    params = next(params for name, params, _ in EVENTS if name == method)

    with pytest.raises(ValidationError, match=re.escape(f"`$.{path}`")):
        read_event(method, {**params, **changed})


@pytest.mark.parametrize("kind", ["agentMessage", "reasoning", "kindOfTheFuture"])
def test_the_start_of_any_other_item_is_not_an_event(kind: str):
    assert read_event("item/started", {"threadId": "t", "turnId": "u", "item": {"type": kind}}) is None


@pytest.mark.parametrize("params", [{"message": "careful"}, {"threadId": None, "message": "careful"}])
def test_a_warning_that_is_not_about_a_thread_is_not_an_event(params: dict[str, Any]):
    assert read_event("warning", params) is None


@pytest.mark.parametrize(
    ("method", "params", "event", "missing"),
    [
        (method, params, event, key)
        for method, params, event in EVENTS
        if not isinstance(event, ACCOUNT_EVENTS)
        for key in params
    ],
)
def test_a_notification_may_lack_only_parameters_that_are_optional_or_unread(
    method: str, params: dict[str, Any], event: Event, missing: str
):
    rest = {key: value for key, value in params.items() if key != missing}
    if (method, missing) in LEFT_OPEN:
        assert read_event(method, rest) == LEFT_OPEN[method, missing]
    elif (method, missing) in UNREAD:
        assert read_event(method, rest) == event
    else:
        with pytest.raises(ValidationError, match=missing):
            read_event(method, rest)


names = st.sampled_from(
    [
        *("threadId", "turnId", "callId", "itemId", "id", "turn", "item", "delta", "summaryIndex"),
        *("message", "usage", "error", "willRetry", "tool", "arguments"),
    ]
)
garbage = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=8),
    max_leaves=8,
)


@given(st.sampled_from(METHODS), garbage)
@settings(deadline=None)
def test_random_parameters_are_an_event_or_malformed(method: str, params: Any):
    try:
        event = read_event(method, params)
    except ValidationError:
        return
    assert event is None or isinstance(event, Event)


@pytest.mark.parametrize(
    ("info", "kind", "http_status"),
    [
        ("contextWindowExceeded", "contextWindowExceeded", None),
        (None, "other", None),
        ({"httpConnectionFailed": {"httpStatusCode": 503}}, "httpConnectionFailed", 503),
        ({"httpConnectionFailed": {"httpStatusCode": None}}, "httpConnectionFailed", None),
        ({"responseTooManyFailedAttempts": {}}, "responseTooManyFailedAttempts", None),
        ({"brandNew": None}, "brandNew", None),
        ({"activeTurnNotSteerable": {"turnKind": "review"}}, "activeTurnNotSteerable", None),
        ({}, "other", None),
    ],
)
def test_a_failure_has_a_kind_with_or_without_details(info: Any, kind: str, http_status: int | None):
    failure = convert({"message": "m", "codexErrorInfo": info}, CodexFailure)

    assert (failure.message, failure.kind, failure.http_status) == ("m", kind, http_status)


def test_a_failure_without_a_kind_is_of_the_kind_other():
    assert convert({"message": "m"}, CodexFailure).kind == "other"


@pytest.mark.parametrize(
    ("completed", "failure"),
    [
        (LoginCompleted(success=True), None),
        (LoginCompleted(success=False, error="no"), "no"),
        (LoginCompleted(success=False), "codex does not say why"),
    ],
)
def test_a_failed_login_has_a_reason(completed: LoginCompleted, failure: str | None):
    assert completed.failure == failure


@pytest.mark.parametrize("request_id", [0, 7, "q"])
def test_a_tool_call_keeps_the_request_that_must_be_answered(request_id: int | str):
    request = Request(request_id, "item/tool/call", TOOL_CALL)

    assert read_request(request) == ToolCallAsked("t", "u", "c", "add", {"a": 1}, request=request)


@pytest.mark.parametrize("text", ['{"a": 1}', '{"a": "é 😀"}', "[1e400, 123456789012345678901234567890]", "null"])
def test_the_arguments_of_a_tool_call_are_written_again_as_json(text: str):
    asked = read_request(Request(1, "item/tool/call", {**TOOL_CALL, "arguments": json.loads(text)}))

    assert asked is not None
    assert json.loads(asked.arguments) == json.loads(text)


@pytest.mark.parametrize(
    "method", ["currentTime/read", "item/commandExecution/requestApproval", "item/tool/requestUserInput", ""]
)
def test_a_request_that_we_do_not_serve_is_skipped_unread(method: str):
    assert read_request(Request(1, method, None)) is None


@pytest.mark.parametrize("missing", ["threadId", "turnId", "callId", "tool", "arguments"])
def test_a_tool_call_without_a_required_parameter_is_malformed(missing: str):
    rest = {key: value for key, value in TOOL_CALL.items() if key != missing}

    with pytest.raises(ValidationError, match=missing):
        read_request(Request(1, "item/tool/call", rest))


@given(garbage)
@settings(deadline=None)
def test_random_parameters_are_a_tool_call_or_malformed(params: Any):
    request = Request(1, "item/tool/call", params)
    try:
        asked = read_request(request)
    except ValidationError:
        return
    ids, call = (params["threadId"], params["turnId"], params["callId"]), (params["tool"], params["arguments"])
    assert asked == ToolCallAsked(*ids, *call, params.get("namespace"), request=request)


@pytest.mark.parametrize(
    ("output", "items"),
    [
        ("4", [{"type": "inputText", "text": "4"}]),
        ("", [{"type": "inputText", "text": ""}]),
        ([], []),
        ([{"type": "input_text", "text": "4"}], [{"type": "inputText", "text": "4"}]),
        (
            [
                {"type": "input_text", "text": "before"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "high"},
                {"type": "input_text", "text": "after"},
            ],
            [
                {"type": "inputText", "text": "before"},
                {"type": "inputImage", "imageUrl": "data:image/png;base64,AA=="},
                {"type": "inputText", "text": "after"},
            ],
        ),
    ],
)
def test_the_output_of_a_tool_becomes_content_items(output: Any, items: list[dict[str, Any]]):
    assert tool_call_result(output) == {"contentItems": items, "success": True}


def test_usages_are_added_field_by_field():
    assert TokenUsage(1, 2, 3, 4) + TokenUsage(10, 20, 30, 40) == TokenUsage(11, 22, 33, 44)


def test_codex_is_never_asked_to_leave_out_a_notification_that_we_read():
    assert set(UNWANTED).isdisjoint(METHODS)
    assert len(set(UNWANTED)) == len(UNWANTED)
