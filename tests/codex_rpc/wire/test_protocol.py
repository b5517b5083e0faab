"""Calls with their parameters and results, and notifications as events, in codex's own words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from codex_rpc.wire.messages import Request
from codex_rpc.wire.protocol import (
    AccountChanged,
    CodexFailure,
    ErrorReported,
    Event,
    LoginCompleted,
    MessageDelta,
    RawItemCompleted,
    ReasoningDelta,
    ResponseCompleted,
    TokenUsage,
    ToolCallAsked,
    TurnCompleted,
    Warned,
    read_event,
    read_failure,
    read_request,
    tool_call_result,
)

NEWS_OF_THE_ACCOUNT = (AccountChanged, LoginCompleted)

MALFORMED = (KeyError, TypeError, ValueError, AttributeError)
"""What the client takes for a malformed message of codex."""

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
            Model("gpt-x-codex", ("low", "xhigh"), {"fast": "priority"}, hidden=False),
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
    ("turn/completed", {"threadId": "t", "turn": TURN}, TurnCompleted("t", "u", "completed", None)),
    (
        "turn/completed",
        {"threadId": "t", "turn": {"id": "u", "items": [], "status": "interrupted"}},
        TurnCompleted("t", "u", "interrupted", None),
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
        TurnCompleted("t", "u", "failed", CodexFailure("cut", "responseStreamDisconnected", 502)),
    ),
    ("account/updated", {"authMode": "chatgpt", "planType": "plus"}, AccountChanged()),
    ("account/login/completed", {"loginId": "l", "success": True, "error": None}, LoginCompleted("l", None)),
    ("account/login/completed", {"loginId": "l", "success": False, "error": "no"}, LoginCompleted("l", "no")),
    ("account/login/completed", {"success": False}, LoginCompleted(None, "codex does not say why")),
]
METHODS = sorted({method for method, _, _ in EVENTS})

LEFT_OPEN: dict[tuple[str, str], Event | None] = {
    ("rawResponse/completed", "usage"): ResponseCompleted("t", "u", None),
    ("warning", "threadId"): None,
}
"""Parameters that the schema leaves open, and what a notification without them means."""

UNREAD = {
    ("rawResponse/completed", "responseId"),
    ("item/reasoning/summaryTextDelta", "summaryIndex"),
    ("item/reasoning/summaryPartAdded", "summaryIndex"),
    ("item/reasoning/textDelta", "contentIndex"),
}
"""Parameters that make no difference to us."""

TOOL_CALL = {"threadId": "t", "turnId": "u", "callId": "c", "tool": "add", "arguments": {"a": 1}, "namespace": None}


@pytest.mark.parametrize(("call", "method", "params", "result", "value"), CALLS)
def test_a_call_carries_its_parameters_and_reads_its_result(
    call: Call[Any], method: str, params: dict[str, Any], result: Any, value: Any
):
    assert (call.method, call.params) == (method, params)
    assert call.read(result) == value


@pytest.mark.parametrize(
    "call", [initialize("n", "1"), account_read(), config_read(), model_list(), thread_start({}), turn_start("t")]
)
@pytest.mark.parametrize("result", ["null", "{}", "[]", '"text"', '{"thread":{}}', '{"turn":null}', '{"data":[{}]}'])
def test_a_result_without_what_the_protocol_promises_is_malformed(call: Call[Any], result: str):
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
def test_codex_can_answer_when_somebody_is_logged_in_or_nobody_needs_to_be(account: Account, ready: bool):
    assert account.ready is ready


@pytest.mark.parametrize(("method", "params", "event"), EVENTS)
def test_a_notification_is_read_as_its_event(method: str, params: dict[str, Any], event: Event):
    assert read_event(method, params) == event


@pytest.mark.parametrize("method", ["thread/tokenUsage/updated", "brand/new", "", "Error"])
def test_a_notification_that_we_do_not_use_is_skipped_unread(method: str):
    assert read_event(method, None) is None


def test_the_echo_of_an_injected_item_is_no_event():
    echo = {"threadId": "t", "turnId": "auto-compact-0", "item": ITEM}

    assert read_event("rawResponseItem/completed", echo) is None


def test_a_new_part_of_a_summary_is_an_empty_piece():
    part = {"threadId": "t", "turnId": "u", "itemId": "i", "summaryIndex": 0}

    assert read_event("item/reasoning/summaryPartAdded", part) == ReasoningDelta("t", "u", "i", "")


@pytest.mark.parametrize("params", [{"message": "careful"}, {"threadId": None, "message": "careful"}])
def test_a_warning_that_is_about_no_thread_is_no_event(params: dict[str, Any]):
    assert read_event("warning", params) is None


@pytest.mark.parametrize(
    ("method", "params", "event", "missing"),
    [
        (method, params, event, key)
        for method, params, event in EVENTS
        if not isinstance(event, NEWS_OF_THE_ACCOUNT)
        for key in params
    ],
)
def test_a_notification_may_lack_only_what_the_schema_leaves_open_or_we_do_not_read(
    method: str, params: dict[str, Any], event: Event, missing: str
):
    rest = {key: value for key, value in params.items() if key != missing}
    if (method, missing) in LEFT_OPEN:
        assert read_event(method, rest) == LEFT_OPEN[method, missing]
    elif (method, missing) in UNREAD:
        assert read_event(method, rest) == event
    else:
        with pytest.raises(KeyError):
            read_event(method, rest)


names = st.sampled_from(
    [
        *("threadId", "turnId", "callId", "itemId", "id", "turn", "item", "delta", "summaryIndex"),
        *("message", "usage", "error", "willRetry"),
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
    except MALFORMED:
        return
    assert event is None or isinstance(event, Event)


@pytest.mark.parametrize(
    ("info", "failure"),
    [
        ("contextWindowExceeded", CodexFailure("m", "contextWindowExceeded", None)),
        (None, CodexFailure("m", "other", None)),
        ({"httpConnectionFailed": {"httpStatusCode": 503}}, CodexFailure("m", "httpConnectionFailed", 503)),
        ({"httpConnectionFailed": {"httpStatusCode": None}}, CodexFailure("m", "httpConnectionFailed", None)),
        ({"responseTooManyFailedAttempts": {}}, CodexFailure("m", "responseTooManyFailedAttempts", None)),
        ({"brandNew": None}, CodexFailure("m", "brandNew", None)),
        ({"activeTurnNotSteerable": {"turnKind": "review"}}, CodexFailure("m", "activeTurnNotSteerable", None)),
        ({}, CodexFailure("m", "other", None)),
    ],
)
def test_a_failure_is_known_by_its_name_whether_it_has_details_or_not(info: Any, failure: CodexFailure):
    assert read_failure({"message": "m", "codexErrorInfo": info}) == failure


def test_a_failure_without_a_name_is_some_other_one():
    assert read_failure({"message": "m"}) == CodexFailure("m", "other", None)


@pytest.mark.parametrize("request_id", [0, 7, "q"])
def test_a_call_of_a_tool_keeps_the_request_that_is_to_be_answered(request_id: int | str):
    request = Request(request_id, "item/tool/call", TOOL_CALL)

    assert read_request(request) == ToolCallAsked("t", "u", "c", request, "add")


@pytest.mark.parametrize(
    "method", ["currentTime/read", "item/commandExecution/requestApproval", "item/tool/requestUserInput", ""]
)
def test_a_call_that_we_do_not_serve_is_skipped_unread(method: str):
    assert read_request(Request(1, method, None)) is None


@pytest.mark.parametrize("missing", ["threadId", "turnId", "callId", "tool"])
def test_a_call_of_a_tool_names_its_thread_its_turn_and_itself(missing: str):
    rest = {key: value for key, value in TOOL_CALL.items() if key != missing}

    with pytest.raises(KeyError):
        read_request(Request(1, "item/tool/call", rest))


@given(garbage)
@settings(deadline=None)
def test_random_parameters_are_a_call_of_a_tool_or_malformed(params: Any):
    request = Request(1, "item/tool/call", params)
    try:
        asked = read_request(request)
    except (KeyError, TypeError):
        return
    assert asked == ToolCallAsked(
        params["threadId"], params["turnId"], params["callId"], request, params["tool"], params.get("namespace")
    )


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
def test_the_output_of_a_tool_becomes_the_content_of_its_answer(output: Any, items: list[dict[str, Any]]):
    assert tool_call_result(output) == {"contentItems": items, "success": True}


def test_usages_add_up_part_by_part():
    assert TokenUsage(1, 2, 3, 4) + TokenUsage(10, 20, 30, 40) == TokenUsage(11, 22, 33, 44)


def test_codex_is_never_asked_to_leave_out_what_we_read():
    assert set(UNWANTED).isdisjoint(METHODS)
    assert len(set(UNWANTED)) == len(UNWANTED)
