from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bridge.codex.models import ModelChoice
from bridge.config import ReasoningDisplay
from bridge.conversation.limits import Limits
from bridge.conversation.prompt import Item, Prompt, function_call, function_call_output, message
from bridge.conversation.tools import Tool, Toolbox, codex_name
from bridge.errors import ApiError
from bridge.openai.answer_format import BY_INSTRUCTION, JSON_OBJECT
from bridge.openai.chat.request import ChatRequest, parse
from bridge.openai.history import short_id
from bridge.openai.model_settings import MUST_CALL, MUST_CALL_ONE, ModelSettings
from bridge.openai.responses.input import Recent

PNG = "data:image/png;base64,iVBORw0KGgo="
HELLO: Mapping[str, Any] = {"role": "user", "content": "Hello"}
HELLO_ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}


LOOK = Tool.function("look", "Looks.", {})
DOTTED = Tool.function("fs.read", "", {})
PATCH = Tool.custom("ApplyPatch", "", None)
BOX = Toolbox((LOOK, DOTTED, PATCH))
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "look", "description": "Looks."}},
    {"type": "function", "name": "fs.read"},
    {"type": "custom", "custom": {"name": "ApplyPatch"}},
]
STRICT: dict[str, Any] = {
    "type": "object",
    "properties": {"at": {"type": "string"}},
    "required": ["at"],
    "additionalProperties": False,
}
STRICT_TEXT = '{"type":"object","properties":{"at":{"type":"string"}},"required":["at"],"additionalProperties":false}'
OPEN: dict[str, Any] = {"type": "object", "properties": {"at": {"type": "string"}}}
OPEN_NOTE = BY_INSTRUCTION + '{"type":"object","properties":{"at":{"type":"string"}}}'


def schema_format(schema: object, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, **more}}


def request(**fields: Any) -> ChatRequest:
    """Parse a request that says hello, with these fields too."""
    return parse({"model": "2.5-tpg", "messages": [HELLO], **fields})


def items(*messages: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(request(messages=list(messages)).items)


def parsed(**changes: Any) -> ChatRequest:
    """The same request as it must be read, with these differences."""
    plain: dict[str, Any] = {"items": (HELLO_ITEM,), "choices": 1, "stream": False, "usage_chunk": False, "ignored": ()}
    plain["old_calls"] = False
    own = {name: value for name, value in changes.items() if name in plain}
    settings = {name: value for name, value in changes.items() if name not in plain}
    return ChatRequest(settings=replace(ModelSettings(model="2.5-tpg"), **settings), **plain | own)


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({}, {}),
        ({"stream": False, "stream_options": None, "reasoning_effort": None}, {}),
        ({"stream": True}, {"stream": True}),
        ({"stream": True, "stream_options": {}}, {"stream": True}),
        ({"stream": True, "stream_options": {"include_usage": False}}, {"stream": True}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True, "usage_chunk": True}),
        ({"reasoning_effort": "high"}, {"effort": "high", "effort_field": "reasoning_effort"}),
        ({"n": 1, "logprobs": False, "response_format": {"type": "text"}}, {}),
        ({"n": None, "logprobs": None, "response_format": None}, {}),
        ({"tools": [], "functions": []}, {}),
        ({"tools": None, "functions": None}, {}),
        ({"a_field_of_the_future": {"deep": [1]}}, {"ignored": ("a_field_of_the_future",)}),
        ({"top_p": 0.5, "temperature": 0, "seed": None, "stop": []}, {"ignored": ("temperature", "top_p")}),
        ({"model": ""}, {"model": ""}),
        ({"background": False, "function_call": None}, {}),
        ({"tools": TOOLS}, {"toolbox": BOX}),
        ({"tools": TOOLS, "tool_choice": "auto"}, {"toolbox": BOX}),
        ({"tools": TOOLS, "tool_choice": "none"}, {}),
        ({"tools": TOOLS, "tool_choice": "required"}, {"toolbox": BOX, "choice_note": MUST_CALL}),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "fs.read"}}},
            {"toolbox": BOX, "choice_note": MUST_CALL_ONE.format(name="fs.read")},
        ),
        ({"parallel_tool_calls": False}, {"one_call_at_a_time": True}),
        ({"parallel_tool_calls": True}, {}),
        ({"response_format": {"type": "json_object"}}, {"format_note": JSON_OBJECT}),
        ({"response_format": schema_format(STRICT)}, {"schema": STRICT}),
        ({"response_format": schema_format(STRICT, strict=False)}, {"format_note": BY_INSTRUCTION + STRICT_TEXT}),
        ({"response_format": schema_format(OPEN)}, {"format_note": OPEN_NOTE}),
        ({"text": {"format": {"type": "json_schema", "schema": STRICT}}}, {"schema": STRICT}),
        (
            {"text": {"format": {"type": "json_object"}, "verbosity": "low"}},
            {"format_note": JSON_OBJECT, "verbosity": "low"},
        ),
        ({"verbosity": "high"}, {"verbosity": "high"}),
        ({"service_tier": "auto"}, {}),
        ({"service_tier": "flex"}, {"tier": "flex"}),
        ({"prompt_cache_key": "mine"}, {"cache_key": "mine"}),
        ({"reasoning": {"effort": "low"}}, {"effort": "low"}),
        (
            {"reasoning": {"effort": "low"}, "reasoning_effort": "high"},
            {"effort": "high", "effort_field": "reasoning_effort"},
        ),
        ({"reasoning": {"effort": ""}}, {}),
        ({"max_tokens": 5}, {"limits": Limits(max_tokens=5)}),
        ({"max_tokens": 5, "max_completion_tokens": 7}, {"limits": Limits(max_tokens=7)}),
        ({"max_output_tokens": 1}, {"limits": Limits(max_tokens=1)}),
        ({"stop": "END"}, {"limits": Limits(("END",))}),
        ({"stop": ["a", "", "b"]}, {"limits": Limits(("a", "b"))}),
        ({"stop": ""}, {}),
        ({"n": 4}, {"choices": 4}),
    ],
    ids=[
        "least",
        "defaults spelt out",
        "stream",
        "empty stream options",
        "no usage chunk",
        "usage chunk",
        "effort",
        "harmless values",
        "null for what would be refused",
        "no tools",
        "null tools",
        "unknown field",
        "ignored",
        "empty model name",
        "more harmless values",
        "tools of every form",
        "choice auto",
        "choice none",
        "choice required",
        "choice of one tool",
        "one call at a time",
        "parallel calls",
        "a JSON object",
        "a strict schema",
        "a schema that is not to be strict",
        "a schema that cannot be strict",
        "a schema of Responses",
        "a format of Responses",
        "a verbosity",
        "the default tier",
        "a tier",
        "a name for the conversation",
        "effort of Responses",
        "both efforts",
        "empty effort",
        "old limit",
        "both limits",
        "limit of Responses",
        "one stop sequence",
        "stop sequences",
        "an empty stop sequence",
        "choices",
    ],
)
def test_a_request_is_read(fields: dict[str, Any], changes: dict[str, Any]) -> None:
    assert request(**fields) == parsed(**changes)


