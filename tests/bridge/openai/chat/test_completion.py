from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.config import ReasoningDisplay
from bridge.conversation.events import (
    Failed,
    Finished,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    TurnEvent,
    Used,
)
from bridge.errors import unavailable
from bridge.openai.chat.answer import ChatAnswer
from bridge.openai.chat.completion import ChatCompletion
from bridge.openai.clients import OVERFLOW_TOKENS
from codex_rpc.wire.events import TokenUsage

USAGE = TokenUsage(input=812, cached_input=768, output=40, reasoning_output=16)


NOTHING_USED = {
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "total_tokens": 0,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


def completion(choices: int = 1, display: ReasoningDisplay = "off", *, cursor: bool = False) -> ChatCompletion:
    return ChatCompletion(ChatAnswer("chatcmpl-codex-1", 1768247311, "2.5-tpg", choices, display, cursor))


def choice(content: str | None, finish_reason: str, index: int = 0, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": None, "tool_calls": None, **more}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": finish_reason}


def body(usage: dict[str, Any], *choices: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-codex-1",
        "object": "chat.completion",
        "created": 1768247311,
        "model": "2.5-tpg",
        "choices": list(choices),
        "usage": usage,
    }


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
def test_the_answer_is_the_object_of_the_openai_api(reason: FinishReason) -> None:
    written = completion().feed([TextDelta("Hel"), TextDelta("lo"), Used(USAGE), Finished(reason)])
    assert json.loads(written) == body(
        {
            "prompt_tokens": 812,
            "completion_tokens": 40,
            "total_tokens": 852,
            "prompt_tokens_details": {"cached_tokens": 768},
            "completion_tokens_details": {"reasoning_tokens": 16},
        },
        choice("Hello", reason),
    )


def test_the_usage_is_that_of_all_upstream_responses_together() -> None:
    written = completion().feed([Used(USAGE), Used(TokenUsage(1000, 900, 8, 4)), Finished("stop")])
    assert json.loads(written)["usage"] == {
        "prompt_tokens": 1812,
        "completion_tokens": 48,
        "total_tokens": 1860,
        "prompt_tokens_details": {"cached_tokens": 1668},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }


def test_an_answer_may_be_empty_and_an_unknown_usage_is_told_as_none_at_all() -> None:
    assert json.loads(completion().feed([Finished("stop")])) == body(NOTHING_USED, choice("", "stop"))


def test_an_old_client_gets_its_call_as_a_function_call() -> None:
    writer = ChatCompletion(ChatAnswer("chatcmpl-codex-1", 1768247311, "2.5-tpg", old_calls=True))
    written = writer.feed([ToolCall("c1", "look", '{"at": 1}'), Finished("tool_calls")])
    called = choice(None, "function_call", function_call={"name": "look", "arguments": '{"at": 1}'})
    assert json.loads(written) == body(NOTHING_USED, called)
    assert json.loads(completion().feed([Finished("length")]))["choices"][0]["finish_reason"] == "length"


def test_nothing_is_written_before_the_end() -> None:
    writer = completion()
    assert writer.feed([]) == b""
    assert writer.feed([TextDelta("Hel"), Used(USAGE)]) == b""
    assert writer.feed([TextDelta("lo")]) == b""
    assert json.loads(writer.feed([Finished("stop")]))["choices"][0]["message"]["content"] == "Hello"


def test_an_answer_that_fails_is_the_error_alone() -> None:
    error = unavailable("Soon.")
    assert json.loads(completion().feed([TextDelta("Hel"), Failed(error)])) == error.body()
    assert json.loads(completion().fail(error)) == error.body()
    assert json.loads(completion(cursor=True).fail(error)) == error.body()


def test_it_is_kept_alive_by_white_space_which_json_allows() -> None:
    writer = completion()
    written = writer.keep_alive() * 3 + writer.feed([TextDelta("Hello"), Finished("stop")])
    assert json.loads(written) == body(NOTHING_USED, choice("Hello", "stop"))
    assert writer.media == {"content-type": "application/json"}


CALL = ToolCall("c1", "look", '{"at": 1}')
WIRE_CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
PATCH = ToolCall("c2", "ApplyPatch", "*** Begin", "custom")
WIRE_PATCH = {"id": "c2", "type": "custom", "custom": {"name": "ApplyPatch", "input": "*** Begin"}}


@pytest.mark.parametrize(
    ("said", "content", "calls"),
    [
        ([CALL], None, [WIRE_CALL]),
        ([TextDelta("I look."), CALL], "I look.", [WIRE_CALL]),
        ([CALL, PATCH], None, [WIRE_CALL, WIRE_PATCH]),
        ([ReasoningDelta("Hm."), CALL], None, [WIRE_CALL]),
    ],
    ids=["alone", "after a text", "two, one of a custom tool", "after hidden reasoning"],
)
def test_calls_are_part_of_the_message_and_a_content_without_text_is_null(
    said: list[TurnEvent], content: str | None, calls: list[dict[str, Any]]
) -> None:
    written = json.loads(completion().feed([*said, Finished("tool_calls")]))
    assert written["choices"] == [choice(content, "tool_calls", tool_calls=calls)]


@pytest.mark.parametrize(
    ("display", "expected"),
    [
        ("off", choice("Hello", "stop")),
        ("reasoning_content", choice("Hello", "stop", reasoning_content="Let me see.")),
        ("think", choice("<think>\nLet me see.\n</think>\n\nHello", "stop")),
        (
            "details",
            choice("<details><summary>Reasoning</summary>\n\nLet me see.\n\n</details>\n\nHello", "stop"),
        ),
    ],
)
def test_reasoning_is_shown_as_it_is_wanted(display: ReasoningDisplay, expected: dict[str, Any]) -> None:
    said = [ReasoningDelta("Let me "), ReasoningDelta("see."), TextDelta("Hello"), Finished("stop")]
    assert json.loads(completion(display=display).feed(said))["choices"] == [expected]


def test_a_block_of_reasoning_that_nothing_follows_is_closed() -> None:
    written = json.loads(completion(display="think").feed([ReasoningDelta("Hm."), Finished("length")]))
    assert written["choices"] == [choice("<think>\nHm.\n</think>\n\n", "length")]


def test_no_reasoning_is_no_field() -> None:
    written = json.loads(completion(display="reasoning_content").feed([TextDelta("Hello"), Finished("stop")]))
    assert written["choices"] == [choice("Hello", "stop")]


def test_several_choices_are_written_in_their_order_once_all_have_ended() -> None:
    writer = completion(3)
    assert writer.feed([TextDelta("Two"), Used(USAGE), Finished("length")], 2) == b""
    assert writer.feed([TextDelta("Ze")]) == b""
    assert writer.feed([CALL, Finished("tool_calls")], 1) == b""
    written = json.loads(writer.feed([TextDelta("ro"), Used(USAGE), Finished("stop")], 0))
    assert written["choices"] == [
        choice("Zero", "stop"),
        choice(None, "tool_calls", 1, tool_calls=[WIRE_CALL]),
        choice("Two", "length", 2),
    ]
    assert written["usage"]["total_tokens"] == 2 * 852


def test_each_choice_has_its_own_block_of_reasoning() -> None:
    writer = completion(2, "think")
    writer.feed([ReasoningDelta("A")], 0)
    writer.feed([ReasoningDelta("B"), TextDelta("b"), Finished("stop")], 1)
    written = json.loads(writer.feed([TextDelta("a"), Finished("stop")], 0))
    assert [one["message"]["content"] for one in written["choices"]] == [
        "<think>\nA\n</think>\n\na",
        "<think>\nB\n</think>\n\nb",
    ]


def test_a_context_that_is_too_long_is_an_empty_answer_with_a_usage_that_makes_cursor_compact() -> None:
    usage = {**NOTHING_USED, "prompt_tokens": OVERFLOW_TOKENS, "total_tokens": OVERFLOW_TOKENS}
    assert json.loads(completion(cursor=True).overflow()) == body(usage, choice("", "stop"))
