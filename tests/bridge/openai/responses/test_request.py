from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response
from pydantic import TypeAdapter

from bridge.conversation.limits import Limits
from bridge.conversation.prompt import Item, function_call, function_call_output, message
from bridge.conversation.tools import Tool, Toolbox, codex_name
from bridge.errors import ApiError
from bridge.openai.answer_format import JSON_OBJECT
from bridge.openai.model_settings import MUST_CALL, MUST_CALL_ONE
from bridge.openai.responses.fields import read_body
from bridge.openai.responses.input import Recent
from bridge.openai.responses.object import response_usage
from bridge.openai.responses.request import HalfParsedRequest, ResponseRequest
from bridge.openai.responses.request import begin as begin_body
from codex_rpc.wire.events import TokenUsage
from tests.harness.open_responses import check_response

STRICT: TypeAdapter[Response] = TypeAdapter(Response)
LOOK: dict[str, Any] = {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}}
EDIT: dict[str, Any] = {"type": "custom", "name": "edit"}
LARK: dict[str, Any] = {"syntax": "lark", "definition": "start: /x/"}
HI = message("user", "Hi.")


def begin(body: object, history: Sequence[dict[str, Any]] = (), recent: Recent | None = None) -> HalfParsedRequest:
    return begin_body(read_body(body), history, recent)


def parse(
    body: object,
    history: Sequence[dict[str, Any]] = (),
    stored: Mapping[str, dict[str, Any]] = MappingProxyType({}),
    recent: Recent | None = None,
) -> ResponseRequest:
    return begin(body, history, recent).read(stored)


def read(**fields: Any) -> ResponseRequest:
    return parse({"model": "gpt", "input": "Hi.", **fields})


def refused(body: object) -> tuple[int, str | None, str | None]:
    with pytest.raises(ApiError) as caught:
        parse(body)
    return caught.value.status, caught.value.param, caught.value.code


def response(**fields: Any) -> dict[str, Any]:
    """The finished response object, which the strict client must take."""
    clock = iter([1768247311, 1768247320])
    finished = json.loads(json.dumps(read(**fields).frame("k", clock.__next__).response("completed")))
    STRICT.validate_python(finished)
    check_response({**finished, "usage": response_usage(TokenUsage(1, 0, 1, 0))})
    return finished


# ── Input ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "items"),
    [
        ({}, [HI]),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi."}]}]}, [HI]),
        ({"instructions": "Be."}, [message("developer", "Be."), HI]),
        ({"instructions": ""}, [HI]),
        ({"instructions": None}, [HI]),
        (
            {"input": [{"role": "system", "content": "Be."}, {"role": "developer", "content": "Do."}]},
            [message("developer", "Be."), message("developer", "Do.")],
        ),
        (
            {
                "tools": [EDIT],
                "input": [
                    {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "edit", "input": "+x"},
                    {"type": "custom_tool_call_output", "call_id": "c", "output": "Done."},
                ],
            },
            [function_call("c", "edit", '{"input":"+x"}'), function_call_output("c", "Done.")],
        ),
        (
            {
                "tools": [{"type": "namespace", "name": "web", "tools": [LOOK]}],
                "input": [
                    {
                        "type": "function_call",
                        "call_id": "c",
                        "namespace": "functions",
                        "name": "exec_command",
                        "arguments": "{}",
                    },
                    {"type": "function_call_output", "call_id": "c", "output": ""},
                ],
            },
            [function_call("c", codex_name("exec_command"), "{}"), function_call_output("c", "")],
        ),
    ],
    ids=["text", "parts", "instructions", "empty", "null", "system", "custom call", "call in no namespace"],
)
def test_the_model_sees_the_instructions_and_then_the_input(fields: dict[str, Any], items: list[Item]) -> None:
    assert list(read(**fields).items) == items


def test_earlier_responses_stand_between_the_instructions_and_the_input_and_are_not_repeated() -> None:
    earlier = [{"role": "user", "content": "One?"}, {"type": "message", "role": "assistant", "content": "One."}]
    asked = parse({"model": "gpt", "input": "Hi.", "instructions": "Be.", "previous_response_id": "resp_1"}, earlier)
    said = [message("user", "One?"), message("assistant", "One.")]
    assert list(asked.items) == [message("developer", "Be."), *said, HI]
    assert asked.input == [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}]
    assert asked.previous == "resp_1"