@pytest.mark.parametrize(
    "name",
    [
        "audio",
        "frequency_penalty",
        "include",
        "logit_bias",
        "metadata",
        "modalities",
        "prediction",
        "presence_penalty",
        "previous_response_id",
        "prompt_cache_retention",
        "safety_identifier",
        "seed",
        "store",
        "temperature",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
        "web_search_options",
        "moderation",
        "prompt_cache_options",
        "access_programs",
    ],
)
def test_a_parameter_that_only_tunes_is_accepted_and_reported(name: str) -> None:
    assert request(**{name: 1}) == parsed(ignored=(name,))


WITHOUT_EFFECT: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"reasoning": {"effort": "low", "mode": "x"}}, ("reasoning.mode",)),
    ({"reasoning": {"summary": "auto"}}, ("reasoning.summary",)),
    (
        {"stream_options": {"include_obfuscation": True, "new": 0}},
        ("stream_options.include_obfuscation", "stream_options.new"),
    ),
    ({"stream_options": {"include_obfuscation": False}}, ()),
    ({"text": {"format": {"type": "text", "new": 1}, "new": 1}}, ("text.format.new", "text.new")),
    ({"response_format": schema_format(STRICT, strict=True)}, ()),
    ({"response_format": schema_format(OPEN, strict=True)}, ("response_format.json_schema.strict",)),
    ({"response_format": {"type": "json_schema", "schema": OPEN, "strict": True}}, ("response_format.strict",)),
    ({"response_format": schema_format(OPEN)}, ()),
    ({"tools": [{**TOOLS[1], "strict": True}]}, ("tools[].strict",)),
    (
        {"messages": [{**HELLO, "name": "Ann"}, {**HELLO, "cache_control": {}}]},
        ("messages[].cache_control", "messages[].name"),
    ),
    ({"messages": [{**HELLO, "content": [{"type": "text", "text": "", "new": 1}]}]}, ("messages[].content[].new",)),
    ({"input": "Hello"}, ("input",)),
    ({"input": []}, ()),
    ({"ä\r\n": 1}, ("???",)),
]


@pytest.mark.parametrize(("fields", "ignored"), WITHOUT_EFFECT, ids=str)
def test_every_field_that_has_no_effect_is_named(fields: dict[str, Any], ignored: tuple[str, ...]) -> None:
    assert request(**fields).ignored == ignored


OLD_BOX = Toolbox((LOOK, DOTTED))


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({}, {"toolbox": OLD_BOX}),
        ({"function_call": "auto"}, {"toolbox": OLD_BOX}),
        ({"function_call": None}, {"toolbox": OLD_BOX}),
        ({"function_call": "none"}, {}),
        (
            {"function_call": {"name": "fs.read"}},
            {"toolbox": OLD_BOX, "choice_note": MUST_CALL_ONE.format(name="fs.read")},
        ),
        ({"function_call": "auto", "tool_choice": "required"}, {"toolbox": OLD_BOX, "choice_note": MUST_CALL}),
    ],
    ids=str,
)
def test_old_functions_are_tools_of_which_one_is_called_at_a_time(
    fields: dict[str, Any], changes: dict[str, Any]
) -> None:
    functions = [{"name": "look", "description": "Looks."}, {"name": "fs.read"}]
    expected = parsed(old_calls=True, one_call_at_a_time=True, **changes)
    assert request(functions=functions, **fields) == expected


