from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from bridge.config import ActivityStyle, ReasoningDisplay
from bridge.conversation.events import (
    Failed,
    Finished,
    MessageBegun,
    ReasoningDelta,
    ReasoningPart,
    StepBegun,
    StepDone,
    TextDelta,
    ToolCall,
    TurnEvent,
    Used,
)
from bridge.errors import upstream_failed
from bridge.openai.chat.activity import ANSWER_END, ANSWER_MARK, final_answer
from bridge.openai.chat.agent_answer import agent_writer
from bridge.openai.chat.answer import ChatAnswer
from codex_rpc.wire.events import TokenUsage
from tests.bridge.conversation.turn_events import message_item, search_item

STYLES: tuple[ActivityStyle, ...] = get_args(ActivityStyle)
USED = Used(TokenUsage(9, 0, 3, 0))
END = Finished("stop")


def begun(step_id: str = "a", command: str = "ls") -> StepBegun:
    return StepBegun(step_id, "codex", "shell", {"command": command, "cwd": "."})


def done(step_id: str = "a", output: str = "", command: str = "ls") -> StepDone:
    return StepDone(step_id, "codex", "shell", {"command": command, "cwd": "."}, output)


def said(text: str, phase: str | None = "final_answer") -> list[TurnEvent]:
    return [MessageBegun(phase), TextDelta(text), message_item(text, phase)]


def streamed(
    events: Sequence[TurnEvent], style: ActivityStyle = "reasoning_content", display: ReasoningDisplay = "off"
) -> tuple[str, str]:
    """Return the content and the reasoning_content of a stream, whose chunks must be valid."""
    writer = agent_writer(ChatAnswer("id", 1, "codex-agent", 1, display), style, stream=True, usage_chunk=False)
    written = b"".join([writer.feed([event]) for event in events]).decode()
    assert written.endswith("data: [DONE]\n\n")
    content = reasoning = ""
    for line in written.split("\n\n")[:-2]:
        chunk = json.loads(line.removeprefix("data: "))
        ChatCompletionChunk.model_validate(chunk)
        delta = chunk["choices"][0]["delta"]
        content += delta.get("content") or ""
        reasoning += delta.get("reasoning_content") or ""
    return content, reasoning


def whole(
    events: Sequence[TurnEvent], style: ActivityStyle = "reasoning_content", display: ReasoningDisplay = "off"
) -> dict[str, Any]:
    """Return the message of a whole completion, which must be valid."""
    writer = agent_writer(ChatAnswer("id", 1, "codex-agent", 1, display), style, stream=False, usage_chunk=False)
    completion = json.loads(b"".join([writer.feed([event]) for event in events]))
    ChatCompletion.model_validate(completion)
    return completion["choices"][0]["message"]


TURN: list[TurnEvent] = [
    *said("I look.", "commentary"),
    begun(),
    done(output="a\n"),
    search_item(),
    *said("All done."),
    USED,
    END,
]
ACTIVITY = "I look.\n\n```console\n$ ls\na\n```\n\nSearched the web for `cats`"


def test_the_answer_is_the_content_and_the_rest_is_beside_it():
    assert streamed(TURN) == ("All done.", ACTIVITY)


def test_in_the_style_text_a_line_separates_the_activity_from_the_answer():
    assert streamed(TURN, "text") == (f"{ACTIVITY}\n\n---\n\n{ANSWER_MARK}All done.", "")


def test_in_the_style_details_each_step_is_a_card():
    content, reasoning = streamed(TURN, "details")

    assert content.startswith('I look.\n\n<details type="tool_calls" done="true" id="a" name="shell"')
    assert content.count("</details>") == 2
    assert content.endswith(f"</details>\n\n{ANSWER_MARK}All done.")
    assert reasoning == ""


def test_in_the_style_off_there_is_only_the_answer():
    assert streamed(TURN, "off") == ("All done.", "")


@pytest.mark.parametrize("style", STYLES)
def test_a_whole_completion_has_the_answer_alone_in_its_content(style: ActivityStyle):
    message = whole(TURN, style)

    assert message["content"] == "All done."
    assert message.get("reasoning_content") == (None if style == "off" else ACTIVITY)


@pytest.mark.parametrize("style", STYLES)
def test_an_answer_without_activity_is_just_its_text(style: ActivityStyle):
    assert streamed([*said("Hi."), USED, END], style) == ("Hi.", "")
    assert whole([*said("Hi."), USED, END], style)["content"] == "Hi."


def test_commands_that_run_at_once_are_shown_again_with_their_output():
    events = [begun("a", "one"), begun("b", "two"), done("b", "2", "two"), done("a", "1", "one"), *said("Done."), END]

    assert streamed(events)[1] == ("```console\n$ one\n```\n\n```console\n$ two\n2\n```\n\n```console\n$ one\n1\n```")


@pytest.mark.parametrize("ending", [END, Finished("length"), Finished("tool_calls")])
def test_a_block_that_is_open_is_closed_at_the_end(ending: Finished):
    assert streamed([begun(), ending])[1] == "```console\n$ ls\n```"