def test_an_output_answers_a_call_of_an_earlier_response() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    asked = parse({"model": "gpt", "input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, [call])
    assert list(asked.items) == [function_call("c", "look", "{}"), function_call_output("c", "x")]


def test_an_output_that_an_earlier_response_has_already_is_left_out_and_named_if_it_differs() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    earlier = [call, {"type": "function_call_output", "call_id": "c", "output": "x"}]
    for again, ignored in (("x", ()), ("y", ("input[].output",))):
        output = {"type": "function_call_output", "call_id": "c", "output": again}
        asked = parse({"model": "gpt", "input": [output, {"role": "user", "content": "Hi."}]}, earlier)
        assert list(asked.items) == [function_call("c", "look", "{}"), function_call_output("c", "x"), HI]
        assert asked.ignored == ignored


SECRET: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"}
BARE: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": []}
STORED: dict[str, Any] = {"type": "message", "id": "msg_1", "role": "assistant", "content": "Stored."}


def test_what_an_input_refers_to_is_looked_up() -> None:
    reference = {"type": "item_reference", "id": "msg_1"}
    given = [reference, {"id": "msg_2"}, BARE, SECRET, {"role": "user", "content": "Hi."}, {"id": "x", "role": "user"}]
    assert begin({"model": "gpt", "input": given}).input.references() == ("msg_1", "msg_2", "rs_1")
    assert begin({"model": "gpt", "input": "Hi."}).input.references() == ()
    found = {"msg_1": STORED, "rs_1": SECRET}
    asked = parse({"model": "gpt", "input": [BARE, {"id": "msg_1"}, {"role": "user", "content": "Hi."}]}, (), found)
    assert list(asked.items) == [SECRET, message("assistant", "Stored."), HI]
    assert asked.input[:2] == [SECRET, STORED]


def test_reasoning_that_is_not_stored_is_left_out_while_another_item_is_missed() -> None:
    assert list(read(input=[BARE, {"role": "user", "content": "Hi."}]).items) == [HI]
    assert refused({"model": "gpt", "input": [{"role": "user", "content": "Hi."}, {"id": "msg_1"}]}) == (
        400,
        "input[1].id",
        "item_not_found",
    )


def test_items_of_the_input_declare_tools() -> None:
    """Source: what the Codex CLI sends."""
    search: dict[str, Any] = {"type": "tool_search", "execution": "client", "description": "Finds.", "parameters": {}}
    given = [
        {"type": "additional_tools", "role": "developer", "tools": [EDIT]},
        {"type": "tool_search_call", "call_id": "c", "arguments": {"query": "look"}, "execution": "client"},
        {"type": "tool_search_output", "call_id": "c", "tools": [LOOK], "execution": "client"},
    ]
    asked = read(tools=[search], input=given)
    look = Tool.function("look", "Looks.", LOOK["parameters"])
    assert asked.settings.toolbox == Toolbox((Tool.search("Finds.", {}), Tool.custom("edit", "", None), look))
    assert [item["type"] for item in asked.items] == ["function_call", "function_call_output"]
    assert asked.items[0] == function_call("c", "tool_search", '{"query":"look"}')
    assert json.loads(asked.items[1]["output"]) == [LOOK]


# ── Settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("fields", "settings"),
    [
        ({"reasoning": {"effort": "high"}}, {"effort": "high"}),
        ({"reasoning_effort": "low"}, {"effort": "low"}),
        ({"service_tier": "priority"}, {"tier": "priority"}),
        ({"service_tier": "auto"}, {"tier": None}),
        ({"service_tier": "default"}, {"tier": None}),
        ({"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "text"}}}, {"schema": None, "format_note": None}),
        ({"text": {"format": {"type": "json_object"}}}, {"schema": None, "format_note": JSON_OBJECT}),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}},
            {"schema": SCHEMA, "format_note": None},
        ),
        ({"max_output_tokens": 16}, {"limits": Limits((), 16)}),
        ({"parallel_tool_calls": False}, {"one_call_at_a_time": True}),
        ({"parallel_tool_calls": True}, {"one_call_at_a_time": False}),
        ({"prompt_cache_key": "chat 7"}, {"cache_key": "chat 7"}),
        ({"tools": [LOOK], "tool_choice": "required"}, {"choice_note": MUST_CALL}),
        (
            {"tools": [LOOK], "tool_choice": {"type": "function", "name": "look"}},
            {"choice_note": MUST_CALL_ONE.format(name="look")},
        ),
        ({"tools": [LOOK], "tool_choice": "none"}, {"toolbox": Toolbox(), "choice_note": None}),
        ({"tools": [{"type": "web_search"}]}, {"toolbox": Toolbox((), {"mode": "live"})}),
        (
            {
                "tools": [LOOK, {"type": "web_search"}],
                "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]},
            },
            {"toolbox": Toolbox((), {"mode": "live"}), "choice_note": None},
        ),
    ],
    ids=str,
)
def test_a_field_becomes_a_setting(fields: dict[str, Any], settings: dict[str, Any]) -> None:
    read_settings = read(**fields).settings
    assert {name: getattr(read_settings, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"stream": False, "store": True, "encrypted": False, "summary": "none", "previous": None}),
        ({"stream": True, "store": False}, {"stream": True, "store": False}),
        ({"stream": None, "store": None}, {"stream": False, "store": True}),
        ({"include": ["reasoning.encrypted_content"]}, {"encrypted": True, "ignored": ()}),
        ({"include": None}, {"encrypted": False, "ignored": ()}),
        ({"reasoning": {"summary": "auto"}}, {"summary": "auto"}),
        ({"reasoning": {"generate_summary": "detailed"}}, {"summary": "detailed"}),
        ({"reasoning": {"summary": None}}, {"summary": "none"}),
    ],
    ids=str,
)
def test_a_field_says_how_to_answer(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    asked = read(**fields)
    assert {name: getattr(asked, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("fields", "ignored"),
    [
        (
            {"temperature": 0.2, "top_p": 1, "user": "u", "top_logprobs": 2},
            ("temperature", "top_logprobs", "top_p", "user"),
        ),
        ({"max_tool_calls": 3, "safety_identifier": "s"}, ("max_tool_calls", "safety_identifier")),
        ({"prompt_cache_retention": "24h", "context_management": []}, ("prompt_cache_retention",)),
        ({"truncation": "auto"}, ("truncation",)),
        ({"truncation": "disabled", "temperature": None}, ()),
        (
            {"include": ["web_search_call.action.sources", "file_search_call.results", "reasoning.encrypted_content"]},
            ("include[file_search_call.results]", "include[web_search_call.action.sources]"),
        ),
        ({"metadata": {"a": "b"}, "stream_options": {"include_obfuscation": False}, "of_the_future": None}, ()),
        ({"of_the_future": 1, "moderation": {}, "n": 2}, ("moderation", "n", "of_the_future")),
        ({"background_options": {}, "reasoning": {"mode": "x"}}, ("background_options", "reasoning.mode")),
        ({"tools": [{**LOOK, "strict": True}]}, ("tools[].strict",)),
        ({"input": [{"role": "user", "content": "Hi.", "id": "m", "status": "completed", "type": "message"}]}, ()),
        ({"input": [{"role": "user", "content": "Hi.", "name": "Ann"}]}, ("input[].name",)),
        (
            {"input": [{"type": "reasoning", "encrypted_content": "e", "content": [{"text": "Hm."}], "summary": []}]},
            ("input[].content",),
        ),
    ],
    ids=str,
)
def test_what_has_no_effect_is_named(fields: dict[str, Any], ignored: tuple[str, ...]) -> None:
    assert read(**fields).ignored == ignored


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": None}, "model", "invalid_type"),
        ({"input": None}, "input", "empty_array"),
        ({"input": ""}, "input", "empty_array"),
        ({"input": []}, "input", "empty_array"),
        ({"input": 5}, "input", "invalid_type"),
        ({"input": {"role": "user", "content": "Hi."}}, "input", "invalid_type"),
        ({"input": ["Hi."]}, "input[0]", "invalid_type"),
        ({"instructions": ["Be."]}, "instructions", "invalid_type"),
        ({"background": True, "store": False}, "store", "invalid_value"),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, "conversation", "invalid_value"),
        ({"conversation": {"name": "x"}}, "conversation.id", "missing_parameter"),
        ({"conversation": 5}, "conversation", "invalid_type"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_value"),
        ({"include": ["message.output_text.logprobs"]}, "include", "unsupported_value"),
        ({"include": "reasoning.encrypted_content"}, "include", "invalid_type"),
        ({"include": ["a.b", 5]}, "include[1]", "invalid_type"),
        ({"include": ["a\r\nb: c"]}, "include[0]", "invalid_value"),
        ({"include": ["ä"]}, "include[0]", "invalid_value"),
        ({"truncation": "some"}, "truncation", "invalid_value"),
        ({"truncation": True}, "truncation", "invalid_type"),
        ({"reasoning": "high"}, "reasoning", "invalid_type"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort", "invalid_type"),
        ({"reasoning": {"summary": "long"}}, "reasoning.summary", "invalid_value"),
        ({"reasoning": {"summary": True}}, "reasoning.summary", "invalid_type"),
        ({"text": "x"}, "text", "invalid_type"),
        ({"text": {"verbosity": "chatty"}}, "text.verbosity", "invalid_value"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema", "missing_parameter"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
        ({"max_output_tokens": "16"}, "max_output_tokens", "invalid_type"),
        ({"max_tool_calls": "3"}, "max_tool_calls", "invalid_type"),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
        ({"metadata": "a"}, "metadata", "invalid_type"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"top_p": True}, "top_p", "invalid_type"),
        ({"user": 5}, "user", "invalid_type"),
        ({"safety_identifier": 5}, "safety_identifier", "invalid_type"),
        ({"prompt_cache_key": 5}, "prompt_cache_key", "invalid_type"),
        ({"service_tier": 5}, "service_tier", "invalid_type"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"store": "no"}, "store", "invalid_type"),
        ({"parallel_tool_calls": 0}, "parallel_tool_calls", "invalid_type"),
        ({"previous_response_id": 5}, "previous_response_id", "invalid_type"),
        ({"tools": {}}, "tools", "invalid_type"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools[0].type", "unsupported_value"),
        ({"tools": [{"type": "tool_search"}]}, "tools[0].type", "unsupported_value"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "function", "name": "look"}}, "tool_choice", "invalid_value"),
        ({"input": [{"type": ["message"]}]}, "input[0].type", "unsupported_content"),
        ({"input": [{"type": "additional_tools", "tools": 5}]}, "input[0].tools", "invalid_type"),
        (
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]},
            "input",
            "invalid_value",
        ),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input", "invalid_value"),
        ({"input": [{"type": "computer_call_output", "call_id": "c"}]}, "input[0].type", "unsupported_content"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input[0].content[0]",
            "unsupported_content",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
            "unsupported_content",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x.test/a.png"}]}]},
            "input[0].content[0].image_url",
            "invalid_image_url",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_honoured_is_refused_by_its_name(fields: dict[str, Any], param: str, code: str) -> None:
    assert refused({"model": "gpt", "input": "Hi.", **fields}) == (400, param, code)


@pytest.mark.parametrize("body", [None, 5, "Hi.", [{}]])
def test_a_body_must_be_an_object(body: object) -> None:
    assert refused(body) == (400, "body", "invalid_type")


def test_a_model_must_be_named() -> None:
    assert refused({"input": "Hi."}) == (400, "model", "missing_parameter")


# ── What the response repeats ────────────────────────────────────────────────────────────────────────────────────────


def test_a_response_repeats_defaults_for_what_was_not_sent() -> None:
    assert response() == {
        "id": "resp_k",
        "object": "response",
        "created_at": 1768247311,
        "completed_at": 1768247320,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "frequency_penalty": 0.0,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "model": "gpt",
        "output": [],
        "parallel_tool_calls": True,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
    }


FUNCTION = {**LOOK, "strict": False}
CUSTOM = {**EDIT, "description": None, "format": {"type": "text"}}
BARE_LOOK = {"type": "function", "name": "look", "description": None, "parameters": None, "strict": False}


@pytest.mark.parametrize(
    ("fields", "repeated"),
    [
        ({"instructions": "Be."}, {"instructions": "Be."}),
        ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
        ({"user": "u"}, {"user": "u"}),
        ({"temperature": 0.2, "top_p": 0}, {"temperature": 1.0, "top_p": 1.0}),
        ({"presence_penalty": 1, "frequency_penalty": 1}, {"presence_penalty": 0.0, "frequency_penalty": 0.0}),
        ({"max_output_tokens": 9, "max_tool_calls": 3}, {"max_output_tokens": 9, "max_tool_calls": None}),
        ({"parallel_tool_calls": False, "store": False}, {"parallel_tool_calls": False, "store": False}),
        ({"previous_response_id": "resp_1"}, {"previous_response_id": "resp_1"}),
        ({"prompt_cache_key": "k", "safety_identifier": "s"}, {"prompt_cache_key": "k", "safety_identifier": "s"}),
        (
            {"reasoning": {"effort": "high", "summary": "auto"}},
            {"reasoning": {"effort": "high", "summary": "auto"}},
        ),
        ({"reasoning": {"summary": "none"}}, {"reasoning": {"effort": None, "summary": None}}),
        ({"text": {"verbosity": "low"}}, {"text": {"format": {"type": "text"}, "verbosity": "low"}}),
        ({"text": {"format": None}}, {"text": {"format": {"type": "text"}}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
        ),
        ({"text": {"format": {"type": "json_object"}}}, {"text": {"format": {"type": "json_object"}}}),
        (
            {"response_format": {"type": "json_object"}, "text": None},
            {"text": {"format": {"type": "text"}}},
        ),
        (
            {"text": {"format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}}},
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
        ),
        ({"truncation": "auto"}, {"truncation": "disabled"}),
        ({"tools": [LOOK]}, {"tools": [FUNCTION]}),
        ({"tools": [{**LOOK, "strict": True}]}, {"tools": [FUNCTION]}),
        ({"tools": [{**LOOK, "type": None}]}, {"tools": [FUNCTION]}),
        ({"tools": [{"type": "function", "function": LOOK}]}, {"tools": [FUNCTION]}),
        ({"tools": [{"name": "look"}]}, {"tools": [BARE_LOOK]}),
        ({"tools": [EDIT]}, {"tools": [CUSTOM]}),
        ({"tools": [{"custom": {"name": "edit"}}]}, {"tools": [CUSTOM]}),
        (
            {"tools": [{"type": "custom", "custom": {**EDIT, "format": {"type": "grammar", "grammar": LARK}}}]},
            {"tools": [{**CUSTOM, "format": {"type": "grammar", **LARK}}]},
        ),
        (
            {"tools": [{**EDIT, "format": {"type": "grammar", **LARK}}]},
            {"tools": [{**CUSTOM, "format": {"type": "grammar", **LARK}}]},
        ),
        (
            {"tools": [{"type": "namespace", "name": "web", "tools": [{"name": "look"}, EDIT]}]},
            {"tools": [{"type": "namespace", "name": "web", "description": "", "tools": [BARE_LOOK, CUSTOM]}]},
        ),
        ({"tools": [{"type": "web_search"}]}, {"tools": [{"type": "web_search"}]}),
        (
            {"tools": [{"type": "tool_search", "execution": "client"}]},
            {"tools": [{"type": "tool_search", "execution": "client"}]},
        ),
        ({"tools": [LOOK], "tool_choice": "required"}, {"tool_choice": "required"}),
        ({"tools": [LOOK], "tool_choice": "any"}, {"tool_choice": "required"}),
        ({"tools": [LOOK], "tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
        ({"tools": [LOOK], "tool_choice": {"name": "look"}}, {"tool_choice": {"type": "function", "name": "look"}}),
        (
            {"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "look"}}},
            {"tool_choice": {"type": "function", "name": "look"}},
        ),
        (
            {"tools": [EDIT], "tool_choice": {"type": "custom", "name": "edit"}},
            {"tool_choice": {"type": "custom", "name": "edit"}},
        ),
        (
            {"tools": [LOOK], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}},
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
        ),
    ],
    ids=str,
)
def test_a_response_repeats_what_was_sent_in_the_forms_of_the_api(
    fields: dict[str, Any], repeated: dict[str, Any]
) -> None:
    answered = response(**fields)
    assert {name: answered[name] for name in repeated} == repeated


FIELDS = [
    "background",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "metadata",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "reasoning",
    "service_tier",
    "store",
    "stream",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "truncation",
]
NAMES = st.sampled_from([*FIELDS, "type", "name", "role", "content", "id", "function", "custom", "format", "call_id"])
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.sampled_from(["auto", "function", "message", "user", "look", ""])
)
GARBAGE = st.recursive(LEAVES, lambda some: st.lists(some, max_size=3) | st.dictionaries(NAMES, some, max_size=4))


@given(st.dictionaries(st.sampled_from(FIELDS), GARBAGE, max_size=5))
@settings(deadline=None)
def test_garbage_gives_a_request_or_an_error_of_ours(body: dict[str, Any]) -> None:
    with suppress(ApiError):
        STRICT.validate_python(
            parse({"input": "Hi.", "model": "gpt", **body}).frame("k", lambda: 1).response("completed")
        )