def test_a_client_that_also_declares_tools_gets_calls_in_their_new_form() -> None:
    assert request(functions=[{"name": "look", "description": "Looks."}], tools=TOOLS[1:]) == parsed(
        toolbox=Toolbox((DOTTED, PATCH, LOOK))
    )


def old_call(name: str = "look") -> dict[str, Any]:
    return {"role": "assistant", "content": None, "function_call": {"name": name, "arguments": "{}"}}


def old_result(content: Any = "4") -> dict[str, Any]:
    return {"role": "function", "name": "look", "content": content}


@pytest.mark.parametrize("known", [0, 1, 3, 5])
def test_old_calls_and_their_results_find_each_other_without_ids(known: int) -> None:
    recent, messages = Recent(), [HELLO, old_call(), old_result(), old_call("fs.read"), old_result(None)]
    body = {"model": "m", "functions": [{"name": "look"}], "messages": messages}
    if known:
        parse({**body, "messages": messages[:known]}, recent=recent)
    assert list(parse(body, recent=recent).items) == [
        HELLO_ITEM,
        function_call("call_1_0", "look", "{}"),
        function_call_output("call_1_0", "4"),
        function_call("call_3_0", codex_name("fs.read"), "{}"),
        function_call_output("call_3_0", ""),
    ]


@pytest.mark.parametrize("known", [0, 3])
def test_a_result_that_is_there_twice_counts_once_and_is_named_if_it_differs(known: int) -> None:
    recent, messages = Recent(), [HELLO, with_call(call("c1")), result("c1"), result("c1", "5"), HELLO]
    if known:
        parse({"model": "m", "messages": messages[:known]}, recent=recent)
    read = parse({"model": "m", "messages": messages}, recent=recent)
    seen = [function_call("c1", "look", "{}"), function_call_output("c1", "4")]
    assert list(read.items) == [HELLO_ITEM, *seen, HELLO_ITEM]
    assert read.ignored == ("messages[].content",)


def test_calls_with_empty_ids_are_answered_in_their_order() -> None:
    said = {"role": "assistant", "tool_calls": [call(""), call("", "fs.read"), call("c")]}
    read = items(said, result("c", "1"), result("", "2"), result("", "3"))
    assert [(item["call_id"], item.get("output")) for item in read] == [
        ("call_0_0", None),
        ("call_0_1", None),
        ("c", None),
        ("c", "1"),
        ("call_0_0", "2"),
        ("call_0_1", "3"),
    ]


def test_the_fields_that_clients_send_back_with_calls_and_results_are_not_named_as_lost() -> None:
    said = {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **call("c1")}], "refusal": None}
    messages = [HELLO, said, {**result("c1"), "name": "look"}]
    assert request(messages=messages, tools=TOOLS).ignored == ()


def test_what_has_no_effect_in_a_known_conversation_is_named_in_each_turn() -> None:
    recent, messages = Recent(), [{**HELLO, "name": "Ann"}]
    for more in (
        [],
        [{"role": "assistant", "content": "Hi."}, HELLO],
        [{"role": "assistant", "content": "Hi.", "new": 1}, HELLO],
    ):
        messages += more
        names = ("messages[].name",) if len(messages) < 5 else ("messages[].name", "messages[].new")
        assert parse({"model": "m", "messages": messages}, recent=recent).ignored == names


@pytest.mark.parametrize(
    ("message", "item"),
    [
        (HELLO, HELLO_ITEM),
        (
            {"role": "system", "content": "Be brief."},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        ),
        (
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        ),
        (
            {"role": "assistant", "content": "Hi.", "tool_calls": None, "refusal": None},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]},
        ),
        (
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "I "}, {"type": "refusal", "refusal": "will not."}],
                "tool_calls": [],
            },
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "I "}, {"type": "output_text", "text": "will not."}],
            },
        ),
        (
            {"role": "assistant", "content": None, "refusal": "I will not."},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I will not."}]},
        ),
        (
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b"}]},
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
            },
        ),
        (
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                ],
            },
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is it?"},
                    {"type": "input_image", "image_url": PNG, "detail": "high"},
                ],
            },
        ),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": PNG, "detail": "high"}]},
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_image", "image_url": PNG, "detail": "high"}],
            },
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG, "detail": None}}]},
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_image", "image_url": PNG, "detail": "original"}],
            },
        ),
        (
            {"role": "user", "name": "Ann", "content": "Hello", "cache_control": {"type": "ephemeral"}},
            HELLO_ITEM,
        ),
    ],
    ids=[
        "user",
        "system",
        "developer",
        "assistant",
        "refusal",
        "refusal beside no content",
        "parts of Responses",
        "image",
        "image of Responses",
        "image without detail",
        "unknown fields",
    ],
)
def test_a_message_becomes_an_item(message: Mapping[str, Any], item: Mapping[str, Any]) -> None:
    assert items(message) == [item]


def test_messages_keep_their_order_whatever_their_roles() -> None:
    roles = ["user", "user", "assistant", "system", "assistant", "developer", "user"]
    messages = [{"role": role, "content": str(number)} for number, role in enumerate(roles)]
    assert [(item["role"], item["content"][0]["text"]) for item in items(*messages)] == [
        ("user", "0"),
        ("user", "1"),
        ("assistant", "2"),
        ("developer", "3"),
        ("assistant", "4"),
        ("developer", "5"),
        ("user", "6"),
    ]