def test_a_block_that_is_open_is_closed_before_the_answer():
    assert streamed([begun(), *said("Done."), done(output="1"), END], "text")[0] == (
        f"```console\n$ ls\n```\n\n---\n\n{ANSWER_MARK}Done.{ANSWER_END}\n\n```console\n$ ls\n1\n```"
    )


def test_a_failure_closes_the_block_and_ends_the_stream_with_the_error():
    writer = agent_writer(ChatAnswer("id", 1, "m"), "text", stream=True, usage_chunk=False)
    written = writer.feed([begun(), Failed(upstream_failed("broken"))])

    assert b"\\n```" in written
    assert written.endswith(b"data: [DONE]\n\n")
    assert b"broken" in written


def test_a_whole_completion_that_fails_is_the_error():
    writer = agent_writer(ChatAnswer("id", 1, "m"), "text", stream=False, usage_chunk=False)

    assert writer.feed([begun()]) == b""
    assert json.loads(writer.feed([Failed(upstream_failed("broken"))]))["error"]["message"] == "broken"
    assert json.loads(writer.fail(upstream_failed("gone")))["error"]["message"] == "gone"
    assert writer.keep_alive() == b" "


def test_messages_without_a_phase_are_streamed_as_answers_and_the_last_is_the_whole_one():
    events = [*said("One.", None), begun(), done(), *said("Two.", None), USED, END]

    assert streamed(events)[0] == "One.\n\nTwo."
    assert final_answer(streamed(events, "text")[0]) == "Two."
    assert whole(events)["content"] == "Two."
    assert whole(events)["reasoning_content"] == "One.\n\n```console\n$ ls\n```"


@pytest.mark.parametrize("style", STYLES)
def test_a_turn_that_has_only_commentary_ends_with_it_as_its_answer(style: ActivityStyle):
    events = [*said("I look.", "commentary"), *said("Done.", "commentary"), END]

    assert final_answer(streamed(events, style)[0]) == "Done."
    assert whole(events, style)["content"] == "Done."


def test_a_question_to_the_client_comes_after_the_activity():
    events = [*said("I ask.", "commentary"), begun(), ToolCall("c", "codex_approval", "{}"), Finished("tool_calls")]
    message = whole(events)

    assert (message["content"], message["tool_calls"][0]["function"]["name"]) == (None, "codex_approval")
    assert message["reasoning_content"] == "I ask.\n\n```console\n$ ls\n```"
    assert streamed(events) == ("", message["reasoning_content"])


@pytest.mark.parametrize(
    ("display", "content", "reasoning"),
    [
        ("off", f"I look.\n\n---\n\n{ANSWER_MARK}Done.", ""),
        ("reasoning_content", f"I look.\n\n---\n\n{ANSWER_MARK}Done.", "Hm."),
        ("think", f"<think>\nHm.\n</think>\n\nI look.\n\n---\n\n{ANSWER_MARK}Done.", ""),
    ],
)
def test_the_reasoning_of_the_model_is_shown_as_in_chat_mode(display: ReasoningDisplay, content: str, reasoning: str):
    events = [ReasoningPart("r"), ReasoningDelta("Hm.", "r"), *said("I look.", "commentary"), *said("Done."), END]

    assert streamed(events, "text", display) == (content, reasoning)


def test_reasoning_and_activity_are_paragraphs_of_one_field():
    events = [ReasoningPart("r"), ReasoningDelta("Hm.", "r"), *said("I look.", "commentary"), *said("Done."), END]

    assert streamed(events, display="reasoning_content") == ("Done.", "Hm.\n\nI look.")
    assert streamed(events) == ("Done.", "I look.")


texts = st.text(min_size=1, max_size=8)


@st.composite
def agent_turns(draw: st.DrawFn) -> tuple[list[TurnEvent], str]:
    """A turn of an agent, and its answer."""
    events: list[TurnEvent] = []
    running: list[StepBegun] = []
    for number in range(draw(st.integers(0, 8))):
        match draw(st.sampled_from(["begin", "end", "say", "search"])):
            case "begin":
                running.append(begun(str(number), draw(texts)))
                events.append(running[-1])
            case "end" if running:
                step = running.pop(draw(st.integers(0, len(running) - 1)))
                events.append(StepDone(step.step_id, "codex", "shell", step.arguments, draw(texts)))
            case "say":
                events += said(draw(texts), "commentary")
            case _:
                events.append(search_item())
    answer = draw(st.text(st.characters(exclude_characters=ANSWER_MARK + ANSWER_END), min_size=1))
    after: list[TurnEvent] = [
        StepDone(one.step_id, "codex", "shell", one.arguments, is_complete=False) for one in running
    ]
    phase = draw(st.sampled_from(["final_answer", None]))
    return [*events, *said(answer, phase), *after, USED, END], answer


@given(agent_turns(), st.sampled_from(STYLES))
@settings(deadline=None)
def test_the_answer_can_be_found_in_every_style(turn: tuple[list[TurnEvent], str], style: ActivityStyle):
    events, answer = turn

    assert final_answer(streamed(events, style)[0]) == answer
    assert whole(events, style)["content"] == answer