@pytest.mark.parametrize(
    "message",
    [{"role": "assistant"}, {"role": "assistant", "content": None}, {"role": "assistant", "content": []}],
    ids=["missing", "null", "no parts"],
)
def test_an_assistant_message_without_content_leaves_no_trace(message: dict[str, Any]) -> None:
    assert items(HELLO, message, HELLO) == [HELLO_ITEM, HELLO_ITEM]


def failure(body: object) -> tuple[int, str, str | None, str | None]:
    """Return status, type, param and code of the refusal of a body."""
    with pytest.raises(ApiError) as caught:
        parse(body)
    return caught.value.status, caught.value.type, caught.value.param, caught.value.code


WRONG_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "model", "invalid_type"),
    ({"model": 5.2}, "model", "invalid_type"),
    ({"messages": None}, "messages", "invalid_type"),
    ({"messages": "Hello"}, "messages", "invalid_type"),
    ({"messages": []}, "messages", "empty_array"),
    ({"stream": "yes"}, "stream", "invalid_type"),
    ({"stream_options": True}, "stream_options", "invalid_type"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_type"),
    ({"reasoning_effort": 3}, "reasoning_effort", "invalid_type"),
    ({"n": 5}, "n", "unsupported_value"),
    ({"n": 0}, "n", "unsupported_value"),
    ({"n": -1}, "n", "unsupported_value"),
    ({"n": True}, "n", "invalid_type"),
    ({"logprobs": True}, "logprobs", "unsupported_value"),
    ({"logprobs": 5}, "logprobs", "invalid_type"),
    ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_parameter"),
    ({"tools": [{"type": "file_search"}]}, "tools[0].type", "unsupported_value"),
    ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
    ({"tools": TOOLS, "tool_choice": {"name": "undeclared"}}, "tool_choice", "invalid_value"),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls", "invalid_type"),
    ({"background": True}, "background", "unsupported_value"),
    ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call", "invalid_value"),
    ({"function_call": {"name": "f"}}, "function_call", "invalid_value"),
    ({"function_call": 5}, "function_call", "invalid_type"),
    ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    ({"max_completion_tokens": "5"}, "max_completion_tokens", "invalid_type"),
    ({"max_output_tokens": -1}, "max_output_tokens", "invalid_value"),
    ({"stop": 5}, "stop", "invalid_type"),
    ({"stop": ["a", 5]}, "stop[1]", "invalid_type"),
    ({"stop": list("abcde")}, "stop", "invalid_value"),
    ({"reasoning": "low"}, "reasoning", "invalid_type"),
    ({"reasoning": {"effort": 3}}, "reasoning.effort", "invalid_type"),
    ({"tools": {}}, "tools", "invalid_type"),
    ({"functions": {}}, "functions", "invalid_type"),
    ({"functions": [{}]}, "functions[0].name", "missing_parameter"),
    ({"functions": [{"name": "f"}, {"name": "f", "description": "x"}]}, "functions[1]", "invalid_value"),
    ({"functions": [{"type": "custom", "name": "f"}]}, "functions[0].type", "unsupported_value"),
    ({"response_format": {}}, "response_format.type", "missing_parameter"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
    ({"response_format": {"type": "json_schema"}}, "response_format.schema", "missing_parameter"),
    ({"response_format": schema_format(True)}, "response_format.json_schema.schema", "invalid_type"),
    ({"response_format": schema_format({}, strict=1)}, "response_format.json_schema.strict", "invalid_type"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
    ({"response_format": "text"}, "response_format", "invalid_type"),
]


@pytest.mark.parametrize(("fields", "param", "code"), WRONG_FIELDS, ids=[str(case[0]) for case in WRONG_FIELDS])
def test_a_wrong_field_is_refused_and_named(fields: dict[str, Any], param: str, code: str) -> None:
    body = {"model": "2.5-tpg", "messages": [HELLO], **fields}
    assert failure(body) == (400, "invalid_request_error", param, code)


@pytest.mark.parametrize("name", ["model", "messages"])
def test_a_required_field_that_is_missing_is_named(name: str) -> None:
    body = {"model": "2.5-tpg", "messages": [HELLO]}
    del body[name]
    assert failure(body) == (400, "invalid_request_error", name, "missing_parameter")


@pytest.mark.parametrize("body", [None, [], "{}", 1, True], ids=repr)
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    assert failure(body) == (400, "invalid_request_error", "body", "invalid_type")


def with_part(part: object) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": "Look:"}, part]}


def with_call(wire: object) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [wire]}


def call(call_id: str, name: str = "look", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(call_id: str, content: Any = "4") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


WRONG_MESSAGES: list[tuple[object, str, str]] = [
    ("Hello", "messages[1]", "invalid_type"),
    (None, "messages[1]", "invalid_type"),
    ({"content": "Hello"}, "messages[1].role", "missing_parameter"),
    ({"role": 1, "content": "Hello"}, "messages[1].role", "invalid_type"),
    ({"role": "User", "content": "Hello"}, "messages[1].role", "invalid_value"),
    ({"role": "tool", "content": "4"}, "messages[1].tool_call_id", "missing_parameter"),
    ({"role": "tool", "content": "4", "tool_call_id": "1"}, "messages", "invalid_value"),
    ({"role": "tool", "content": 4, "tool_call_id": "1"}, "messages[1].content", "invalid_type"),
    ({"role": "function", "content": "4", "name": "f"}, "messages", "invalid_value"),
    ({"role": "function", "content": 4, "name": "f"}, "messages[1].content", "invalid_type"),
    ({"role": "assistant", "function_call": {"name": "f"}}, "messages[1].function_call.arguments", "missing_parameter"),
    ({"role": "assistant", "function_call": "f"}, "messages[1].function_call", "invalid_type"),
    ({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}, "messages", "invalid_value"),
    (with_call("look"), "messages[1].tool_calls[0]", "invalid_type"),
    (with_call({}), "messages[1].tool_calls[0].id", "missing_parameter"),
    (with_call({"id": "1"}), "messages[1].tool_calls[0].function", "missing_parameter"),
    (with_call({"id": "1", "function": {}}), "messages[1].tool_calls[0].function.name", "missing_parameter"),
    (
        with_call({"id": "1", "function": {"name": "look", "arguments": {}}}),
        "messages[1].tool_calls[0].function.arguments",
        "invalid_type",
    ),
    (
        with_call({"id": "1", "custom": {"name": "ApplyPatch"}}),
        "messages[1].tool_calls[0].custom.input",
        "missing_parameter",
    ),
    (with_call(call("1")), "messages", "invalid_value"),
    ({"role": "assistant", "tool_calls": {}}, "messages[1].tool_calls", "invalid_type"),
    ({"role": "assistant", "content": None, "audio": {"id": "audio_1"}}, "messages[1].audio", "unsupported_content"),
    ({"role": "user"}, "messages[1].content", "missing_content"),
    ({"role": "user", "content": None}, "messages[1].content", "missing_content"),
    ({"role": "system", "content": []}, "messages[1].content", "missing_content"),
    ({"role": "user", "content": 7}, "messages[1].content", "invalid_type"),
    ({"role": "user", "content": {"type": "text"}}, "messages[1].content", "invalid_type"),
    (with_part("Hello"), "messages[1].content[1]", "invalid_type"),
    (with_part({"text": "Hello"}), "messages[1].content[1].type", "missing_parameter"),
    (with_part({"type": "text"}), "messages[1].content[1].text", "missing_parameter"),
    (with_part({"type": "text", "text": None}), "messages[1].content[1].text", "invalid_type"),
    (with_part({"type": "refusal", "refusal": 1}), "messages[1].content[1].refusal", "invalid_type"),
    (with_part({"type": "video"}), "messages[1].content[1].type", "invalid_value"),
    (with_part({"type": "file", "file": {}}), "messages[1].content[1]", "unsupported_content"),
    (with_part({"type": "input_file"}), "messages[1].content[1]", "unsupported_content"),
    (with_part({"type": "input_audio"}), "messages[1].content[1]", "unsupported_content"),
    (with_part({"type": "image_url"}), "messages[1].content[1].image_url", "missing_parameter"),
    (with_part({"type": "image_url", "image_url": 1}), "messages[1].content[1].image_url", "invalid_type"),
    (
        with_part({"type": "image_url", "image_url": {}}),
        "messages[1].content[1].image_url.url",
        "missing_parameter",
    ),
    (
        with_part({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}),
        "messages[1].content[1].image_url.url",
        "invalid_image_url",
    ),
    (
        with_part({"type": "input_image", "image_url": ""}),
        "messages[1].content[1].image_url",
        "invalid_image_url",
    ),
    (
        with_part({"type": "image_url", "image_url": {"url": PNG, "detail": 1}}),
        "messages[1].content[1].image_url.detail",
        "invalid_type",
    ),
    (
        {"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
        "messages[1].content[0]",
        "invalid_value",
    ),
]


@pytest.mark.parametrize(("message", "param", "code"), WRONG_MESSAGES, ids=[str(case[0]) for case in WRONG_MESSAGES])
def test_a_wrong_message_is_refused_at_its_exact_place(message: object, param: str, code: str) -> None:
    body = {"model": "2.5-tpg", "messages": [HELLO, message]}
    assert failure(body) == (400, "invalid_request_error", param, code)


@pytest.mark.parametrize(
    ("effort", "choice", "prompt"),
    [
        (None, ModelChoice("gpt-5.2"), Prompt("gpt-5.2", (HELLO_ITEM,))),
        (None, ModelChoice("gpt-5.2", "low"), Prompt("gpt-5.2", (HELLO_ITEM,), effort="low")),
        ("high", ModelChoice("gpt-5.2", "low"), Prompt("gpt-5.2", (HELLO_ITEM,), effort="high")),
        ("high", ModelChoice("gpt-5.2"), Prompt("gpt-5.2", (HELLO_ITEM,), effort="high")),
        (None, ModelChoice("gpt-5.2", None, "priority"), Prompt("gpt-5.2", (HELLO_ITEM,), tier="priority")),
    ],
    ids=["neither", "in the name", "in both", "in the request", "tier"],
)
def test_an_effort_in_the_request_comes_before_one_in_the_models_name(
    effort: str | None, choice: ModelChoice, prompt: Prompt
) -> None:
    chat = request(reasoning_effort=effort)
    assert chat.settings.prompt(chat.items, choice, None) == prompt


HIGH_AND_LOW = ModelChoice("gpt-5.2", efforts=("low", "high"))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reasoning_effort": "banana"}, "reasoning_effort"),
        ({"reasoning": {"effort": "minimal"}}, "reasoning.effort"),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "High"}, "reasoning_effort"),
    ],
    ids=str,
)
def test_an_effort_that_the_model_does_not_have_is_refused_with_those_it_has(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(ApiError, match="use one of: low, high") as caught:
        request(**fields).settings.check_effort(HIGH_AND_LOW)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, "unsupported_value")


@pytest.mark.parametrize("fields", [{}, {"reasoning_effort": "low"}, {"reasoning": {"effort": "high"}}], ids=str)
def test_an_effort_that_the_model_has_is_taken_and_any_if_those_are_not_known(fields: dict[str, Any]) -> None:
    request(**fields).settings.check_effort(HIGH_AND_LOW)
    request(reasoning_effort="banana").settings.check_effort(ModelChoice("gpt-5.2"))


def test_the_prompt_carries_all_that_the_request_asks_of_the_model() -> None:
    chat = request(tools=TOOLS, tool_choice="any", parallel_tool_calls=False, response_format=schema_format(STRICT))
    assert chat.settings.prompt(chat.items, ModelChoice("gpt-5.2"), "auto") == Prompt(
        "gpt-5.2",
        (HELLO_ITEM,),
        BOX,
        summary="auto",
        schema=STRICT,
        choice_note=MUST_CALL,
        one_call_at_a_time=True,
    )
    noted = request(response_format=schema_format(OPEN))
    assert noted.settings.prompt(noted.items, ModelChoice("gpt-5.2"), None).notes == (OPEN_NOTE,)


@pytest.mark.parametrize(
    ("body", "name"),
    [({}, "6-tpg"), ({"model": "2.5-tpg"}, "2.5-tpg")],
    ids=["from the path", "the body comes first"],
)
def test_the_path_names_the_model_of_a_body_without_one(body: dict[str, Any], name: str) -> None:
    assert parse({"messages": [HELLO], **body}, model="6-tpg").settings.model == name


LONG_ID = "toolu_" + "x" * 80


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (
            [with_call(call("c1", "look", '{"at": 1}')), result("c1")],
            [function_call("c1", "look", '{"at": 1}'), function_call_output("c1", "4")],
        ),
        (
            [{**with_call(call("c1")), "content": "I look."}, result("c1")],
            [message("assistant", "I look."), function_call("c1", "look", "{}"), function_call_output("c1", "4")],
        ),
        (
            [{**with_call(call("c1")), "content": ""}, result("c1", None)],
            [function_call("c1", "look", "{}"), function_call_output("c1", "")],
        ),
        (
            [{"role": "assistant", "tool_calls": [call("c1"), call("c2")]}, result("c2"), result("c1", "5")],
            [
                function_call("c1", "look", "{}"),
                function_call("c2", "look", "{}"),
                function_call_output("c2", "4"),
                function_call_output("c1", "5"),
            ],
        ),
        (
            [with_call(call("c1", "fs.read")), result("c1")],
            [function_call("c1", codex_name("fs.read"), "{}"), function_call_output("c1", "4")],
        ),
        (
            [with_call(call("c1", "ApplyPatch", "*** Begin")), result("c1")],
            [function_call("c1", "ApplyPatch", '{"input":"*** Begin"}'), function_call_output("c1", "4")],
        ),
        (
            [with_call({"id": "c1", "custom": {"name": "ApplyPatch", "input": "*** Begin"}}), result("c1")],
            [function_call("c1", "ApplyPatch", '{"input":"*** Begin"}'), function_call_output("c1", "4")],
        ),
        (
            [with_call(call("c1", "long gone")), result("c1")],
            [function_call("c1", codex_name("long gone"), "{}"), function_call_output("c1", "4")],
        ),
        (
            [with_call(call(LONG_ID)), result(LONG_ID)],
            [function_call(short_id(LONG_ID), "look", "{}"), function_call_output(short_id(LONG_ID), "4")],
        ),
        (
            [with_call(call("c1")), result("c1", [{"type": "text", "text": "4"}])],
            [
                function_call("c1", "look", "{}"),
                function_call_output("c1", [{"type": "input_text", "text": "4"}]),
            ],
        ),
    ],
    ids=[
        "call and result",
        "with a text",
        "with an empty text",
        "two at once",
        "a name that codex does not take",
        "raw text as a function",
        "custom as such",
        "a tool that is not declared",
        "a long id",
        "a result in parts",
    ],
)
def test_calls_and_results_become_items(messages: list[dict[str, Any]], expected: list[Item]) -> None:
    assert list(request(tools=TOOLS, messages=[HELLO, *messages]).items) == [HELLO_ITEM, *expected]


INPUT_CALL = {"type": "function_call", "call_id": "c1", "name": "fs.read", "arguments": "{}"}
INPUT_OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "4"}


INPUTS: list[tuple[dict[str, Any], list[Item]]] = [
    ({"input": "Hello"}, [HELLO_ITEM]),
    ({"input": "Hello", "messages": []}, [HELLO_ITEM]),
    ({"input": "Hello", "messages": None}, [HELLO_ITEM]),
    ({"input": [], "messages": [HELLO]}, [HELLO_ITEM]),
    ({"input": [HELLO]}, [HELLO_ITEM]),
    ({"input": "Hello", "instructions": "Be brief."}, [message("developer", "Be brief."), HELLO_ITEM]),
    (
        {"input": [{"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]}]},
        [message("developer", "Be brief.")],
    ),
    (
        {"input": [INPUT_CALL, INPUT_OUTPUT]},
        [function_call("c1", codex_name("fs.read"), "{}"), function_call_output("c1", "4")],
    ),
    (
        {
            "input": [
                {"type": "custom_tool_call", "call_id": LONG_ID, "name": "ApplyPatch", "input": "*** Begin"},
                {"type": "custom_tool_call_output", "call_id": LONG_ID, "output": "Done."},
            ]
        },
        [
            function_call(short_id(LONG_ID), "ApplyPatch", '{"input":"*** Begin"}'),
            function_call_output(short_id(LONG_ID), "Done."),
        ],
    ),
    (
        {"input": [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gA", "status": None}]},
        [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gA"}],
    ),
]


@pytest.mark.parametrize(
    ("fields", "expected"),
    INPUTS,
    ids=[
        "a text",
        "beside no messages",
        "beside null messages",
        "empty beside messages",
        "a message without a type",
        "instructions",
        "system",
        "call and output",
        "custom call and output, long id",
        "reasoning",
    ],
)
def test_the_dialect_of_responses_is_read_too(fields: dict[str, Any], expected: list[Item]) -> None:
    assert list(parse({"model": "2.5-tpg", "tools": TOOLS, **fields}).items) == expected


@pytest.mark.parametrize(
    ("value", "param", "code"),
    [
        (5, "input", "invalid_type"),
        ([5], "input[0]", "invalid_type"),
        ([{"role": "tool", "content": "4"}], "input[0].role", "invalid_value"),
        ([{"type": "function_call", "call_id": "c1", "name": "look"}], "input[0].arguments", "missing_parameter"),
        ([INPUT_CALL], "input", "invalid_value"),
        ([INPUT_OUTPUT], "input", "invalid_value"),
        ([INPUT_CALL, {**INPUT_CALL, "name": "look"}, INPUT_OUTPUT], "input", "invalid_value"),
        ([{"type": "computer_call"}], "input[0].type", "unsupported_content"),
    ],
    ids=str,
)
def test_a_wrong_input_is_refused_at_its_place(value: object, param: str, code: str) -> None:
    assert failure({"model": "2.5-tpg", "input": value}) == (400, "invalid_request_error", param, code)


THOUGHT = "<think>\nHm.\n</think>\n\n"


@pytest.mark.parametrize(
    ("display", "text"),
    [("off", THOUGHT + "Hi."), ("reasoning_content", THOUGHT + "Hi."), ("think", "Hi."), ("details", THOUGHT + "Hi.")],
)
def test_only_blocks_of_reasoning_that_we_show_are_taken_out_of_answers(display: ReasoningDisplay, text: str) -> None:
    said = [{"role": role, "content": THOUGHT + "Hi."} for role in ("user", "assistant")]
    read = parse({"model": "2.5-tpg", "messages": said}, display).items
    assert list(read) == [message("user", THOUGHT + "Hi."), message("assistant", text)]


def test_an_answer_of_reasoning_and_a_call_is_read_as_the_call_alone() -> None:
    said = [HELLO, {**with_call(call("c1")), "content": THOUGHT}, result("c1")]
    read = parse({"model": "2.5-tpg", "messages": said}, "think").items
    assert list(read) == [HELLO_ITEM, function_call("c1", "look", "{}"), function_call_output("c1", "4")]


def nested(depth: int) -> dict[str, Any]:
    """A schema of so many arrays inside each other."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


MALFORMED_SCHEMAS: list[dict[str, Any]] = [
    {**STRICT, "properties": ["at"]},
    {**STRICT, "required": 5},
    {**STRICT, "required": [[]]},
    {**STRICT, "$defs": [1]},
    {**STRICT, "anyOf": 5},
    nested(300),
]


@pytest.mark.parametrize(
    "schema",
    MALFORMED_SCHEMAS,
    ids=["properties", "required", "names", "definitions", "alternatives", "too deep"],
)
def test_a_schema_that_is_none_is_refused_or_told_but_never_our_failure(schema: dict[str, Any]) -> None:
    with suppress(ApiError):
        parse({"model": "2.5-tpg", "messages": [HELLO], "response_format": schema_format(schema)})


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda some: st.lists(some, max_size=2) | st.dictionaries(st.text(max_size=5), some, max_size=2),
    max_leaves=4,
)


def nearly(fields: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Objects whose fields are right, wrong or missing."""
    return st.fixed_dictionaries({}, optional={name: right | JUNK for name, right in fields.items()}) | JUNK


PARTS = nearly(
    {
        "type": st.sampled_from(["text", "refusal", "image_url", "input_image", "file", "input_audio"]),
        "text": st.text(max_size=5),
        "refusal": st.text(max_size=5),
        "image_url": st.just(PNG) | st.fixed_dictionaries({"url": st.just(PNG) | st.text()}),
        "detail": st.sampled_from(["low", "high"]),
    }
)
CALLS = nearly(
    {
        "id": st.sampled_from(["c1", "c2"]),
        "function": nearly({"name": st.just("look"), "arguments": st.just("{}")}),
        "custom": nearly({"name": st.just("ApplyPatch"), "input": st.just("raw")}),
    }
)
INPUT = nearly(
    {
        "type": st.sampled_from(["message", "function_call", "function_call_output", "custom_tool_call", "reasoning"]),
        "role": st.sampled_from(["user", "assistant"]),
        "content": st.text(max_size=5) | st.lists(PARTS, max_size=3),
        "call_id": st.sampled_from(["c1", "c2"]),
        "name": st.just("look"),
        "arguments": st.just("{}"),
        "output": st.text(max_size=5) | st.lists(PARTS, max_size=3),
    }
)
MESSAGES = nearly(
    {
        "role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"]),
        "content": st.text(max_size=5) | st.lists(PARTS, max_size=3),
        "tool_calls": st.lists(CALLS, max_size=2),
        "tool_call_id": st.sampled_from(["c1", "c2"]),
    }
)
BODIES = nearly(
    {
        "model": st.text(max_size=5),
        "messages": st.lists(MESSAGES, max_size=3),
        "stream": st.booleans(),
        "stream_options": nearly({"include_usage": st.booleans()}),
        "input": st.text(max_size=5) | st.lists(INPUT, max_size=3),
        "instructions": st.text(max_size=5),
        "n": st.integers(0, 5),
        "logprobs": st.just(False),
        "tools": st.just([]) | st.just(TOOLS),
        "tool_choice": st.sampled_from(["auto", "none", "required", "look"]),
        "response_format": nearly({"type": st.sampled_from(["text", "json_object", "json_schema"])}),
        "stop": st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=5),
        "max_tokens": st.integers(0, 5),
        "reasoning_effort": st.just("low"),
    }
)


@settings(deadline=None, max_examples=300)
@given(BODIES, st.sampled_from(["off", "think"]))
def test_a_random_body_is_a_request_or_a_complete_error(body: Any, display: ReasoningDisplay) -> None:
    try:
        parse(body, display)
        return
    except ApiError as refused:
        error = refused
    assert error.status == 400
    wire = error.body()["error"]
    assert set(wire) == {"message", "type", "param", "code"}
    assert all(isinstance(value, str) and value for value in wire.values())


SAID = st.sampled_from(["", "a", "<think>\nhm\n</think>\n\n", "<think>\nhm\n</think>\n\nyes"])
ANSWERS = st.fixed_dictionaries({"role": st.just("assistant"), "content": SAID})
QUESTIONS = st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": st.sampled_from(["a", "b"])})
STEPS = st.one_of(
    QUESTIONS.map(lambda one: [one]),
    ANSWERS.map(lambda one: [one]),
    st.tuples(SAID, st.sampled_from(["1", "2"]), st.booleans()).map(
        lambda step: [
            {"role": "assistant", "content": step[0], "tool_calls": [call(step[1])]},
            *([result(step[1])] if step[2] else []),
        ]
    ),
    st.just([{"role": "user", "content": 5}]),
)
EDITS = st.tuples(st.sampled_from(["more", "more", "more", "cut", "changed"]), st.integers(0, 9), STEPS)


@given(
    st.lists(st.tuples(EDITS, st.sampled_from([None, "Be."]), st.booleans()), max_size=15),
    st.sampled_from(["off", "think"]),
)
@settings(deadline=None, max_examples=200)
def test_a_conversation_that_is_read_on_is_read_as_if_it_were_new(turns: list[Any], display: ReasoningDisplay) -> None:
    """It goes on, loses its end, is edited in its middle, or is another one that begins alike."""
    recent = Recent()

    def read(messages: list[Any], instructions: str | None, recent: Recent | None) -> object:
        body = {"model": "m", "messages": messages, "tools": TOOLS, "instructions": instructions}
        try:
            return parse(orjson.loads(orjson.dumps(body)), display, recent=recent)
        except ApiError as error:
            return error.body()

    conversations: list[list[Any]] = [[], []]
    for (how, at, new), instructions, other in turns:
        messages = conversations[other]
        match how:
            case "more":
                messages.extend(new)
            case "cut":
                del messages[at:]
            case _:
                messages[at : at + 1] = new
        assert read(messages, instructions, recent) == read(messages, instructions, None)


def test_what_was_read_before_is_not_read_again() -> None:
    recent = Recent()
    messages: list[Any] = [HELLO, {"role": "assistant", "content": "Hi"}, HELLO]

    first = parse({"model": "m", "messages": messages[:1]}, recent=recent).items
    second = parse({"model": "m", "messages": messages}, recent=recent).items

    assert second[0] is first[0]


def test_the_tools_decide_how_an_old_call_is_read() -> None:
    recent = Recent()
    messages = [HELLO, with_call(call("c1", "ApplyPatch", "raw")), result("c1")]

    for tools in ([], TOOLS, []):
        body = {"model": "m", "messages": messages, "tools": tools}
        assert parse(body, recent=recent).items == parse(body).items


@pytest.mark.parametrize("known", [False, True], ids=["at first", "behind a known conversation"])
def test_a_message_that_nests_beyond_all_measure_is_refused(known: bool) -> None:
    recent, deep = Recent(), {"role": "user", "content": "Hi.", "extra": nested(200)}
    if known:
        parse({"model": "2.5-tpg", "messages": [HELLO]}, recent=recent)
    with pytest.raises(ApiError) as caught:
        parse({"model": "2.5-tpg", "messages": [HELLO, deep]}, recent=recent)
    assert (caught.value.status, caught.value.code) == (400, "too_deep")
